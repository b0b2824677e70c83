"""Indexing all files of a base again, with the old index answering until each file's new one is whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.api.domain.knowledge import FileState, KnowledgeBase, KnowledgeFile, Splitting
from services.api.domain.names import FileName
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError, FileNotInBase, error_from


@dataclass(frozen=True, slots=True)
class Reindexed:
    """One file that is done with; `failure` is None when it is searchable anew.

    Attributes:
        finished, total: files done with so far, this one counted; all files of the base.
    """

    file: FileName
    finished: int
    total: int
    failure: ChatchatError | None = None


async def reindex(service: KnowledgeService, base: KnowledgeBase, splitting: Splitting) -> AsyncIterator[Reindexed]:
    """Put every file in the base's folder in line, then tell of each as it is done with.

    What is in line will be indexed even when nobody listens any more. Files whose content is gone are told as failures
    and keep what is found of them.

    Raises:
        KnowledgeBaseNotFound: the base was deleted meanwhile.
    """
    lying = await service.names_in_folder(base)
    lost = sorted({file.name for file in await service.files(base.name)} - set(lying))
    total, finished = len(lying) + len(lost), 0
    in_line: list[KnowledgeFile] = []
    for name in (*lying, *lost):
        try:
            in_line.append(await service.adopt(base.name, name, splitting, wait=False))
        except ChatchatError as failure:
            finished += 1
            yield Reindexed(name, finished, total, failure)
    waits = [asyncio.ensure_future(_outcome(service, base, file)) for file in in_line]
    try:
        for done in asyncio.as_completed(waits):
            name, failed = await done
            finished += 1
            yield Reindexed(name, finished, total, failed)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _outcome(
    service: KnowledgeService, base: KnowledgeBase, file: KnowledgeFile
) -> tuple[FileName, ChatchatError | None]:
    try:
        done = await service.finished(base, file)
    except ChatchatError as failure:
        return file.name, failure
    if done.failure is not None:
        return file.name, error_from(done.failure.code, done.failure.facts)
    return file.name, None if done.state is FileState.INDEXED else _given_up(base, file)


def _given_up(base: KnowledgeBase, file: KnowledgeFile) -> ChatchatError:
    """It was cancelled or removed while it was in line."""
    return FileNotInBase(knowledge_base=base.name.value, file=file.name.value)
