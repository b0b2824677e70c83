"""Temporary bases: who may read them, how long, how much, and what is left of them."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.api.domain.knowledge import FileState, KnowledgeFile
from services.api.domain.names import FileName, KnowledgeBaseName, TemporaryId
from services.api.domain.retrieval import Query
from services.api.knowledge.orders import Upload
from services.api.knowledge.temporary import TemporaryBase, TemporaryBases, TemporarySweeper
from services.foundation.errors import (
    InvalidName,
    TemporaryFilesFull,
    TemporaryFilesNotFound,
    TemporaryFilesUnread,
    TooManyTemporaryFiles,
    UnsupportedFile,
)
from services.foundation.settings.tree import Temporary
from tests.fakes.clock import FrozenClock
from tests.unit.api.knowledge.workbench import BASE, FILE, Workbench, workbench

OTHER_FILE = FileName("病假.txt")


@dataclass(frozen=True)
class Chats:
    """File chats over the knowledge room, and a clock that stands still."""

    bench: Workbench
    clock: FrozenClock
    temporary: TemporaryBases
    sweeper: TemporarySweeper

    async def add(self, opened: TemporaryBase, text: str, file: FileName = FILE) -> KnowledgeFile:
        stored = await self.temporary.add(opened, upload(text, file))
        return await self.temporary.finished(opened, stored, seconds=5)

    async def found(self, id_: TemporaryId, text: str) -> list[str]:
        used = await self.temporary.use(id_)
        retrieved = await self.bench.retriever.retrieve(Query(text, (used.base,), 10))
        return [hit.chunk.text for hit in retrieved.hits]


def upload(text: str, file: FileName = FILE) -> Upload:
    return Upload(file, io.BytesIO(text.encode()))


def chats_over(bench: Workbench, clock: FrozenClock, **limits: float) -> Chats:
    settings = Temporary.model_validate({"minutes": 10, "sets": 2, "files": 2, **limits})
    temporary = TemporaryBases(bench.storage, bench.service, settings, clock)
    return Chats(bench, clock, temporary, TemporarySweeper(bench.storage, bench.service, bench.folders, clock))


@pytest.fixture
async def chats(bench: Workbench) -> Chats:
    return chats_over(bench, FrozenClock())


async def test_what_is_uploaded_is_found_by_its_id_and_by_no_other(chats: Chats):
    one, other = await chats.temporary.open(), await chats.temporary.open()
    assert (await chats.add(one, "年假五天")).state is FileState.INDEXED
    await chats.add(other, "病假三天", OTHER_FILE)
    assert await chats.found(one.id, "年假") == ["年假五天"]
    assert await chats.found(other.id, "年假") == ["病假三天"]
    neighbour = TemporaryId(one.id.value[:-1] + ("A" if one.id.value[-1] != "A" else "B"))
    for id_ in (TemporaryId.draw(), neighbour):
        with pytest.raises(TemporaryFilesNotFound):
            await chats.temporary.use(id_)


async def test_no_name_of_a_base_leads_to_it_and_no_list_shows_it(chats: Chats):
    opened = await chats.temporary.open()
    await chats.add(opened, "年假五天")
    with pytest.raises(InvalidName):
        KnowledgeBaseName.parse(opened.base.name.value)
    assert opened.id.value not in opened.base.name.value
    assert [base.name for base, _ in await chats.bench.service.bases()] == [BASE]
    assert await chats.bench.maintenance.bases([]) == [BASE]
    report = await chats.bench.inspection.run()
    assert [seen.base for seen in report.bases] == [BASE]
    assert report.findings == []
    assert await chats.found(opened.id, "年假") == ["年假五天"]


@pytest.mark.parametrize("raw", ["", "x", "a" * 31, "a" * 33, "../" + "a" * 29, "a" * 31 + "\n", "。" * 32, None, 7])
def test_what_is_no_id_is_not_found(raw: object):
    with pytest.raises(TemporaryFilesNotFound, match="Upload them again"):
        TemporaryId.parse(raw)


def test_ids_are_long_and_differ():
    drawn = {TemporaryId.draw().value for _ in range(100)}
    assert len(drawn) == 100
    assert {TemporaryId.parse(value).value for value in drawn} == drawn
    assert all(value not in repr(TemporaryId(value)) for value in drawn)


async def test_use_lets_it_live_longer_and_looking_does_not(chats: Chats):
    opened = await chats.temporary.open()
    chats.clock.pass_minutes(9)
    await chats.temporary.use(opened.id)
    chats.clock.pass_minutes(9)
    seen, _ = await chats.temporary.look(opened.id)
    assert seen.base.expires_at is not None
    assert (seen.base.expires_at - chats.clock.now).total_seconds() == 60
    chats.clock.pass_minutes(1)
    for attempt in (chats.temporary.use, chats.temporary.look, chats.temporary.delete):
        with pytest.raises(TemporaryFilesNotFound):
            await attempt(opened.id)


async def test_what_expired_is_swept_from_everywhere_and_nothing_else_is(chats: Chats):
    await chats.bench.add("病假三天")
    old = await chats.temporary.open()
    await chats.add(old, "年假五天")
    chats.clock.pass_minutes(9)
    young = await chats.temporary.open()
    await chats.add(young, "产假很长", OTHER_FILE)
    chats.clock.pass_minutes(1)
    assert await chats.sweeper.sweep() == 1
    indexes = chats.bench.indexes
    assert old.base.id not in await indexes.vectors.bases() | await indexes.keywords.bases()
    assert chats.bench.folders.temporary() == [young.base.name.value]
    assert not list(chats.bench.root.glob(".trash-*"))
    async with chats.bench.storage.begin() as work:
        assert await work.knowledge_bases.find(old.base.id) is None
        assert await work.files.of_base(old.base.id) == []
        assert await work.chunks.ids_of_base(old.base.id) == set()
    assert await chats.found(young.id, "产假") == ["产假很长"]
    assert await chats.bench.found("病假") == ["病假三天"]
    assert await chats.sweeper.sweep() == 0


async def test_folders_that_a_crash_left_are_swept(chats: Chats):
    opened = await chats.temporary.open()
    await chats.add(opened, "年假五天")
    for name in (".cache", ".trash-x", "." + "0" * 31):
        (chats.bench.root / name).mkdir()
    left = chats.bench.root / ("." + "0" * 32) / "content"
    left.mkdir(parents=True)
    (left / "a.txt").write_text("x")
    await chats.sweeper.sweep()
    assert not left.parent.exists()
    assert {path.name for path in chats.bench.root.iterdir()} >= {
        ".cache",
        ".trash-x",
        opened.base.name.value,
        BASE.value,
    }


async def test_a_file_that_is_being_indexed_goes_with_its_base(chats: Chats):
    chats.bench.embedder.gate = asyncio.Event()
    opened = await chats.temporary.open()
    stored = await chats.temporary.add(opened, upload("年假五天"))
    waits = asyncio.create_task(chats.temporary.finished(opened, stored, seconds=10))
    await chats.bench.embedder.reached.wait()
    chats.clock.pass_minutes(11)
    assert await chats.sweeper.sweep() == 1
    chats.bench.embedder.gate.set()
    with pytest.raises(TemporaryFilesNotFound):
        await waits
    async with asyncio.timeout(5):
        while opened.base.id in await chats.bench.indexes.vectors.bases():
            await asyncio.sleep(0.02)
    with pytest.raises(TemporaryFilesNotFound):
        await chats.temporary.add(opened, upload("年假六天"))


async def test_a_file_that_takes_long_is_told_to_be_pending(chats: Chats):
    chats.bench.embedder.gate = asyncio.Event()
    opened = await chats.temporary.open()
    stored = await chats.temporary.add(opened, upload("年假五天"))
    waited = await chats.temporary.finished(opened, stored, seconds=0.05)
    assert waited.state is FileState.PENDING
    chats.bench.embedder.gate.set()
    assert (await chats.temporary.finished(opened, stored, seconds=5)).state is FileState.INDEXED


async def test_what_cannot_be_searched_yet_is_not_asked(chats: Chats):
    opened = await chats.temporary.open()
    with pytest.raises(TemporaryFilesUnread, match="of 0 files 0"):
        await chats.temporary.ask(opened.id)
    assert (await chats.add(opened, "!unreadable")).state is FileState.FAILED
    chats.bench.embedder.gate = asyncio.Event()
    await chats.temporary.add(opened, upload("年假五天", OTHER_FILE))
    with pytest.raises(TemporaryFilesUnread, match="of 2 files 1 "):
        await chats.temporary.ask(opened.id)
    chats.bench.embedder.gate.set()
    async with asyncio.timeout(5):
        while not (await chats.temporary.look(opened.id))[1][1].chunk_count:
            await asyncio.sleep(0.02)
    assert (await chats.temporary.ask(opened.id)).id == opened.base.id


async def test_files_are_limited_in_number_and_size_together(chats: Chats):
    opened = await chats.temporary.open()
    await chats.add(opened, "一")
    await chats.add(opened, "二", OTHER_FILE)
    with pytest.raises(TemporaryFilesFull, match="at most 2"):
        await chats.temporary.add(opened, upload("三", FileName("c.txt")))
    _, files = await chats.temporary.look(opened.id)
    assert [file.name for file in files] == [FILE, OTHER_FILE]


async def test_the_size_that_counts_is_the_content_s_own(bench: Workbench):
    chats = chats_over(bench, FrozenClock(), limit_mb=1)
    opened = await chats.temporary.open()
    with pytest.raises(TemporaryFilesFull, match="1 MB"):
        await chats.temporary.add(opened, Upload(FILE, io.BytesIO(b"x" * 1_000_001)))
    assert (await chats.temporary.look(opened.id))[1] == []


async def test_a_name_that_comes_twice_takes_the_place_of_the_first(chats: Chats):
    opened = await chats.temporary.open()
    await chats.add(opened, "年假五天")
    await chats.add(opened, "病假三天", OTHER_FILE)
    again = await chats.add(opened, "年假六天")
    assert again.version == 2
    assert set(await chats.found(opened.id, "年假")) == {"年假六天", "病假三天"}


async def test_uploads_at_once_do_not_pass_the_limit_together(chats: Chats):
    opened = await chats.temporary.open()
    added = await asyncio.gather(
        *(chats.temporary.add(opened, upload("x", FileName(f"{n}.txt"))) for n in range(5)), return_exceptions=True
    )
    assert sum(isinstance(one, KnowledgeFile) for one in added) == 2
    assert sum(isinstance(one, TemporaryFilesFull) for one in added) == 3


async def test_only_so_many_are_kept_at_a_time(chats: Chats):
    opened = await asyncio.gather(*(chats.temporary.open() for _ in range(3)), return_exceptions=True)
    assert sum(isinstance(one, TemporaryBase) for one in opened) == 2
    assert sum(isinstance(one, TooManyTemporaryFiles) for one in opened) == 1
    chats.clock.pass_minutes(10)
    await chats.temporary.open()  # those that expired do not count, swept or not


async def test_what_no_loader_reads_is_not_kept(chats: Chats):
    opened = await chats.temporary.open()
    with pytest.raises(UnsupportedFile):
        await chats.temporary.add(opened, upload("x", FileName("a.exe")))
    assert (await chats.temporary.look(opened.id))[1] == []


async def test_it_can_be_deleted_before_its_time(chats: Chats):
    opened = await chats.temporary.open()
    await chats.add(opened, "年假五天")
    await chats.temporary.delete(opened.id)
    assert chats.bench.folders.temporary() == []
    assert opened.base.id not in await chats.bench.indexes.vectors.bases()
    with pytest.raises(TemporaryFilesNotFound):
        await chats.temporary.use(opened.id)


async def test_after_a_restart_it_lives_on_and_what_waited_is_indexed(tmp_path: Path):
    first = workbench(tmp_path)
    chats = chats_over(first, FrozenClock())
    opened = await chats.temporary.open()
    await chats.temporary.add(opened, upload("年假五天"))
    await first.stop()
    second = workbench(tmp_path, storage=first.storage, beside=first.indexes)
    await second.resume()
    assert await chats_over(second, chats.clock).found(opened.id, "年假") == ["年假五天"]
    await second.stop()
