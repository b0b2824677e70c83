"""What is found in a folder of 0.2.x, and what is left out and why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.api.knowledge.importing.survey import FoundBase, survey
from services.foundation.errors import ImportRefused
from tests.former_installation import FormerInstallation


@pytest.fixture
def old(tmp_path: Path) -> FormerInstallation:
    made = FormerInstallation(tmp_path / "knowledge_base").create()
    made.lay("a", "x.txt", "1234")
    return made


def base(old: FormerInstallation, name: str = "a") -> FoundBase:
    return next(base for base in survey(old.folder).bases if base.name == name)


def left_out(old: FormerInstallation) -> dict[str, tuple[str, str]]:
    return {outcome.path: (outcome.fate.value, outcome.said) for outcome in base(old).left_out}


def test_files_are_found_at_every_depth_with_their_size(old: FormerInstallation):
    old.lay("a", "b/c/y.txt", "12")
    old.lay("a", "temperature.txt", "0.2.x left it out")
    old.add_base("empty")
    (old.folder / "empty" / "content").mkdir()
    found = survey(old.folder)
    assert [(base.name, base.refusal) for base in found.bases] == [("a", ""), ("empty", "")]
    assert found.database == old.database
    sizes = {file.path: file.size_bytes for file in base(old).files}
    assert sizes == {"x.txt": 4, "b/c/y.txt": 2, "temperature.txt": 17}
    assert base(old, "empty").files == ()


def test_hidden_and_lock_files_are_skipped_and_folders_without_content_named(old: FormerInstallation):
    for name in (".DS_Store", "~$plan.docx", ".git/config"):
        old.lay("a", name, "x")
    (old.folder / "notes").mkdir()
    (old.folder / ".cache").mkdir()
    assert {path: fate for path, (fate, _) in left_out(old).items()} == dict.fromkeys(
        (".DS_Store", "~$plan.docx", ".git"), "skipped"
    )
    assert survey(old.folder).others == ("notes",)


def test_a_link_is_followed_only_inside_its_base(old: FormerInstallation, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    other = old.lay("b", "b.txt", "of another base")
    content = old.folder / "a" / "content"
    (content / "sub").mkdir()
    for name, target in {
        "out.txt": secret, "other.txt": other, "folder": tmp_path,
        "lost.txt": content / "nowhere", "loop": content / "loop", "inside.txt": content / "x.txt", "sub/up": content,
    }.items():  # fmt: skip
        (content / name).symlink_to(target)
    found = left_out(old)
    for name in ("out.txt", "other.txt", "folder"):
        assert found[name] == ("failed", "it is a link that leads out of its base; put the file in its place")
    for name in ("lost.txt", "loop"):
        assert found[name][0] == "failed"
        assert "nowhere" in found[name][1]
    assert found["sub/up"][0] == "skipped"
    files = {file.path: file.source for file in base(old).files}
    assert files == {"x.txt": content / "x.txt", "inside.txt": content / "x.txt"}


def test_what_is_no_regular_file_is_not_opened(old: FormerInstallation):
    os.mkfifo(old.folder / "a" / "content" / "pipe.txt")
    assert left_out(old) == {"pipe.txt": ("failed", "it is no regular file")}


@pytest.mark.parametrize("which", ["base", "content"])
def test_a_base_whose_folder_is_a_link_is_refused(old: FormerInstallation, tmp_path: Path, which: str):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "content").mkdir(parents=True)
    (elsewhere / "content" / "x.txt").write_text("x")
    if which == "base":
        (old.folder / "linked").symlink_to(elsewhere)
    else:
        (old.folder / "linked").mkdir()
        (old.folder / "linked" / "content").symlink_to(elsewhere / "content")
    found = base(old, "linked")
    assert found.files == ()
    assert "is a link" in found.refusal
    assert "cp -rL" in found.refusal


def test_a_file_in_the_place_of_the_content_folder(old: FormerInstallation):
    (old.folder / "odd").mkdir()
    (old.folder / "odd" / "content").write_text("x")
    assert base(old, "odd").refusal == "odd/content is no folder"


def test_the_wrong_folder_is_refused_with_the_right_one(old: FormerInstallation, tmp_path: Path):
    with pytest.raises(ImportRefused, match="name the folder 'knowledge_base' in it"):
        survey(tmp_path)
    with pytest.raises(ImportRefused, match="name the folder it lies in"):
        survey(old.folder / "a")
    with pytest.raises(ImportRefused, match="of the old installation"):
        survey(old.folder / "a" / "content")
    with pytest.raises(ImportRefused, match="no such folder"):
        survey(tmp_path / "nowhere")


def test_a_database_that_is_a_link_is_refused(old: FormerInstallation, tmp_path: Path):
    old.database.rename(tmp_path / "moved.db")
    old.database.symlink_to(tmp_path / "moved.db")
    with pytest.raises(ImportRefused, match="--import-db"):
        survey(old.folder)


def test_a_folder_with_a_database_alone(tmp_path: Path):
    found = survey(FormerInstallation(tmp_path / "kb").create().folder)
    assert (found.bases, found.database) == ((), tmp_path / "kb" / "info.db")
