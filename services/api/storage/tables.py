"""The tables of the metadata database. A change here needs a revision under `migrations/versions`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal, TypedDict

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class FailureFields(TypedDict):
    """A FileFailure as it is kept."""

    code: str
    facts: dict[str, str | int | float | bool | None]


class PlaceFields(TypedDict, total=False):
    """A Place as it is kept, without what it does not have."""

    page: int
    sheet: str
    row: int
    last_row: int
    heading: list[str]


class SplitterFields(TypedDict):
    """A SplitterChoice as it is kept."""

    name: str
    options: dict[str, str | int | float | bool | None]


class AnsweringFields(TypedDict, total=False):
    """An AnsweringChoice as it is kept, without what it leaves open."""

    when_nothing_found: Literal["strict", "cautious", "free"]
    sufficient_relevance: float
    strategy: str
    preset: str


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes in and out, always UTC: SQLite forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class PlainText(TypeDecorator[str]):
    """Text without null characters: PostgreSQL refuses them, and no text needs one."""

    impl = Text()
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace("\0", "")


class Record(DeclarativeBase):
    """What all tables share: constraints have names, so that a later revision can change them."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {str: PlainText(), datetime: UtcDateTime(), list[str]: JSON()}


class KnowledgeBaseRecord(Record):
    """`key` is the name as it is compared.

    `splitter`, `chunk_chars`, `overlap_chars`: of its files; None: as configured. `answering`: what its AnsweringChoice
    says; None: nothing. `expires_at`: of a temporary one.
    """

    __tablename__ = "knowledge_bases"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str]
    embedding_model: Mapped[str]
    vector_store: Mapped[str]
    created_at: Mapped[datetime]
    dimensions: Mapped[int | None]
    splitter: Mapped[str | None]
    chunk_chars: Mapped[int | None]
    overlap_chars: Mapped[int | None]
    answering: Mapped[AnsweringFields | None] = mapped_column(JSON(none_as_null=True))
    expires_at: Mapped[datetime | None]


class KnowledgeFileRecord(Record):
    """One file of one base. `fingerprint`: 16 hex digits: half of its values are too large for a signed integer."""

    __tablename__ = "knowledge_files"
    __table_args__ = (UniqueConstraint("knowledge_base_id", "name"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    knowledge_base_id: Mapped[str] = mapped_column(ForeignKey("knowledge_bases.id", ondelete="CASCADE"))
    name: Mapped[str]
    size_bytes: Mapped[int] = mapped_column(BigInteger())
    sha256: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    state: Mapped[str]
    created_at: Mapped[datetime]
    modified_at: Mapped[datetime]
    chunk_count: Mapped[int]
    failure: Mapped[FailureFields | None] = mapped_column(JSON(none_as_null=True))
    warnings: Mapped[list[str]]
    loader: Mapped[str]
    splitter: Mapped[str]
    fingerprint: Mapped[str | None] = mapped_column(String(16))


class ChunkRecord(Record):
    """One chunk: the text both indexes can be rebuilt from."""

    __tablename__ = "chunks"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    knowledge_base_id: Mapped[str] = mapped_column(ForeignKey("knowledge_bases.id", ondelete="CASCADE"), index=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("knowledge_files.id", ondelete="CASCADE"), index=True)
    version: Mapped[int]
    position: Mapped[int]
    text: Mapped[str]
    place: Mapped[PlaceFields] = mapped_column(JSON())


class IngestJobRecord(Record):
    """The job of one file that is to be indexed.

    `holder` works on it until `leased_until`; empty: nobody. `asked_by` wants it from the holder; empty: nobody.
    `stage`, `done` and `total` are its progress.
    """

    __tablename__ = "ingest_jobs"

    file_id: Mapped[str] = mapped_column(
        String(32), ForeignKey("knowledge_files.id", ondelete="CASCADE"), primary_key=True
    )
    sha256: Mapped[str] = mapped_column(String(64))
    splitter: Mapped[SplitterFields] = mapped_column(JSON())
    attempt: Mapped[int]
    is_staged: Mapped[bool]
    warnings: Mapped[list[str]]
    loader: Mapped[str]
    splitter_class: Mapped[str]
    queued_at: Mapped[datetime]
    holder: Mapped[str]
    leased_until: Mapped[datetime | None]
    asked_by: Mapped[str]
    stage: Mapped[str]
    done: Mapped[int]
    total: Mapped[int | None]


class StaleChunkRecord(Record):
    """A chunk that is no more, and that the vector store and the keyword index may hold still."""

    __tablename__ = "stale_chunks"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    knowledge_base_id: Mapped[str] = mapped_column(String(32))


class StagedChunkRecord(Record):
    """One chunk of a version that is being indexed. `is_indexed`: the vector store and the keyword index have it."""

    __tablename__ = "staged_chunks"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    knowledge_base_id: Mapped[str] = mapped_column(String(32))
    file_id: Mapped[str] = mapped_column(ForeignKey("knowledge_files.id", ondelete="CASCADE"), index=True)
    version: Mapped[int]
    position: Mapped[int]
    text: Mapped[str]
    place: Mapped[PlaceFields] = mapped_column(JSON())
    is_indexed: Mapped[bool]


class FileSummaryRecord(Record):
    """The summary of one version of a file."""

    __tablename__ = "file_summaries"

    file_id: Mapped[str] = mapped_column(
        String(32), ForeignKey("knowledge_files.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int]
    text: Mapped[str]
    model: Mapped[str]
    is_quoted: Mapped[bool]
    created_at: Mapped[datetime]


class ConversationRecord(Record):
    """One thread of one owner."""

    __tablename__ = "conversations"

    id: Mapped[str] = mapped_column(PlainText(), primary_key=True)
    owner: Mapped[str] = mapped_column(index=True)
    title: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class TurnRecord(Record):
    """One question with its answer. `sequence` keeps the order of turns that share a time."""

    __tablename__ = "turns"

    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(unique=True)
    conversation_id: Mapped[str | None] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    chat_type: Mapped[str]
    question: Mapped[str]
    answer: Mapped[str]
    citations: Mapped[str]
    created_at: Mapped[datetime]
