"""Bulk work: what each task plans, and that one bad file stops nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from services.api.domain.knowledge import FileState
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import ContentFolders, StoredFile
from services.api.knowledge.maintenance import Maintenance, Step, Task
from services.api.knowledge.orders import Upload
from services.foundation.errors import KnowledgeBaseNotFound, UnknownModel
from tests.unit.api.knowledge.workbench import BASE, LIMIT_BYTES, Workbench

NEW = KnowledgeBaseName("new")


async def planned(bench: Workbench, task: Task, base: KnowledgeBaseName = BASE) -> list[str]:
    return [step.file.value for step in await bench.maintenance.plan(task, [base], embedding_model=None)]


async def carried_out(bench: Workbench, *steps: Step) -> dict[str, str]:
    """File → its chunks, `skipped`, or the failure's code."""
    found = {}
    async for outcome in bench.maintenance.run(steps):
        said = outcome.failure.code if outcome.failure else str(outcome.chunk_count)
        found[outcome.step.file.value] = "skipped" if outcome.skipped else said
    return found


@pytest.fixture
async def mixed(bench: Workbench) -> Workbench:
    """A base with files on record and in the folder, on record only, in the folder only, and not searchable."""
    await bench.add("年假 五天", FileName("both.txt"))
    await bench.add("病假", FileName("lost.txt"))
    bench.folders.remove(BASE, FileName("lost.txt"))
    await bench.add("!unreadable", FileName("failed.txt"))
    await bench.service.add_file(BASE, Upload(FileName("stored.txt"), io.BytesIO(b"x"), index=False))
    bench.lay("婚假", FileName("loose.txt"))
    return bench


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Task.RECREATE, ["both.txt", "failed.txt", "loose.txt", "stored.txt"]),
        (Task.UPDATE, ["both.txt", "failed.txt", "stored.txt"]),
        (Task.INCREMENT, ["failed.txt", "loose.txt", "stored.txt"]),
        (Task.PRUNE_DB, ["lost.txt"]),
        (Task.PRUNE_FOLDER, ["loose.txt"]),
    ],
)
async def test_the_steps_of_a_task(mixed: Workbench, task: Task, expected: list[str]):
    assert await planned(mixed, task) == expected


async def test_a_base_named_in_other_case_is_the_base_itself(bench: Workbench):
    await bench.create(NEW)
    await bench.add("年假", base=NEW)
    shouted = KnowledgeBaseName("NEW")
    assert await planned(bench, Task.PRUNE_DB, shouted) == []
    assert await planned(bench, Task.INCREMENT, shouted) == []
    (step,) = await bench.maintenance.plan(Task.RECREATE, [shouted], embedding_model=None)
    assert step.base == NEW


async def test_pruning_records_makes_the_lost_file_unfindable(mixed: Workbench):
    steps = await mixed.maintenance.plan(Task.PRUNE_DB, [BASE], embedding_model=None)
    assert await carried_out(mixed, *steps) == {"lost.txt": "0"}
    assert await mixed.found("病假 年假") == ["年假 五天"]


async def test_pruning_the_folder_deletes_only_files_without_a_record(mixed: Workbench):
    steps = await mixed.maintenance.plan(Task.PRUNE_FOLDER, [BASE], embedding_model=None)
    assert await carried_out(mixed, *steps) == {"loose.txt": "0"}
    assert [name.value for name in mixed.folders.names(BASE)] == ["both.txt", "failed.txt", "stored.txt"]
    assert await mixed.found("年假") == ["年假 五天", "病假"]


async def test_one_bad_file_does_not_stop_the_rest_and_other_types_are_skipped(bench: Workbench):
    bench.lay("年假 五天", FileName("good.txt"))
    bench.lay("!unreadable", FileName("torn.txt"))
    bench.lay("!crash", FileName("wild.txt"))
    bench.lay("x", FileName("program.exe"))
    steps = await bench.maintenance.plan(Task.INCREMENT, [BASE], embedding_model=None)
    gone = Step(Task.INCREMENT, BASE, FileName("gone.txt"))
    assert await carried_out(bench, *steps, gone) == {
        "good.txt": "1",
        "torn.txt": "file.unreadable",
        "wild.txt": "internal",
        "program.exe": "skipped",
        "gone.txt": "file.not_found",
    }
    assert await bench.found("年假") == ["年假 五天"]


class ForbiddenFolders(ContentFolders):
    """A folder whose file the operating system does not let us read."""

    def describe(self, base: KnowledgeBaseName, name: FileName) -> StoredFile | None:
        if name.value == "secret.txt":
            raise PermissionError(name.value)
        return super().describe(base, name)


async def test_a_file_the_system_keeps_from_us_does_not_stop_the_rest(bench: Workbench, tmp_path: Path):
    bench.service._folders = ForbiddenFolders(tmp_path, LIMIT_BYTES)
    for name in ("secret.txt", "good.txt"):
        bench.lay("年假", FileName(name))
    steps = await bench.maintenance.plan(Task.INCREMENT, [BASE], embedding_model=None)
    assert await carried_out(bench, *steps) == {"secret.txt": "internal", "good.txt": "1"}


async def test_recreating_rebuilds_from_the_folder(mixed: Workbench):
    steps = await mixed.maintenance.plan(Task.RECREATE, [BASE], embedding_model="embed-b")
    await mixed.maintenance.reset([BASE], embedding_model="embed-b")
    assert (await carried_out(mixed, *steps))["both.txt"] == "1"
    assert sorted(await mixed.found("年假 病假 婚假")) == ["x", "婚假", "年假 五天"]
    assert await mixed.maintenance.embedding_models([BASE]) == {"embed-b"}
    assert {file.name.value for file in await mixed.service.files(BASE)} == {
        "both.txt", "failed.txt", "loose.txt", "stored.txt",
    }  # fmt: skip


async def test_updating_indexes_what_changed_in_the_folder(bench: Workbench):
    await bench.add("年假 五天")
    bench.lay("年假 七天")
    steps = await bench.maintenance.plan(Task.UPDATE, [BASE], embedding_model=None)
    assert await carried_out(bench, *steps) == {"年假.txt": "1"}
    assert await bench.found("年假") == ["年假 七天"]


async def test_a_folder_without_a_record_becomes_a_base_except_to_prune_it(bench: Workbench):
    bench.lay("年假", base=NEW)
    for task in (Task.PRUNE_DB, Task.PRUNE_FOLDER):
        with pytest.raises(KnowledgeBaseNotFound):
            await bench.maintenance.plan(task, [NEW], embedding_model=None)
    with pytest.raises(UnknownModel):
        await bench.maintenance.plan(Task.INCREMENT, [NEW], embedding_model="nowhere")
    (step,) = await bench.maintenance.plan(Task.INCREMENT, [NEW], embedding_model="embed-b")
    assert (await bench.service.get(NEW)).embedding_model == "embed-b"
    assert await carried_out(bench, step) == {"年假.txt": "1"}
    assert [file.state for file in await bench.service.files(NEW)] == [FileState.INDEXED]


async def test_without_names_every_base_and_every_folder_is_meant(bench: Workbench):
    bench.lay("x", base=NEW)
    maintenance: Maintenance = bench.maintenance
    assert await maintenance.bases([]) == [NEW, BASE]
    assert await maintenance.bases([], recorded=True) == [BASE]
    assert await maintenance.bases([NEW]) == [NEW]
