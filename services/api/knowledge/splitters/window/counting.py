"""Counts tokens: with the embedder's own tokenizer where its file is to be had, else by a safe estimate."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from services.foundation.errors import InvalidSetting

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_OPTION = "knowledge.splitter.options.tokenizer"
_BATCH = 1000
_LOADED = 4
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNIT = re.compile(
    "(?P<letters>[A-Za-z]{1,3})"
    "|(?P<ideograph>[\u1100-\u11ff\u2e80-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef])"
    "|(?P<syllable>[\u0900-\u10ff\u1200-\u1cff\ua4d0-\uabff])"
    "|(?P<symbol>[\u2190-\u2bff\ue000-\uf8ff])"
    "|(?P<rare>[\U00010000-\U0010ffff])"
    "|(?P<other>\\S|\n)"
)
_HALVES = 2
_WEIGHTS = {"letters": 2, "ideograph": 3, "syllable": 4, "symbol": 6, "rare": 8, "other": 2}
"""Halves of a token."""
SPECIAL_TOKENS = 4
"""The most that an embedder whose tokenizer is not known may put around a text; 2 is usual."""


class TokenCounter(Protocol):
    """How many tokens a text has, without those the embedder adds."""

    special_tokens: int
    """Those it adds."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """The number of tokens of each text."""

    def reach(self, text: str, tokens: int) -> int:
        """The end of the longest beginning of the text that has no more than so many tokens."""


def counter_of(tokenizer: str | None) -> TokenCounter:
    """The counter of a tokenizer's file; None: the estimate. A file is read once, and again when it has changed.

    Raises:
        InvalidSetting: the file is not there or no tokenizer.
    """
    if tokenizer is None:
        return EstimatedCounter()
    try:
        changed = Path(tokenizer).stat().st_mtime_ns
    except OSError as failure:
        raise InvalidSetting(setting=_OPTION, reason=str(failure)) from failure
    return _opened(tokenizer, changed)


class TokenizerCounter:
    """Counts as the embedder does. Texts come in batches; a batch is spread over the processors."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self.special_tokens: int = tokenizer.num_special_tokens_to_add(is_pair=False)

    def count(self, texts: Sequence[str]) -> list[int]:
        found: list[int] = []
        rest = iter(texts)
        while batch := list(islice(rest, _BATCH)):
            readable = [_without_surrogates(text) for text in batch]
            encodings = self._tokenizer.encode_batch_fast(readable, add_special_tokens=False)
            found += [len(encoding) for encoding in encodings]
        return found

    def reach(self, text: str, tokens: int) -> int:
        encoding = self._tokenizer.encode(_without_surrogates(text), add_special_tokens=False)
        if len(encoding) <= tokens:
            return len(text)
        offsets = encoding.offsets
        return int(min(offsets[tokens - 1][1], offsets[tokens][0])) if tokens > 0 else 0


class EstimatedCounter:
    """Without a tokenizer: more than the usual vocabularies need, by about a half.

    Three Latin letters are a token, an ideograph one and a half, a digit, a mark or another alphabet's letter one, an
    Indic or south-east Asian character two, a symbol three, a pictograph or rare ideograph four. Of 6902 passages of
    Chinese and English documents, MiniLM's word pieces were more in none, cl100k's and o200k's in a handful.
    """

    special_tokens = SPECIAL_TOKENS

    def count(self, texts: Sequence[str]) -> list[int]:
        return [-(-sum(map(_weight, _UNIT.finditer(text))) // _HALVES) for text in texts]

    def reach(self, text: str, tokens: int) -> int:
        used = 0
        for unit in _UNIT.finditer(text):
            used += _weight(unit)
            if used > tokens * _HALVES:
                return unit.start()
        return len(text)


def _weight(unit: re.Match[str]) -> int:
    return _WEIGHTS[str(unit.lastgroup)]


def most_tokens(text: str) -> int:
    """A number of tokens that a text cannot exceed, without a tokenizer: to tell cheaply what surely fits.

    A token stands for at least one byte of the text as a tokenizer normalises it, and one may be put before it. Twice
    the bytes of the text, or of the decomposed text if they are more, leave room for what lower case adds.
    """
    if text.isascii():
        return len(text) + 1
    forms = (text, unicodedata.normalize("NFKD", text))
    return 2 * max(len(form.encode("utf-8", "surrogatepass")) for form in forms) + 1


def _without_surrogates(text: str) -> str:
    """The text with what no encoding has replaced one for one: it comes out of broken PDF fonts."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return _SURROGATE.sub("?", text)


@lru_cache(maxsize=_LOADED)
def _opened(path: str, _changed: int) -> TokenizerCounter:
    from tokenizers import Tokenizer

    try:
        if Path(path).suffix == ".txt":
            return TokenizerCounter(_word_pieces(Path(path)))
        return TokenizerCounter(Tokenizer.from_file(path))
    except Exception as failure:  # the library raises Exception itself
        reason = f"{path} is no tokenizer: {failure}"
        raise InvalidSetting(setting=_OPTION, reason=reason) from failure


def _word_pieces(vocabulary: Path) -> Tokenizer:
    """BERT's tokenizer from its vocabulary, for folders without a tokenizer.json."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import BertProcessing

    written = vocabulary.with_name("tokenizer_config.json")
    lower = json.loads(written.read_bytes()).get("do_lower_case", True) if written.is_file() else True
    made = Tokenizer(WordPiece.from_file(str(vocabulary), unk_token="[UNK]"))  # noqa: S106 - a token of text
    made.normalizer = BertNormalizer(lowercase=bool(lower))
    made.pre_tokenizer = BertPreTokenizer()
    around = [(token, made.token_to_id(token) or 0) for token in ("[SEP]", "[CLS]")]
    made.post_processor = BertProcessing(*around)
    return made
