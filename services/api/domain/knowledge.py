"""Knowledge bases, their files, and what is made of them: documents, chunks, hits, citations."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, NewType

from services.api.domain.names import FileName, KnowledgeBaseName

KnowledgeBaseId = NewType("KnowledgeBaseId", str)
"""32 hex digits, drawn once; never reused."""
FileId = NewType("FileId", str)
"""32 hex digits, drawn once per (base, file name); survives new versions of the file."""
ChunkId = NewType("ChunkId", str)
"""32 hex digits derived from base, file, content and position, so that indexing twice changes nothing."""

Vector = tuple[float, ...]
"""One embedding, L2-normalised."""


@dataclass(frozen=True, slots=True)
class Splitting:
    """How passages are cut. None: as the knowledge base says, and where it says nothing, as configured.

    Attributes:
        splitter: its name on the shelf.
        chunk_chars: longest passage, as the splitter measures.
        overlap_chars: what two neighbours share at most.
    """

    splitter: str | None = None
    chunk_chars: int | None = None
    overlap_chars: int | None = None

    def over(self, other: Splitting) -> Splitting:
        """This, and where it says nothing, the other."""
        return Splitting(
            self.splitter or other.splitter,
            other.chunk_chars if self.chunk_chars is None else self.chunk_chars,
            other.overlap_chars if self.overlap_chars is None else self.overlap_chars,
        )


WhenNothingFound = Literal["strict", "cautious", "free"]


@dataclass(frozen=True, slots=True)
class AnsweringChoice:
    """How questions to a base are answered where a request does not say it. None leaves it to the settings.

    Attributes:
        when_nothing_found: the policy, as in `Manner`.
        sufficient_relevance: from which relevance of the best passage on it is answered from; in [0, 1].
        strategy: name on the shelf of answering strategies.
        preset: name of a preset of the settings.
    """

    when_nothing_found: WhenNothingFound | None = None
    sufficient_relevance: float | None = None
    strategy: str | None = None
    preset: str | None = None


@dataclass(frozen=True, slots=True)
class KnowledgeBase:
    """A named collection with one embedder and one vector store.

    Attributes:
        splitting: of its files, unless an upload says otherwise.
        answering: of questions to it, unless a request says otherwise.
        dimensions: length of its vectors; None until the first chunk is indexed.
        expires_at: until when a temporary base is kept; None: for good.
    """

    id: KnowledgeBaseId
    name: KnowledgeBaseName
    description: str
    embedding_model: str
    vector_store: str
    created_at: datetime
    dimensions: int | None = None
    splitting: Splitting = field(default_factory=Splitting)
    answering: AnsweringChoice = field(default_factory=AnsweringChoice)
    expires_at: datetime | None = None


class FileState(enum.StrEnum):
    """Where a file stands. Readers of an older version keep finding it until the new one is INDEXED.

    STORED: kept, and not asked to be indexed. PENDING: to be indexed; taken up again after a crash. CANCELLED: was to
    be indexed, until somebody said no.
    """

    STORED = "stored"
    PENDING = "pending"
    INDEXED = "indexed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class FileFailure:
    """Why a file is not searchable: the failure's code and facts, ready to be rendered."""

    code: str
    facts: Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class KnowledgeFile:
    """A file in a base. A record; it does nothing.

    Attributes:
        version: counts up with each new content.
        sha256: of the stored content, in hex.
        modified_at: when the content was stored.
        chunk_count: chunks that can be found now.
        warnings: sentences about what was not read, e.g. pages without text.
        fingerprint: 64-bit SimHash of the text that can be found; None of short texts.
    """

    id: FileId
    knowledge_base_id: KnowledgeBaseId
    name: FileName
    size_bytes: int
    sha256: str
    version: int
    state: FileState
    created_at: datetime
    modified_at: datetime
    chunk_count: int = 0
    failure: FileFailure | None = None
    warnings: tuple[str, ...] = ()
    loader: str = ""
    splitter: str = ""
    fingerprint: int | None = None


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a file says, in a few sentences.

    Attributes:
        version: of the file that it is of.
        model: that made it.
        is_quoted: its sentences stand in the file as they stand here: the model only quotes.
    """

    file_id: FileId
    version: int
    text: str
    model: str
    is_quoted: bool
    created_at: datetime


def _unheard(_done: int, _total: int | None) -> None:
    """Progress nobody asked for."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """What a loader is given.

    Attributes:
        name: as a person knows it.
        path: where to read it.
        cache: a folder for what is dear to compute, by the hash of its content (text read from pictures); None: keep
            nothing.
        report: called while reading with the units done (pages, rows, slides) and how many there are, None if unknown.
    """

    name: FileName
    path: Path
    cache: Path | None = None
    report: Callable[[int, int | None], None] = _unheard


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file a text stands; what the format does not have stays None.

    Attributes:
        page: 1-based page of a paged format.
        sheet: name of a worksheet.
        row: 1-based first row of a table format, the header row counted.
        last_row: 1-based last row.
        heading: titles from the outermost to the nearest.
    """

    page: int | None = None
    sheet: str | None = None
    row: int | None = None
    last_row: int | None = None
    heading: tuple[str, ...] = ()

    @property
    def heading_path(self) -> str:
        """The titles in one line; empty where there are none."""
        return " > ".join(part for part in self.heading if part)


