"""Where an answer's context comes from, and how passages are shown to a model."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.api.chat.fencing import fenced, inert
from services.api.domain.knowledge import Citation, Hit, KnowledgeBase, Place
from services.api.domain.names import KnowledgeBaseName
from services.api.domain.ports import Retriever
from services.api.domain.retrieval import Query, Retrieved, SearchMode, Wording

CITED = re.compile(r"\[\s*(\d{1,6}(?:[\s,，、]+\d{1,6})*)\s*\]")
"""[1], [1, 2]: what an answer cites; the group holds the numbers."""


@dataclass(frozen=True, slots=True)
class _Words:
    """How a prompt says where a passage stands."""

    source: str
    page: str
    sheet: str
    row: str
    rows: str


_WORDS = {
    "zh-CN": _Words("出处", "第 {0} 页", "工作表 {0}", "第 {0} 行", "第 {0}-{1} 行"),
    "en": _Words("source", "page {0}", "worksheet {0}", "row {0}", "rows {0}-{1}"),
}


@dataclass(frozen=True, slots=True)
class Reach:
    """How passages are looked for, whatever the question; the names are those of `Query`."""

    top_k: int
    min_similarity: float = 0.0
    widen_chars: int = 0
    mode: SearchMode = SearchMode.HYBRID


class KnowledgeContext:
    """Passages of knowledge bases, one or several, or of one temporary base."""

    def __init__(self, retriever: Retriever, bases: Sequence[KnowledgeBase], reach: Reach) -> None:
        self._retriever = retriever
        self._bases = {base.id: base for base in bases}
        self._reach = reach

    async def gather(self, question: str, wordings: tuple[Wording, ...] = ()) -> Retrieved:
        query = Query(
            question,
            tuple(self._bases.values()),
            self._reach.top_k,
            self._reach.min_similarity,
            widen_chars=self._reach.widen_chars,
            wordings=wordings,
            mode=self._reach.mode,
            distinct=True,
        )
        return await self._retriever.retrieve(query)

    def cite(self, hits: Sequence[Hit]) -> tuple[Citation, ...]:
        """The hits as a person sees them, numbered from 1 in their order."""
        return tuple(
            Citation(
                number=number,
                knowledge_base=_named(self._bases[hit.chunk.knowledge_base_id]),
                file_name=hit.chunk.file_name,
                place=hit.chunk.place,
                excerpt=hit.chunk.text,
                similarity=hit.similarity,
                chunk_id=hit.chunk.id,
                shown=hit.shown,
            )
            for number, hit in enumerate(hits, start=1)
        )


def _named(base: KnowledgeBase) -> KnowledgeBaseName | None:
    return None if base.name.is_temporary else base.name


def numbered_context(citations: Sequence[Citation], language: str) -> str:
    """The passages as a prompt shows them: `[n] 出处: file place` or `[n] source: …`, then the text.

    Both are fenced: no passage, file name or heading can imitate the prompt's own tags, a control token, another
    passage, or a citation of one.
    """
    words = _WORDS[language]
    return "\n\n".join(
        f"[{citation.number}] {words.source}: {_source(citation, words)}\n{fenced(citation.read)}"
        for citation in citations
    )


def quoted(text: str, numbers: Collection[int], *, escape: bool = True) -> str:
    """What a model wrote about passages, made safe to stand among them in the next prompt.

    It is inert, and of the numbers in brackets only those of the passages it read stay as they are; others are widened:
    a passage that gives orders cannot make it speak for another one. Without `escape` it is for a reader, not for a
    prompt.
    """

    def own(cited: re.Match[str]) -> str:
        found: list[str] = re.findall(r"\d+", cited[1])
        if all(int(number) in numbers for number in found):
            return cited[0]
        return "".join(f"[{number}]" if int(number) in numbers else f"［{number}］" for number in found)

    return CITED.sub(own, inert(html.unescape(text)) if escape else text)


def _source(citation: Citation, words: _Words) -> str:
    parts = [f"{citation.file_name} {_where(citation.place, words)}", " > ".join(citation.place.heading)]
    return fenced(" | ".join(" ".join(part.split()) for part in parts if part.strip()))


def _where(place: Place, words: _Words) -> str:
    if place.page is not None:
        return words.page.format(place.page)
    sheet = words.sheet.format(place.sheet) if place.sheet else ""
    if place.row is None:
        return sheet
    is_one = place.last_row in {None, place.row}
    rows = words.row.format(place.row) if is_one else words.rows.format(place.row, place.last_row)
    return f"{sheet} {rows}".strip()
