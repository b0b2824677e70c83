"""The repository of ingest jobs and of the holds on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, case, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.api.domain.ingestion import Hold, IngestJob, JobLost, Progress, Stage
from services.api.domain.knowledge import FileId, KnowledgeBaseId, SplitterChoice
from services.api.storage.failures import STORE, conflicts
from services.api.storage.tables import IngestJobRecord, KnowledgeFileRecord
from services.foundation.errors import FileNotInBase, StoreFailed

_IDS_PER_STATEMENT = 500
_JOB = IngestJobRecord
_NEW = {"holder": "", "leased_until": None, "asked_by": "", "stage": Stage.WAITING.value, "done": 0, "total": None}


class SqlIngestJobs:
    """The jobs. Each change of who holds one is a single statement that names who must hold it before."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def find(self, file: FileId) -> IngestJob | None:
        row = await self._session.get(_JOB, file)
        return None if row is None else _job(row)

    async def put(self, job: IngestJob) -> None:
        taken = StoreFailed(store=STORE, reason="one file has two jobs")
        await self.remove(job.file_id)
        with conflicts(taken=taken, absent=FileNotInBase(knowledge_base="", file=job.file_id)):
            values = {**_values(job), **_NEW, "queued_at": datetime.now(UTC)}
            await self._session.execute(insert(_JOB).values(values))

    async def take(self, file: FileId, hold: Hold) -> bool:
        mine = or_(_free(), _JOB.holder == hold.holder)
        given = {"holder": hold.holder, "leased_until": hold.until, "asked_by": ""}
        if await self._change(_JOB.file_id == file, mine, values=given):
            return True
        return not await self._change(_JOB.file_id == file, values={"asked_by": hold.holder})

    async def claim(self, hold: Hold) -> IngestJob | None:
        waiting = select(_JOB.file_id).where(_free()).order_by(_JOB.attempt, _JOB.queued_at, _JOB.file_id).limit(1)
        # PostgreSQL leaves out what another is claiming; on SQLite another may be quicker, but not twice: see below.
        unclaimed = waiting.with_for_update(skip_locked=True)
        given = {"holder": hold.holder, "leased_until": hold.until, "asked_by": "", "attempt": _JOB.attempt + 1}
        while (file := await self._session.scalar(unclaimed)) is not None:
            # Even in vain, this takes SQLite's write lock, so that the next look holds.
            if await self._change(_JOB.file_id == file, _free(), values=given):
                return await self.find(FileId(file))
        return None

    async def renew(self, file: FileId, hold: Hold, progress: Progress) -> None:
        values = {"stage": progress.stage.value, "done": progress.done, "total": progress.total}
        if not await self._change(_held(file, hold.holder), values={**values, "leased_until": hold.until}):
            raise JobLost

    async def held(self, holder: str) -> Mapping[FileId, bool]:
        wanted = select(_JOB.file_id, _JOB.asked_by).where(_JOB.holder == holder)
        return {FileId(file): bool(asked_by) for file, asked_by in await self._session.execute(wanted)}

    async def let_go(self, file: FileId, hold: Hold) -> None:
        was_asked = _JOB.asked_by != ""
        handed = {
            "holder": _JOB.asked_by,
            "asked_by": "",
            "leased_until": case((was_asked, hold.until), else_=None),
            "attempt": case((_JOB.attempt > 0, _JOB.attempt - 1), else_=0),
        }
        await self._change(_held(file, hold.holder), values=handed)

    async def free(self, holder: str) -> None:
        await self._change(_JOB.holder == holder, values={"holder": "", "leased_until": None})
        await self._change(_JOB.asked_by == holder, values={"asked_by": ""})

    async def save(self, job: IngestJob, holder: str) -> None:
        if not await self._change(_held(job.file_id, holder), values=_values(job)):
            raise JobLost

    async def progress(self, base: KnowledgeBaseId) -> Mapping[FileId, Progress]:
        wanted = (
            select(_JOB.file_id, _JOB.stage, _JOB.done, _JOB.total)
            .join(KnowledgeFileRecord, KnowledgeFileRecord.id == _JOB.file_id)
            .where(KnowledgeFileRecord.knowledge_base_id == base)
        )
        rows = await self._session.execute(wanted)
        return {FileId(file): Progress(Stage(stage), done, total) for file, stage, done, total in rows}

    async def unfinished(self, files: Sequence[FileId]) -> set[FileId]:
        found: set[FileId] = set()
        for at in range(0, len(files), _IDS_PER_STATEMENT):
            wanted = select(_JOB.file_id).where(_JOB.file_id.in_(files[at : at + _IDS_PER_STATEMENT]))
            found.update(FileId(file) for file in await self._session.scalars(wanted))
        return found

    async def is_any_held(self) -> bool:
        wanted = select(_JOB.file_id).where(_JOB.holder != "", _JOB.leased_until >= datetime.now(UTC)).limit(1)
        return await self._session.scalar(wanted) is not None

    async def remove(self, file: FileId) -> None:
        await self._session.execute(delete(_JOB).where(_JOB.file_id == file))

    async def _change(self, *where: ColumnElement[bool], values: Mapping[str, object]) -> bool:
        """Whether there was a row to change."""
        changed = await self._session.execute(update(_JOB).where(*where).values(values).returning(_JOB.file_id))
        return changed.first() is not None


def _free() -> ColumnElement[bool]:
    return or_(_JOB.holder == "", _JOB.leased_until.is_(None), _JOB.leased_until < datetime.now(UTC))


def _held(file: FileId, holder: str) -> ColumnElement[bool]:
    return and_(_JOB.file_id == file, _JOB.holder == holder)


def _values(job: IngestJob) -> dict[str, object]:
    return {
        "file_id": job.file_id,
        "sha256": job.sha256,
        "splitter": {"name": job.splitter.name, "options": dict(job.splitter.options)},
        "attempt": job.attempt,
        "is_staged": job.is_staged,
        "warnings": list(job.warnings),
        "loader": job.loader,
        "splitter_class": job.splitter_class,
    }


def _job(row: IngestJobRecord) -> IngestJob:
    return IngestJob(
        file_id=FileId(row.file_id),
        sha256=row.sha256,
        splitter=SplitterChoice(row.splitter["name"], row.splitter["options"]),
        attempt=row.attempt,
        is_staged=row.is_staged,
        warnings=tuple(row.warnings),
        loader=row.loader,
        splitter_class=row.splitter_class,
    )
