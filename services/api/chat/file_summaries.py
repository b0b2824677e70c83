"""FileSummariser: summaries of files, of whole bases and of chosen chunks. Called by the summary routes."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.api.chat.summarising import Summarised, Summariser, SummaryOrder
from services.api.domain.knowledge import Chunk, ChunkId, FileSummary, KnowledgeBase, KnowledgeFile
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Storage
from services.foundation.errors import ChatchatError, FileNotInBase, FileNotSummarised, InvalidRequest

_IDS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class SummaryOutcome:
    """What became of one file.

    Attributes:
        finished, total: files done with, this one counted; all files of the base.
        failure: why there is no new summary; None when there is one.
    """

    file: FileName
    finished: int
    total: int
    summary: FileSummary | None = None
    failure: ChatchatError | None = None


class FileSummariser:
    """Summarises what can be found of a file, and keeps it until the file has a new one, or another version."""

    def __init__(self, storage: Storage, summariser: Summariser) -> None:
        self._storage = storage
        self._summariser = summariser

    async def of_file(self, base: KnowledgeBase, file: FileName, order: SummaryOrder) -> FileSummary:
        """Summarise a file and keep the summary.

        Raises:
            FileNotInBase: it is not there, or is no more.
            FileNotSummarised: nothing of it can be searched, or the model wrote nothing.
            whatever the model fails with.
        """
        async with self._storage.begin() as work:
            known = await work.files.find(base.id, file)
            chunks = [] if known is None else await work.chunks.of_file(known.id)
        if known is None:
            raise FileNotInBase(knowledge_base=base.name.value, file=file.value)
        if not chunks:
            reason = f"nothing of it can be searched (it is {known.state.value}); index it first"
            raise FileNotSummarised(file=file.value, reason=reason)
        written = await self._written(file.value, chunks, order)
        return await self._keep(base, known, chunks[0].version, written, order)

    async def of_base(self, base: KnowledgeBase, order: SummaryOrder) -> AsyncIterator[SummaryOutcome]:
        """Summarise each file of a base, one after the other. What fails in one is its outcome and stops no other."""
        async with self._storage.begin() as work:
            names = [file.name for file in await work.files.of_base(base.id)]
        for finished, name in enumerate(names, start=1):
            outcome = SummaryOutcome(name, finished, len(names))
            try:
                outcome = dataclasses.replace(outcome, summary=await self.of_file(base, name, order))
            except ChatchatError as failure:
                outcome = dataclasses.replace(outcome, failure=failure)
            yield outcome

    async def of_chunks(self, name: KnowledgeBaseName, ids: Sequence[str], order: SummaryOrder) -> Summarised:
        """Summarise some chunks of a base, in the order given; nothing is kept.

        Raises:
            KnowledgeBaseNotFound.
            InvalidRequest: there are none, or some are not the base's.
            FileNotSummarised: the model wrote nothing.
        """
        wanted = [ChunkId(id_) for id_ in dict.fromkeys(ids)]
        async with self._storage.begin() as work:
            base = await work.knowledge_bases.get(name)
            chunks = await work.chunks.fetch(base.id, wanted)
        unknown = sorted(set(wanted) - {chunk.id for chunk in chunks})
        if unknown or not chunks:
            some = ", ".join(repr(id_[:40]) for id_ in unknown[:_IDS_SHOWN])
            reason = f"{base.name} holds no passages with the ids {some}" if unknown else "it names no passage"
            raise InvalidRequest(field="doc_ids", reason=reason)
        return await self._written(chunks[0].file_name.value, chunks, order)

    async def _written(self, file: str, chunks: Sequence[Chunk], order: SummaryOrder) -> Summarised:
        written = await self._summariser.summarise(chunks, order)
        if not written.text:
            raise FileNotSummarised(file=file, reason=f"the model {order.model!r} wrote nothing")
        return written

    async def _keep(
        self, base: KnowledgeBase, file: KnowledgeFile, version: int, written: Summarised, order: SummaryOrder
    ) -> FileSummary:
        summary = FileSummary(file.id, version, written.text, order.model, written.is_quoted, datetime.now(UTC))
        try:
            async with self._storage.begin() as work:
                await work.summaries.save(summary)
        except FileNotInBase:
            raise FileNotInBase(knowledge_base=base.name.value, file=file.name.value) from None
        return summary
