"""Every protocol the domain asks of the world. Implementations stand on shelves or in rooms; `bootstrap` joins them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import ClassVar, Protocol, runtime_checkable

from services.api.domain.answering import ChatEvent, Finished, ModelRequest, Question, Token
from services.api.domain.conversation import Conversation, ConversationId, Turn
from services.api.domain.ingestion import Hold, IngestJob, Progress
from services.api.domain.knowledge import (
    Chunk,
    ChunkId,
    Document,
    EmbeddedChunk,
    EmbeddedQuery,
    FileId,
    FileSummary,
    Hit,
    KnowledgeBase,
    KnowledgeBaseId,
    KnowledgeFile,
    Match,
    Parsed,
    Passage,
    Place,
    SourceFile,
    SplitterChoice,
    Vector,
)
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.retrieval import Query, Retrieved


class Loader(Protocol):
    """Reads one file. Runs in a thread; may be slow.

    Sections come in reading order and know their place. Text is NFKC-normalised, the punctuation of Chinese prose kept.
    Raises UnreadableFile, EncryptedFile, EmptyFile (no text at all); never returns a document without text.
    """

    extensions: ClassVar[frozenset[str]]

    def load(self, file: SourceFile) -> Document: ...


@runtime_checkable
class PartLoader(Loader, Protocol):
    """A Loader of a format whose files may be larger than memory: it gives them in parts as well.

    The parts' sections, one after another, are those of `load`, and so are their warnings; neighbours of one place are
    in one part, up to some thousand or a million characters.
    Raises as `Loader.load`, some of it after the first parts, but gives no part at all where that raises EmptyFile.
    """

    def parts(self, file: SourceFile) -> Iterator[Document]: ...


class Splitter(Protocol):
    """Document → passages: order kept, nothing lost but white space, no passage longer than its limit.

    A sentence is cut only when it alone is longer than the limit. A passage never spans two places except that it may
    join neighbouring sections of one page and one heading.
    """

    def split(self, document: Document) -> list[Passage]: ...


class Parser(Protocol):
    """File → passages: loads and splits where a hostile file can harm nothing but itself.

    Raises what a loader raises; EmptyFile when no passage is left; UnreadableFile and its ReadingStalled,
    ReadingTooDemanding and ReadingCrashed when reading would not end, or not end well. `stop` ends what is under way.
    """

    async def parse(self, file: SourceFile, splitter: SplitterChoice) -> Parsed: ...

    async def stop(self) -> None: ...


class Embedder(Protocol):
    """Text → vectors, through the gateway. Raises what the gateway names (UnknownModel, NoWorker, …).

    A text the model cannot read (most of its tokens are unknown to it) has no vector: it would only be noise.
    """

    async def embed_documents(self, model: str, texts: Sequence[str]) -> list[Vector | None]: ...

    async def embed_query(self, model: str, text: str) -> EmbeddedQuery: ...


class VectorStore(Protocol):
    """Keeps vectors by knowledge base and finds the nearest. Knows nothing of files or tables.

    Similarity is the cosine, negative values clipped to 0. `among`: find only these.
    All methods are idempotent and safe to call concurrently; what `upsert` acknowledged survives the death of the
    process. Unknown ids and unknown bases are no error.
    Raises StoreFailed when the store cannot do its work, EmbedderChanged when a vector's length is not the base's.
    """

    async def upsert(self, base: KnowledgeBaseId, chunks: Sequence[EmbeddedChunk]) -> None: ...

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None: ...

    async def search(
        self, base: KnowledgeBaseId, vector: Vector, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]: ...

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]: ...

    async def bases(self) -> set[KnowledgeBaseId]:
        """Those that it keeps anything of, their last chunk removed or not."""

    async def drop(self, base: KnowledgeBaseId) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class TextIndex(Protocol):
    """Keyword search over chunks, Chinese and English. Idempotent; unknown ids are no error.

    A match's similarity is the share of the query's words, weighted by their rarity in the base, that the chunk holds;
    the order of the matches is the index's own ranking (BM25), best first, and may differ from the order of similarity.
    `among`: find only these; rarity stays that of the whole base.
    """

    async def upsert(self, chunks: Sequence[Chunk]) -> None: ...

    async def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None: ...

    async def search(
        self, base: KnowledgeBaseId, text: str, *, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]: ...

    async def terms(self, base: KnowledgeBaseId) -> Set[str]:
        """Every Latin word and code that some chunk holds."""

    async def rarity(self, base: KnowledgeBaseId, text: str) -> Mapping[str, float]:
        """A question's tokens (Latin words and codes, pairs of ideographs; no stop words), the rarest weighing most."""

    async def ids(self, base: KnowledgeBaseId) -> set[ChunkId]: ...

    async def bases(self) -> set[KnowledgeBaseId]:
        """Those that it keeps anything of, their last chunk removed or not."""

    async def drop(self, base: KnowledgeBaseId) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Reranker(Protocol):
    """Orders hits anew by what it reads in them, best first, at most `limit`; each gets its `relevance`.

    Raises what the gateway names where a model is asked (UnknownModel, NoWorker, …).
    """

    async def rerank(self, query: str, hits: Sequence[Hit], *, limit: int) -> list[Hit]: ...


