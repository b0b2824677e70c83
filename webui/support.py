"""How far an answer's passages say what its sentences say: marks, counts and words. Pure; drawn by components."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.wire.chatchat import SupportBody
from webui.i18n import Texts
from webui.markdown import marked_in
from webui.marks import Mark

SIGNS = {"partly": ":orange[◐]", "unsupported": ":red[○]"}
"""Told apart by their form as well: half filled, empty. No icons: a line may end before one, hard space or not."""
_SENTENCE_CHARS = 80
_LIST = re.compile(r"^(?:[\s>|]|[-*+]\s|\d{1,9}[.)]\s)+")
_MARKUP = re.compile(r"\*\*|`|\|")


def prose_of(answer: str, support: Sequence[SupportBody]) -> tuple[SupportBody, ...]:
    """The sentences that say something: code, titles and headers of tables are none."""
    marks = {_mark(sentence): sentence for sentence in support}
    said = marked_in(answer, list(marks))
    return tuple(sentence for mark, sentence in marks.items() if mark in said)


def marks_of(support: Sequence[SupportBody]) -> list[Mark]:
    """A mark behind each sentence that is supported in part or not at all, on the line where that ends."""
    return [_mark(sentence) for sentence in doubtful(support)]


def _mark(sentence: SupportBody) -> Mark:
    sign = f"\u00a0{SIGNS.get(sentence.support, '')}"
    return Mark(sentence.start, sentence.start + len(sentence.text), sign)


def doubtful(support: Sequence[SupportBody]) -> list[SupportBody]:
    """The sentences that are marked."""
    return [sentence for sentence in support if sentence.support in SIGNS]


def count_of(support: Sequence[SupportBody], texts: Texts) -> str:
    """How many sentences are supported, partly, and not."""
    kinds = [sentence.support for sentence in support]
    counts = {kind: kinds.count(kind) for kind in ("supported", "partly", "unsupported")}
    return texts("support.count", whole=len(kinds), **counts)


def line_of(sentence: SupportBody, texts: Texts) -> str:
    """A sentence in short, and how much of its words which passages hold."""
    percent, said = round(100 * sentence.share), shortened(sentence.text)
    if not sentence.cited:
        return texts("support.share_of_all", sentence=said, percent=percent)
    numbers = "".join(f"[{number}]" for number in sentence.cited)
    return texts("support.share", sentence=said, percent=percent, numbers=numbers)


def shortened(text: str) -> str:
    """A sentence on one line, without its marks of lists and tables, cut where it is long."""
    line = " ".join(_MARKUP.sub("", _LIST.sub("", text)).split())
    return line if len(line) <= _SENTENCE_CHARS else f"{line[:_SENTENCE_CHARS]}…"
