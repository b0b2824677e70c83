"""Parts: what a process of the API is made of, its role, and the order in which it is opened and closed."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import APIRouter

from services.api.chat.recording import Recorder
from services.api.domain.ports import Parser, TextIndex, VectorStore
from services.api.knowledge.consistency import Inspection
from services.api.knowledge.importing.importer import Importer
from services.api.knowledge.indexing import Indexer
from services.api.knowledge.ingest import Indexes
from services.api.knowledge.maintenance import Maintenance
from services.api.knowledge.schedule import InspectionSchedule
from services.api.knowledge.service import KnowledgeService
from services.api.knowledge.temporary import TemporarySweeper
from services.api.storage.database import SqlStorage
from services.clients.openai import OpenAIClient
from services.foundation.errors import ChatchatError
from services.foundation.http import Health

log = logging.getLogger(__name__)
_REOPEN_SECONDS = 2.0


class Role(enum.StrEnum):
    """What of the knowledge service's work a process does; several processes do it together, except for WHOLE."""

    WHOLE = "whole"
    API = "api"
    INGEST = "ingest"
    SCRIPT = "script"

    @property
    def shares(self) -> bool:
        """The embedded vector store is open in a process of its own."""
        return self is not Role.WHOLE

    @property
    def indexes(self) -> bool:
        """Files are indexed in this process."""
        return self is not Role.API

    def sweeps(self, number: int) -> bool:
        """What expired is deleted in this process, by its number among those of its role."""
        return self is Role.WHOLE or (self is Role.INGEST and number == 1)


@dataclass(slots=True)
class Parts:
    """Everything a process of the API is made of, built and not yet started.

    `indexer`: None where others index. `schedule`: None where no checks are made, or others make them. `sweeper`: None
    where others delete what expired.
    """

    client: OpenAIClient
    database: SqlStorage
    indexes: Indexes
    knowledge: KnowledgeService
    indexer: Indexer | None
    maintenance: Maintenance
    inspection: Inspection
    schedule: InspectionSchedule | None
    sweeper: TemporarySweeper | None
    importer: Importer
    parser: Parser
    recorder: Recorder
    routers: Sequence[APIRouter]
    _ready: bool = False
    _background: list[asyncio.Task[None]] = field(default_factory=list, repr=False)

    async def start(self) -> None:
        """Open the stores; then, in the background, finish what a crash interrupted, and index."""
        await self.indexes.storage.start()
        await self.open_indexes()
        self._background.append(asyncio.create_task(self._resume()))
        self._start_sweeper()
        self._ready = True

    async def start_indexing(self) -> None:
        """For a process that does nothing else: it is ready with the metadata database, and opens the rest behind that.

        Reading dictionaries and waiting for the vector store is left to when the processes that answer have started.
        """
        await self.indexes.storage.start()
        self._background.append(asyncio.create_task(self._vital(self._begin_indexing)))
        self._ready = True

    async def _begin_indexing(self) -> None:
        for store in (self.indexes.vectors, self.indexes.keywords):
            await self._open(store)
        self._start_indexer()
        self._start_sweeper()
        if self.schedule is not None:
            self._background.append(asyncio.create_task(self.schedule.keep()))

    async def _open(self, store: VectorStore | TextIndex) -> None:
        """Try until it can be opened."""
        while True:
            try:
                await store.start()
            except ChatchatError as failure:
                log.warning("indexing cannot begin yet: %s", failure)
                await asyncio.sleep(_REOPEN_SECONDS)
            else:
                return

    async def open_indexes(self) -> None:
        """Open the vector store and the keyword index, and index what waits, if that is this process's work."""
        await asyncio.gather(self.indexes.keywords.start(), self.indexes.vectors.start())
        self._start_indexer()

    def _start_indexer(self) -> None:
        if self.indexer is not None:
            self._background.append(asyncio.create_task(self._vital(self.indexer.run)))

    def _start_sweeper(self) -> None:
        if self.sweeper is not None:
            self._background.append(asyncio.create_task(self.sweeper.keep()))

    @asynccontextmanager
    async def maintained(self, *, clear: bool) -> AsyncIterator[None]:
        """Open the metadata database for a script, and close at the end whatever was opened inside the block.

        Args:
            clear: drop all tables and create them again.
        """
        try:
            await self.database.start()
            if clear:
                await self.database.clear()
            yield
        finally:
            await self.stop()

    async def _resume(self) -> None:
        try:
            await self.knowledge.resume()
        except Exception:
            log.exception("interrupted work could not be taken up")

    async def _vital(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Work without which the process is of no use; begun here, so that a task cancelled before this leaves none."""
        try:
            await work()
        except Exception:
            log.exception("indexing ended")
            self._ready = False  # the supervisor sees it and starts the process anew
            raise

    async def stop(self) -> None:
        """Close the stores."""
        self._ready = False
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self.indexer is not None:
            await self.indexer.stop()
        await self.knowledge.stop()
        await self.parser.stop()
        await self.recorder.settle()
        await self.client.close()
        await self.indexes.vectors.stop()
        await self.indexes.keywords.stop()
        await self.indexes.storage.stop()

    def health(self) -> Health:
        """Ready once the stores are open."""
        return Health("ok" if self._ready else "starting")