@dataclass(frozen=True, slots=True)
class Section:
    """A run of text with one place. `whole`: keep it in one chunk if it fits (a table row group, lines of code)."""

    text: str
    place: Place = field(default_factory=Place)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """What a loader read from one file, in reading order."""

    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """What a splitter makes: a text of bounded length and its place; not yet tied to a base."""

    text: str
    place: Place

    @property
    def indexed_text(self) -> str:
        """As `Chunk.indexed_text`."""
        return indexed_text(self.text, self.place)


@dataclass(frozen=True, slots=True)
class SplitterChoice:
    """Which splitter cuts a document, by its name on the shelf, and with what options."""

    name: str
    options: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file, read and cut.

    Attributes:
        passages: in reading order; at least one.
        warnings: sentences about what was not read.
        loader, splitter: the classes that made them.
    """

    passages: tuple[Passage, ...]
    warnings: tuple[str, ...]
    loader: str
    splitter: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage we index. `position` is its 0-based order in the file."""

    id: ChunkId
    knowledge_base_id: KnowledgeBaseId
    file_id: FileId
    file_name: FileName
    version: int
    position: int
    text: str
    place: Place

    @property
    def indexed_text(self) -> str:
        """What is embedded and tokenised: the heading path, then the text."""
        return indexed_text(self.text, self.place)


def indexed_text(text: str, place: Place) -> str:
    """What is embedded and tokenised of a text that stands in a place."""
    heading = place.heading_path
    return f"{heading}\n{text}" if heading else text


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk's id with its vector, as a vector store keeps it."""

    id: ChunkId
    vector: Vector


@dataclass(frozen=True, slots=True)
class Match:
    """A chunk one arm of the search found. `similarity` is in [0, 1], higher is better, within that arm's meaning."""

    id: ChunkId
    similarity: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found.

    Attributes:
        similarity: in [0, 1], higher is better: the larger of the two below.
        cosine: cosine similarity to the query, or None when the dense arm did not find it.
        coverage: share of the query's words, weighted by rarity, that the chunk holds; None when the keyword arm
            did not find it.
        relevance: how likely it answers the question, in [0, 1], by the reranker; None when there is none.
        shown: the chunk's text with that of its neighbours, where the query asked for it.
    """

    chunk: Chunk
    similarity: float
    cosine: float | None = None
    coverage: float | None = None
    relevance: float | None = None
    shown: str | None = None


@dataclass(frozen=True, slots=True)
class Citation:
    """A hit as a person sees it.

    Attributes:
        number: the [n] of the answer, from 1.
        knowledge_base: None where it is a temporary one, whose files nobody can open.
        excerpt: the chunk's text.
        shown: what the model was given in its place; None: the excerpt.
    """

    number: int
    knowledge_base: KnowledgeBaseName | None
    file_name: FileName
    place: Place
    excerpt: str
    similarity: float
    chunk_id: ChunkId
    shown: str | None = None

    @property
    def read(self) -> str:
        """What the model reads of it."""
        return self.excerpt if self.shown is None else self.shown


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """A query's vector, None when the embedder cannot read it, and the share of its tokens that are unknown to it."""

    vector: Vector | None
    unreadable_share: float
