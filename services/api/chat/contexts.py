"""Where an answer's context comes from, and how passages are shown to a model."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Sequence

from services.api.domain.knowledge import Citation, Hit, KnowledgeBase, Place, Query
from services.api.domain.names import KnowledgeBaseName
from services.api.domain.ports import Retriever
from services.api.domain.retrieval import Retrieved

CITED = re.compile(r"\[\s*(\d{1,6}(?:[\s,，、]+\d{1,6})*)\s*\]")
"""[1], [1, 2]: what an answer cites; the group holds the numbers."""
_NUMBER = re.compile(r"^(\s*)\[(\d+)\]", re.MULTILINE)


class KnowledgeContext:
    """Passages of knowledge bases, one or several, or of one temporary base."""

    def __init__(
        self, retriever: Retriever, bases: Sequence[KnowledgeBase], *, top_k: int, min_similarity: float
    ) -> None:
        self._retriever = retriever
        self._bases = {base.id: base for base in bases}
        self._top_k = top_k
        self._min_similarity = min_similarity

    async def gather(self, question: str) -> Retrieved:
        bases = tuple(self._bases.values())
        return await self._retriever.retrieve(Query(question, bases, self._top_k, self._min_similarity))

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
            )
            for number, hit in enumerate(hits, start=1)
        )


def _named(base: KnowledgeBase) -> KnowledgeBaseName | None:
    return None if base.name.is_temporary else base.name


def numbered_context(citations: Sequence[Citation]) -> str:
    """The passages as a prompt shows them: `[n] 出处: file place`, then the text.

    Angle brackets and ampersands are escaped and numbers in brackets at the start of a line are widened, so that no
    passage can imitate the prompt's own tags or another passage.
    """
    return "\n\n".join(
        f"[{citation.number}] 出处: {_inert(_source(citation))}\n{_inert(citation.excerpt)}" for citation in citations
    )


def quoted(text: str, numbers: Collection[int], *, escape: bool = True) -> str:
    """What a model wrote about passages, made safe to stand among them in the next prompt.

    Angle brackets and ampersands are escaped, and of the numbers in brackets only those of the passages it read stay as
    they are; others are widened: a passage that gives orders cannot make it speak for another one. Without `escape` it
    is for a reader, not for a prompt.
    """

    def own(cited: re.Match[str]) -> str:
        found: list[str] = re.findall(r"\d+", cited[1])
        if all(int(number) in numbers for number in found):
            return cited[0]
        return "".join(f"[{number}]" if int(number) in numbers else f"［{number}］" for number in found)

    return CITED.sub(own, html.escape(html.unescape(text), quote=False) if escape else text)


def _inert(text: str) -> str:
    return _NUMBER.sub(r"\1［\2］", html.escape(text, quote=False))


def _source(citation: Citation) -> str:
    parts = [f"{citation.file_name} {_where(citation.place)}".strip(), " > ".join(citation.place.heading)]
    return " | ".join(part for part in parts if part)


def _where(place: Place) -> str:
    if place.page is not None:
        return f"第 {place.page} 页"
    sheet = f"工作表 {place.sheet}" if place.sheet else ""
    if place.row is None:
        return sheet
    rows = f"第 {place.row} 行" if place.last_row in {None, place.row} else f"第 {place.row}-{place.last_row} 行"
    return f"{sheet} {rows}".strip()
