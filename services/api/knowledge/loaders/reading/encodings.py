"""Bytes → text: byte order marks, UTF-8, UTF-16 without a mark, GB18030, Big5, then a detector."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TextIO

from charset_normalizer import from_bytes

from services.api.domain.knowledge import SourceFile
from services.foundation.errors import UnreadableFile

_SAMPLE_BYTES = 1 << 18
_BLOCK_BYTES = 1 << 20
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_COMMON_ENOUGH = 0.6
_BAD_SHARE = 0.2
_CONTROL_SHARE = 0.3
_GUESS_BYTES = 50_000
_GUESSED = ["cp1252", "cp1251", "shift_jis", "euc_jp", "euc_kr", "big5hkscs", "gb18030"]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How to read a file's text.

    Attributes:
        name: Python's name of the codec.
        is_strict: False when some bytes do not fit and will be replaced.
        is_certain: False when it was guessed from the letters' frequencies.
    """

    name: str
    is_strict: bool = True
    is_certain: bool = True

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know about it."""
        found = []
        if not self.is_certain:
            found.append(f"the text encoding is not certain; it was read as {self.name}")
        if not self.is_strict:
            found.append(f"some bytes are not valid {self.name} and were replaced by �")
        return tuple(found)


def read_text(file: SourceFile, encoding: Encoding | None = None) -> tuple[str, tuple[str, ...]]:
    """The whole text of a file and the warnings.

    Raises:
        UnreadableFile: it is binary, or its encoding cannot be told.
    """
    chosen = encoding or detect(file)
    with open_text(file, chosen) as handle:
        return handle.read(), chosen.warnings


@contextmanager
def open_text(file: SourceFile, encoding: Encoding) -> Iterator[TextIO]:
    """Open a file for streaming its text; line ends are left as they are, as the csv module wants them."""
    errors = "strict" if encoding.is_strict else "replace"
    with file.path.open(encoding=encoding.name, errors=errors, newline="") as handle:
        yield handle


def detect(file: SourceFile, declared: str | None = None) -> Encoding:
    """Tell a file's encoding; each strict candidate is tried on the whole file, block by block.

    Args:
        file: the file.
        declared: the encoding the file names itself (HTML), tried after the byte order mark.

    Raises:
        UnreadableFile: it is binary, or its encoding cannot be told.
    """
    with file.path.open("rb") as handle:
        sample = handle.read(_SAMPLE_BYTES)
    marked = next((name for mark, name in _MARKS if sample.startswith(mark)), None)
    if marked is not None:
        return Encoding(marked, is_strict=_decodes(file, marked))
    chosen = (
        _declared(file, declared)
        or _wide(file, sample)
        or _utf8(file, sample)
        or _chinese(file, sample)
        or _guessed(file, sample)
    )
    if chosen is None:
        raise UnreadableFile(file=file.name.value, reason="it is not text, or its encoding cannot be told")
    _refuse_noise(file, sample, chosen)
    return chosen


def _declared(file: SourceFile, declared: str | None) -> Encoding | None:
    if declared is None:
        return None
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        return None
    name = "gb18030" if name in {"gb2312", "gbk"} else name
    allowed = name != "utf-7" and not name.startswith("utf-16") and _is_text_codec(name)
    return Encoding(name) if allowed and _decodes(file, name) else None


def _is_text_codec(name: str) -> bool:
    try:
        b"a".decode(name)
    except (LookupError, UnicodeError):
        return False
    return True


def _wide(file: SourceFile, sample: bytes) -> Encoding | None:
    """UTF-16 without a mark: half of the bytes are zero (Latin text), or it reads as common Chinese."""
    if b"\x00" not in sample:
        return None
    half = max(len(sample) // 2, 1)
    for name, zeros in (("utf-16-be", sample[0::2]), ("utf-16-le", sample[1::2])):
        if zeros.count(0) / half > 0.4 and _decodes(file, name):
            return Encoding(name)
    for name in ("utf-16-le", "utf-16-be"):
        text = sample[: len(sample) // 2 * 2].decode(name, "replace")
        if _common_share(text, "gb2312", 0xB0, 0xD7) > _COMMON_ENOUGH and _decodes(file, name):
            return Encoding(name)
    return None


def _utf8(file: SourceFile, sample: bytes) -> Encoding | None:
    if _decodes(file, "utf-8"):
        return Encoding("utf-8")
    text = sample.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    wide = sum(1 for char in text if ord(char) > 0x7F) - bad
    return Encoding("utf-8", is_strict=False) if wide and bad / (bad + wide) < _BAD_SHARE else None


def _chinese(file: SourceFile, sample: bytes) -> Encoding | None:
    """GB18030 or Big5: many texts decode as both, so the one with more everyday characters wins."""
    shares: dict[str, float] = {}
    for name, charset, first, last in (("gb18030", "gb2312", 0xB0, 0xD7), ("big5hkscs", "big5", 0xA4, 0xC6)):
        if _decodes(file, name):
            shares[name] = _common_share(sample.decode(name, "ignore"), charset, first, last)
    best = max(shares, key=lambda name: shares[name], default="")
    return Encoding(best) if best and shares[best] >= _COMMON_ENOUGH else None


def _common_share(text: str, charset: str, first: int, last: int) -> float:
    """Share of the characters beyond ASCII that are everyday hanzi (the first level of `charset`) or punctuation."""
    wide = [char for char in text[:20_000] if ord(char) > 0x7F]
    common = 0
    for char in wide:
        coded = char.encode(charset, "ignore")
        common += len(coded) == 2 and (first <= coded[0] <= last or coded[0] in {0xA1, 0xA3})
    return common / len(wide) if wide else 0.0


def _guessed(file: SourceFile, sample: bytes) -> Encoding | None:
    best = from_bytes(sample[:_GUESS_BYTES], cp_isolation=_GUESSED).best()
    if best is None:
        return None
    return Encoding(best.encoding, is_strict=_decodes(file, best.encoding), is_certain=False)


def _refuse_noise(file: SourceFile, sample: bytes, encoding: Encoding) -> None:
    if encoding == Encoding("utf-8"):
        return  # stray control characters are cleaned away; noise is not valid UTF-8
    text = sample.decode(encoding.name, "replace")
    strange = len(_CONTROL.findall(text)) + text.count("\ufffd")
    if strange > max(len(text), 1) * _CONTROL_SHARE:
        raise UnreadableFile(file=file.name.value, reason="it is binary, not text")


def _decodes(file: SourceFile, name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)()
    with file.path.open("rb") as handle:
        try:
            while block := handle.read(_BLOCK_BYTES):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeError:
            return False
    return True
