"""The plain recursive splitter with Chinese separators, as Langchain-Chatchat 0.2.x cut: for those who compare."""

from __future__ import annotations

from langchain_text_splitters import RecursiveCharacterTextSplitter

from services.api.domain.knowledge import Document, Passage
from services.api.knowledge.splitters.measure import THIRDS, width

_SEPARATORS = ["\n\n", "\n", "[。！？]", r"[.!?]\s", r"；|;\s", r"，|,\s", ""]


class RecursiveSplitter:
    """Cuts each section at the largest separator that makes it fit. Sections are not joined, tables not treated apart.

    Lengths are measured as in `SentenceSplitter`.
    """

    def __init__(self, *, chunk_chars: int = 250, overlap_chars: int = 50) -> None:
        self._splitter = RecursiveCharacterTextSplitter(
            separators=_SEPARATORS,
            is_separator_regex=True,
            keep_separator="end",
            chunk_size=chunk_chars * THIRDS,
            chunk_overlap=min(overlap_chars, chunk_chars // 2) * THIRDS,
            length_function=width,
        )

    def split(self, document: Document) -> list[Passage]:
        return [
            Passage(text.strip(), section.place)
            for section in document.sections
            for text in self._splitter.split_text(section.text)
            if text.strip()
        ]
