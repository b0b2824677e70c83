"""Bulk work on whole bases: rebuild, update, add, prune. Called by init_database.py."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.api.domain.knowledge import FileState, KnowledgeFile
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.orders import NewKnowledgeBase
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import ChatchatError, UnsupportedFile, error_from

log = logging.getLogger(__name__)


class Task(enum.StrEnum):
    """What is done to the bases, by the names of init_database.py's flags."""

    RECREATE = "recreate-vs"
    UPDATE = "update-in-db"
    INCREMENT = "increment"
    PRUNE_DB = "prune-db"
    PRUNE_FOLDER = "prune-folder"


@dataclass(frozen=True, slots=True)
class Step:
    """One file's share of a task."""

    task: Task
    base: KnowledgeBaseName
    file: FileName


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step. `failure` is None when all went well; `skipped` marks a type no loader stands for."""

    step: Step
    chunk_count: int = 0
    failure: ChatchatError | None = None
    skipped: bool = False

    @property
    def said(self) -> str:
        """The outcome in a few words."""
        if self.failure is not None:
            return f"{'skipped' if self.skipped else 'failed'}: {self.failure}"
        indexes = self.step.task not in {Task.PRUNE_DB, Task.PRUNE_FOLDER}
        return f"{self.chunk_count} chunks" if indexes else "removed"


class Maintenance:
    """Plans a task as steps and carries them out, several files at a time."""

    def __init__(self, service: KnowledgeService, folders: ContentFolders) -> None:
        self._service = service
        self._folders = folders

    async def bases(self, named: Sequence[KnowledgeBaseName], *, recorded: bool = False) -> list[KnowledgeBaseName]:
        """The named bases, or every base on record and, unless `recorded`, every folder that looks like one."""
        if named:
            return list(named)
        known = {base.name.key: base.name for base, _ in await self._service.bases()}
        folders = [] if recorded else await asyncio.to_thread(self._folders.bases)
        found = {name.key: name for name in folders}
        return sorted({**found, **known}.values())

    async def plan(self, task: Task, bases: Sequence[KnowledgeBaseName], *, embedding_model: str | None) -> list[Step]:
        """The steps of a task on some bases. A base that has no record is made, except to prune it.

        Raises:
            KnowledgeBaseNotFound: a base that is to be pruned has no record.
            UnknownModel: the embedding model is not configured.
        """
        return [step for base in bases for step in await self._plan(task, base, embedding_model)]

    async def _plan(self, task: Task, base: KnowledgeBaseName, embedding_model: str | None) -> list[Step]:
        if task in {Task.PRUNE_DB, Task.PRUNE_FOLDER}:
            record = await self._service.get(base)
        else:
            record = await self._service.ensure(NewKnowledgeBase(name=base, embedding_model=embedding_model))
        base = record.name  # as its folder is called; the given one may differ in case
        in_folder = set(await asyncio.to_thread(self._folders.names, base))
        on_record = {file.name: file for file in await self._service.files(base)}
        chosen = {
            Task.RECREATE: in_folder,
            Task.UPDATE: in_folder & set(on_record),
            Task.INCREMENT: {name for name in in_folder if not _is_searchable(on_record.get(name))},
            Task.PRUNE_DB: set(on_record) - in_folder,
            Task.PRUNE_FOLDER: in_folder - set(on_record),
        }[task]
        return [Step(task, base, name) for name in sorted(chosen)]

    async def reset(self, bases: Sequence[KnowledgeBaseName], *, embedding_model: str | None) -> None:
        """Forget what the bases' files were indexed as: the first step of rebuilding them."""
        for base in bases:
            await self._service.reset(base, embedding_model)

    async def embedding_models(self, bases: Sequence[KnowledgeBaseName]) -> set[str]:
        """The embedding models that indexing these bases needs."""
        return {(await self._service.get(base)).embedding_model for base in bases}

    async def run(self, steps: Sequence[Step]) -> AsyncIterator[Outcome]:
        """Carry the steps out, in order of completion. One bad file never stops the rest."""
        for done in asyncio.as_completed([self._carry_out(step) for step in steps]):
            yield await done

    async def _carry_out(self, step: Step) -> Outcome:
        try:
            match step.task:
                case Task.PRUNE_DB:
                    await self._service.remove_file(step.base, step.file, delete_content=False)
                case Task.PRUNE_FOLDER:
                    await asyncio.to_thread(self._folders.remove, step.base, step.file)
                case Task.RECREATE | Task.UPDATE | Task.INCREMENT:
                    file = await self._service.adopt(step.base, step.file)
                    failure = error_from(file.failure.code, file.failure.facts) if file.failure else None
                    return Outcome(step, file.chunk_count, failure)
        except UnsupportedFile as unsupported:
            return Outcome(step, failure=unsupported, skipped=True)
        except ChatchatError as failure:
            return Outcome(step, failure=failure)
        except Exception as failure:
            log.exception("%s of %r in %r failed", step.task.value, step.file.value, step.base.value)
            return Outcome(step, failure=ChatchatError(reason=type(failure).__name__))
        return Outcome(step)


def _is_searchable(file: KnowledgeFile | None) -> bool:
    return file is not None and file.state is FileState.INDEXED
