"""T17: symbolic links inside the data folder lead nowhere, and a folder whose name begins alike is another folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.api.bootstrap import Replacements, build
from services.api.domain.names import KnowledgeBaseName
from services.api.knowledge.maintenance import Task
from tests.fakes.embedder import FakeEmbedder
from tests.integration.api_bench import settings_for
from tests.integration.attacks.shelter import BASE, Shelter

SECRET = "must not be read"


def linked(api: Shelter, name: str, target: Path) -> None:
    (api.content / name).symlink_to(target, target_is_directory=target.is_dir())


async def shown(api: Shelter, name: str) -> str:
    """Whatever the routes show of a file."""
    answers = [
        (await api.get("/knowledge_base/download_doc", knowledge_base_name=BASE, file_name=name)).text,
        (await api.get("/knowledge_base/download_doc", knowledge_base_name=BASE, file_name=name, preview="true")).text,
        json.dumps(await api.files()),
        await api.search("read changed must not"),
    ]
    return "\n".join(answers)


@pytest.fixture
def targets(api: Shelter) -> dict[str, Path]:
    """Names of links, and what they point to."""
    two = api.outside / "one" / "two"
    return {
        "absolute.txt": (two / "kept.txt").resolve(),
        "relative.txt": Path("../../../kept.txt"),
        "sibling.txt": two / "data-evil" / "kept.txt",
        "passwd.txt": Path("/etc/passwd"),
        "folder.txt": two / "data-evil",
        "database.txt": Path("../../info.db"),
        "dangling.txt": api.outside / "not-there.txt",
        "circle.txt": Path("circle.txt"),
    }


async def test_a_link_that_was_put_into_the_folder_is_not_taken_up(api: Shelter, targets: dict[str, Path]):
    for name, target in targets.items():
        linked(api, name, target)
        answer = await api.post("/knowledge_base/update_docs", {"knowledge_base_name": BASE, "file_names": [name]})
        assert list(answer["data"]["failed_files"]) == [name]
        assert str(api.outside) not in json.dumps(answer)
        seen = await shown(api, name)
        assert SECRET not in seen
        assert "root:" not in seen
        assert "SQLite" not in seen
    assert await api.files() == []


async def test_a_link_in_the_place_of_a_known_file_is_not_followed(api: Shelter, targets: dict[str, Path]):
    for name, target in targets.items():
        assert (await api.upload(name, b"lighthouse"))["data"]["failed_files"] == {}
        (api.content / name).unlink()
        linked(api, name, target)
        found = await api.get("/knowledge_base/download_doc", knowledge_base_name=BASE, file_name=name)
        assert found.json()["code"] == 404, (name, found.text)
        assert SECRET not in await shown(api, name)
        for override in ("true", "false"):
            answer = await api.upload(name, b"overwritten", override=override)
            assert list(answer["data"]["failed_files"]) == [name], (name, answer)
        removal = {"knowledge_base_name": BASE, "file_names": [name], "delete_content": True}
        await api.post("/knowledge_base/delete_docs", removal)
    assert not (api.outside / "not-there.txt").exists()


async def test_deleting_a_base_deletes_the_links_and_not_what_they_point_to(api: Shelter, targets: dict[str, Path]):
    for name, target in targets.items():
        linked(api, name, target)
    assert (await api.post("/knowledge_base/delete_knowledge_base", BASE))["code"] == 200
    assert await api.bases() == []
    assert api.inside() == set()
    assert (api.data / "info.db").stat().st_size > 0


async def test_a_base_that_is_a_link_to_the_folder_beside_is_not_made(api: Shelter):
    (api.data / "evil").symlink_to("../data-evil", target_is_directory=True)
    assert (await api.create("evil"))["code"] == 400
    assert await api.bases() == [BASE]
    answer = await api.upload("a.txt", b"lighthouse", base="evil")
    assert answer["code"] == 404
    assert (await api.get("/knowledge_base/list_files", knowledge_base_name="evil")).json()["code"] == 404


async def test_maintenance_follows_no_link(api: Shelter, targets: dict[str, Path], tmp_path: Path):
    """What init_database.py does with a content folder that somebody put links into."""
    for name, target in targets.items():
        linked(api, name, target)
    (api.content / "good.txt").write_text("lighthouse")
    settings = settings_for(api.data)
    parts = build(settings, Replacements(embedder=FakeEmbedder()))
    async with parts.maintained(clear=False):
        steps = await parts.maintenance.plan(Task.PRUNE_FOLDER, [KnowledgeBaseName(BASE)], embedding_model=None)
        outcomes = [outcome async for outcome in parts.maintenance.run(steps)]
    removed = {outcome.step.file.value for outcome in outcomes if outcome.failure is None}
    assert removed == {"good.txt"}
    assert SECRET not in await shown(api, "absolute.txt")