class Retriever(Protocol):
    """Question → hits, best first, at most `query.top_k`, and why."""

    async def retrieve(self, query: Query) -> Retrieved: ...


class ContextSource(Protocol):
    """Where an answer's context comes from."""

    async def gather(self, question: str) -> Retrieved: ...


class ChatModel(Protocol):
    """Streams an answer: tokens, then one Finished. Closing the iterator stops the engine."""

    def stream(self, request: ModelRequest) -> AsyncIterator[Token | Finished]: ...


class Condenser(Protocol):
    """History + question → a question that stands alone."""

    async def condense(self, question: Question) -> str: ...


class Answerer(Protocol):
    """Question → events. Raises what fails; the render makes an event of it."""

    def answer(self, question: Question) -> AsyncIterator[ChatEvent]: ...


class KnowledgeBases(Protocol):
    """The knowledge-base records. Names are compared by `KnowledgeBaseName.key`."""

    async def add(self, base: KnowledgeBase) -> None: ...

    async def get(self, name: KnowledgeBaseName) -> KnowledgeBase: ...

    async def find(self, base: KnowledgeBaseId) -> KnowledgeBase | None: ...

    async def all(self) -> list[KnowledgeBase]: ...

    async def temporary(self) -> list[KnowledgeBase]:
        """Those that expire; `all` gives the others."""

    async def update(self, base: KnowledgeBase) -> None:
        """Change all but when it expires."""

    async def renew(self, base: KnowledgeBaseId, *, now: datetime, until: datetime) -> KnowledgeBase | None:
        """Let a base that expires, and has not by `now`, live until then. None: there is none."""

    async def remove(self, base: KnowledgeBaseId) -> None: ...


class KnowledgeFiles(Protocol):
    """The file records of a base."""

    async def save(self, file: KnowledgeFile) -> None: ...

    async def find(self, base: KnowledgeBaseId, name: FileName) -> KnowledgeFile | None: ...

    async def get(self, file: FileId) -> KnowledgeFile | None: ...

    async def of_base(self, base: KnowledgeBaseId) -> list[KnowledgeFile]: ...

    async def remove(self, file: FileId) -> None: ...

    async def counts(self) -> Mapping[KnowledgeBaseId, int]: ...


