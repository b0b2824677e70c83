"""Joins that stay inside, and writes that are whole or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.foundation.errors import InvalidName
from services.foundation.paths import atomic_write, join_inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "other.txt").write_text("not yours")
    return tmp_path / "root"


@pytest.mark.parametrize(
    "parts", [("a.txt",), ("a", "b.txt"), ("手册", "第一章.txt"), ("..a",), ("a..",), ("x" * 300,)]
)
def test_joins_below_the_root(root: Path, parts: tuple[str, ...]):
    assert join_inside(root, *parts) == root.resolve().joinpath(*parts)


@pytest.mark.parametrize(
    "parts",
    [
        ("..",),
        ("..", "root2", "other.txt"),
        ("../root2/other.txt",),
        ("a", "..", "..", "root2"),
        ("/etc/passwd",),
        ("a", "/etc/passwd"),
        ("",),
        (".",),
        ("a", ".."),
        ("a\0b",),
        ("\ud800",),
        (),
    ],
)
def test_refuses_what_leads_out(root: Path, parts: tuple[str, ...]):
    with pytest.raises(InvalidName):
        join_inside(root, *parts)


def test_a_sibling_whose_name_begins_alike_is_outside(root: Path):
    with pytest.raises(InvalidName):
        join_inside(root, "../root2")


def test_follows_no_link_out_of_the_root(root: Path):
    (root / "file").symlink_to(root.parent / "root2" / "other.txt")
    (root / "folder").symlink_to(root.parent / "root2")
    for parts in (("file",), ("folder",), ("folder", "other.txt"), ("folder", "new.txt")):
        with pytest.raises(InvalidName):
            join_inside(root, *parts)


def test_a_link_inside_the_root_is_fine(root: Path):
    (root / "real.txt").write_text("x")
    (root / "link.txt").symlink_to("real.txt")
    assert join_inside(root, "link.txt") == (root / "real.txt").resolve()


def test_a_circle_of_links_is_no_path(root: Path):
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(InvalidName):
        join_inside(root, "a")


def test_the_root_itself_may_be_a_link(root: Path):
    link = root.parent / "link"
    link.symlink_to(root)
    assert join_inside(link, "a.txt") == root.resolve() / "a.txt"


def test_writes_the_whole_file_and_makes_its_folder(tmp_path: Path):
    target = tmp_path / "deep" / "er" / "a.bin"
    with atomic_write(target) as handle:
        handle.write(b"one")
        assert not target.exists()
        handle.write(b"two")
    assert target.read_bytes() == b"onetwo"
    assert [path.name for path in target.parent.iterdir()] == ["a.bin"]


def test_readers_see_the_old_content_until_the_end(tmp_path: Path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with atomic_write(target) as handle:
        handle.write(b"new")
        handle.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("existing", [True, False])
def test_a_failure_keeps_the_old_content_and_leaves_nothing_else(tmp_path: Path, existing: bool):
    target = tmp_path / "a.bin"
    if existing:
        target.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_write(target) as handle:
        handle.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == ([b"old"] if existing else [])


def test_a_target_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError), atomic_write(tmp_path / "folder") as handle:  # noqa: PT011 - which one is the platform's
        handle.write(b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
