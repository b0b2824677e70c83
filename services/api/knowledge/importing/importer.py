"""Takes over an installation of 0.2.x: copies its files, then records all it had on record in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from services.api.domain.former import FormerRecords
from services.api.domain.ports import Storage
from services.api.knowledge.files import ContentFolders
from services.api.knowledge.importing.copying import Copier
from services.api.knowledge.importing.mapping import Choices
from services.api.knowledge.importing.recording import Recording
from services.api.knowledge.importing.report import Fate, FileOutcome, ImportReport
from services.api.knowledge.importing.shares import Share, shares
from services.api.knowledge.importing.survey import FoundBase, survey

Opener = Callable[[Path], AbstractAsyncContextManager[FormerRecords | None]]


class ImportingStorage(Storage, Protocol):
    """A Storage that can also take in the rows of another database of its own kind."""

    def keeps(self, file: Path) -> bool:
        """Whether `file` is the database it keeps everything in."""

    async def import_rows(self, file: Path) -> int: ...


@dataclass(frozen=True, slots=True)
class Origin:
    """What is imported: a database, a folder, or both; a folder's own `info.db` is read when no other is named."""

    database: Path | None = None
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Copying:
    """How far the copying has got: a path of the old installation, the bytes done, and how many there are."""

    path: str
    done_bytes: int
    total_bytes: int


Heard = Callable[[Copying], None]


class Importer:
    """Imports whole installations; running it again adds what is missing and changes nothing else."""

    def __init__(self, storage: ImportingStorage, folders: ContentFolders, choices: Choices, opened: Opener) -> None:
        self._storage = storage
        self._folders = folders
        self._choices = choices
        self._opened = opened

    async def run(self, origin: Origin, heard: Heard) -> ImportReport:
        """Import what `origin` names: files first, then the records, all of them or none.

        Raises:
            ImportRefused: the folder or the database cannot be read, or the disk has no room; nothing was imported.
            StoreFailed: the records could not be written, or the data folder takes no file any more; what was copied
                stays and is not copied again.
        """
        report, database = ImportReport(), origin.database
        bases: Sequence[FoundBase] = ()
        if origin.folder is not None:
            found = await asyncio.to_thread(survey, origin.folder)
            bases, database = found.bases, database or found.database
            report.remarks += [f"the folder '{name}' holds no folder 'content': left out" for name in found.others]
        if database is None:
            await self._take_over(bases, None, report, heard)
            return report
        async with self._opened(database) as opened:
            is_ours = opened is None or (opened.beside_ours and not self._storage.keeps(database))
            if is_ours:
                await self._copy_rows(database, report, asked=database == origin.database)
            if bases or not is_ours:
                await self._take_over(bases, None if is_ours else opened, report, heard)
        return report

    async def _copy_rows(self, database: Path, report: ImportReport, *, asked: bool) -> None:
        if asked:
            report.rows_copied = await self._storage.import_rows(database)
        elif not self._storage.keeps(database):
            report.remarks.append(
                f"{database.name} in the folder is not of 0.2.x; to copy its rows, name it (--import-db)"
            )

    async def _take_over(
        self, bases: Sequence[FoundBase], former: FormerRecords | None, report: ImportReport, heard: Heard
    ) -> None:
        async with self._storage.begin() as work:
            known = {base.name.key: base for base in await work.knowledge_bases.all()}
        records = await former.bases() if former else []
        taken, refused = shares(bases, records, known, self._choices)
        report.bases += [*(share.outcome for share in taken), *refused]
        await asyncio.to_thread(self._copy, taken, heard)
        async with self._storage.begin() as work:
            recording = Recording(work, report)
            for share in taken:
                await recording.take_base(share)
            if former is not None:
                await recording.take_turns(former)
        for share in taken:
            await asyncio.to_thread(self._folders.make, share.base.name)

    def _copy(self, taken: Sequence[Share], heard: Heard) -> None:
        done_bytes = total_bytes = 0

        def copied(path: str, size_bytes: int) -> None:
            nonlocal done_bytes
            done_bytes += size_bytes
            heard(Copying(path, done_bytes, total_bytes))

        copier = Copier(self._folders, copied)
        for share in taken:
            share.settle_names()
        total_bytes = copier.check_room([target for share in taken for target in share.targets()])
        for share in taken:
            _copy_found(copier, share)
            self._find_recorded(share)
            share.outcome.files.sort(key=lambda outcome: outcome.path)

    def _find_recorded(self, share: Share) -> None:
        """Look here for the files that were on record and not in the folder."""
        tried, missing = {outcome.path for outcome in share.outcome.files}, []
        for record, name in share.records():
            if record.path not in tried and name not in share.stored:
                stored = self._folders.look_up(share.base.name, name)
                if stored is None:
                    missing.append(record.path)
                else:
                    share.stored[name] = stored
        if share.found is not None:
            reason = "it is on record, and not in the folder; put it there and import again, or drop it with --prune-db"
            share.outcome.files += [FileOutcome(path, Fate.FAILED, reason) for path in missing]
        elif missing:
            remark = f"files on record that are not here yet: {len(missing)}; bring them with --import-folder"
            share.outcome.remarks.append(remark)


def _copy_found(copier: Copier, share: Share) -> None:
    """Copy a base's files, and say what became of each."""
    outcomes = share.outcome.files
    for base, name, file in share.targets():
        outcome, stored = copier.copy(base, name, file)
        outcomes.append(outcome)
        if stored is not None:
            share.stored[name] = stored
    refused = {path: name for path, name in share.names.items() if isinstance(name, str)}
    outcomes += [FileOutcome(path, Fate.FAILED, reason) for path, reason in refused.items()]
    if share.found is not None:
        outcomes += share.found.left_out