class Chunks(Protocol):
    """The chunks' text: the source of truth that both indexes can be rebuilt from."""

    async def replace(self, file: KnowledgeFile, chunks: Sequence[Chunk]) -> None: ...

    async def fetch(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> list[Chunk]: ...

    async def ids_of_file(self, file: FileId) -> list[ChunkId]: ...

    async def ids_of_base(self, base: KnowledgeBaseId) -> set[ChunkId]: ...

    async def of_file(self, file: FileId) -> list[Chunk]: ...

    async def around(self, file: FileId, position: int, *, reach: int) -> list[Chunk]:
        """Those at most `reach` positions away, in order."""

    async def places(self, base: KnowledgeBaseId, files: Set[FileId]) -> Mapping[ChunkId, Place]:
        """Where each chunk of these files stands."""


class IngestJobs(Protocol):
    """Jobs: files that are to be indexed. Only its holder works on a job; it goes with its file."""

    async def find(self, file: FileId) -> IngestJob | None: ...

    async def put(self, job: IngestJob) -> None:
        """Add a job that nobody holds, in the place of one that the caller holds. Raises FileNotInBase."""

    async def take(self, file: FileId, hold: Hold) -> bool:
        """Hold the file's job; True, too, when it has none. False: the holder is asked to hand it over."""

    async def claim(self, hold: Hold) -> IngestJob | None:
        """Hold the job that waits longest, those begun before last, as one attempt more; None when none waits."""

    async def renew(self, file: FileId, hold: Hold, progress: Progress) -> None:
        """Hold a job for longer, and say how far it has got. Raises JobLost."""

    async def held(self, holder: str) -> Mapping[FileId, bool]:
        """The jobs of a holder, and whether somebody asks for them."""

    async def let_go(self, file: FileId, hold: Hold) -> None:
        """Hand a held job to whoever asked for it, else free it; an attempt that was left does not count."""

    async def free(self, holder: str) -> None:
        """Let go of all that a holder held when it died."""

    async def save(self, job: IngestJob, holder: str) -> None:
        """Change a held job. Raises JobLost."""

    async def progress(self, base: KnowledgeBaseId) -> Mapping[FileId, Progress]:
        """How far the files of a base have got that are to be indexed."""

    async def unfinished(self, files: Sequence[FileId]) -> set[FileId]:
        """Those of these files that have a job."""

    async def is_any_held(self) -> bool:
        """Whether anybody works on any job now."""

    async def remove(self, file: FileId) -> None: ...


class StagedChunks(Protocol):
    """Chunks of versions that are being indexed: beside the live ones, unseen by readers until they are published.

    Staged chunks go with their file. `next_batch` gives chunks that are not marked yet, by position, which is
    greater than `after`.
    """

    async def add(self, file: FileId, chunks: Sequence[Chunk]) -> None: ...

    async def next_batch(self, file: KnowledgeFile, *, after: int = -1, limit: int) -> list[Chunk]: ...

    async def count_waiting(self, file: FileId) -> int:
        """How many are not marked yet."""

    async def mark(self, ids: Sequence[ChunkId]) -> None: ...

    async def ids(self, file: FileId) -> list[ChunkId]: ...

    async def texts(self, file: FileId, *, limit: int) -> list[str]:
        """The first, in reading order."""

    async def ids_of_base(self, base: KnowledgeBaseId) -> set[ChunkId]: ...

    async def publish(self, file: FileId) -> None:
        """Make the staged chunks the file's live ones, in place of those before."""

    async def remove(self, file: FileId) -> None: ...


class StaleChunks(Protocol):
    """Chunks that are no more, and that the indexes may hold still; they are forgotten when the indexes have."""

    async def add(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None: ...

    async def some(self, *, limit: int) -> Mapping[KnowledgeBaseId, list[ChunkId]]:
        """At most so many, without those that are live or staged again."""

    async def remove(self, ids: Sequence[ChunkId]) -> None: ...


class FileSummaries(Protocol):
    """At most one summary for each file, which goes with it."""

    async def save(self, summary: FileSummary) -> None:
        """Keep it in the place of the one before. Raises FileNotInBase."""

    async def of_base(self, base: KnowledgeBaseId) -> Mapping[FileId, FileSummary]:
        """Those of the files' versions as they are now."""


class Conversations(Protocol):
    """Threads and their turns."""

    async def open(self, conversation: Conversation) -> None: ...

    async def get(self, id: ConversationId) -> Conversation: ...  # noqa: A002 - the field's name

    async def of_owner(self, owner: str) -> list[Conversation]: ...

    async def remove(self, id: ConversationId) -> None: ...  # noqa: A002

    async def add_turn(self, turn: Turn) -> None: ...

    async def restore(self, turns: Sequence[Turn]) -> int:
        """Append the turns whose ids are not kept yet; returns how many. Their conversations must be there."""

    async def turns(self, id: ConversationId) -> list[Turn]: ...  # noqa: A002


class UnitOfWork(Protocol):
    """The repositories of one transaction. Commits once when the block ends well, rolls back when it does not."""

    knowledge_bases: KnowledgeBases
    files: KnowledgeFiles
    chunks: Chunks
    jobs: IngestJobs
    staged: StagedChunks
    stale: StaleChunks
    summaries: FileSummaries
    conversations: Conversations


class Storage(Protocol):
    """Opens units of work. `start` brings the tables up to date."""

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Prompts(Protocol):
    """Named templates with declared variables, in the language of the question where there is one.

    Raises PromptNotFound for an unknown use or name and InvalidPrompt for a template that cannot be rendered.
    """

    def render(self, use: str, name: str, variables: Mapping[str, str], language: str) -> str: ...

    def template(self, use: str, name: str, language: str) -> str: ...

    def names(self, use: str) -> list[str]: ...
