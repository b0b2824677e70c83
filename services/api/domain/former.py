"""What an installation of 0.2.x kept, as the importer reads it, and the port it reads it through.

Names and texts are not parsed yet.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.api.domain.conversation import Conversation, Turn


@dataclass(frozen=True, slots=True)
class FormerFile:
    """A file record of 0.2.x.

    Attributes:
        path: its name there: a path below the base's `content` folder, with `/`.
        version: counts up with each indexing; from 1.
        modified_at: when the file was last changed.
        loader, splitter: the classes that made its chunks.
        edited: its chunks were written or changed by hand.
    """

    path: str
    version: int
    size_bytes: int
    created_at: datetime
    modified_at: datetime
    loader: str = ""
    splitter: str = ""
    edited: bool = False


@dataclass(frozen=True, slots=True)
class FormerBase:
    """A knowledge base of 0.2.x with its file records; what is not on record is empty."""

    name: str
    description: str
    embedding_model: str
    vector_store: str
    created_at: datetime
    files: tuple[FormerFile, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """How much there is of what we have no place for: summaries of files, and feedback on answers."""

    summaries: int = 0
    feedback: int = 0


class FormerRecords(Protocol):
    """The records of a 0.2.x installation, all as of one moment. Raises ImportRefused when they cannot be read.

    `conversations` gives the threads that 0.2.x listed; a turn may name another. `turns` gives batches, oldest first.
    """

    @property
    def beside_ours(self) -> bool:
        """Whether the same database holds our own tables too."""

    async def bases(self) -> list[FormerBase]: ...

    async def conversations(self) -> list[Conversation]: ...

    def turns(self) -> AsyncIterator[list[Turn]]: ...

    async def left_behind(self) -> LeftBehind: ...
