"""Copying: what is copied, what is kept, what stops it."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import IO

import pytest

from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import ContentFolders, StoredFile
from services.api.knowledge.importing.copying import RESERVE_BYTES, Copier, are_same
from services.api.knowledge.importing.report import Fate
from services.api.knowledge.importing.survey import FoundFile
from services.foundation.errors import ImportRefused, StoreFailed

BASE = KnowledgeBaseName("政策")
NAME = FileName("sub__x.txt")
LIMIT_BYTES = 5_000_000


class NarrowFolders(ContentFolders):
    """A data folder on a disk with little room, which gives out while it is written to."""

    room_bytes = 0

    def free_bytes(self) -> int:
        return RESERVE_BYTES + self.room_bytes

    def save(self, base: KnowledgeBaseName, name: FileName, source: IO[bytes]) -> StoredFile:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def unheard(path: str, size_bytes: int) -> None:
    """Nobody listens."""


@pytest.fixture
def folders(tmp_path: Path) -> ContentFolders:
    return ContentFolders(tmp_path / "new", LIMIT_BYTES)


@pytest.fixture
def copier(folders: ContentFolders) -> Copier:
    return Copier(folders, unheard)


def source(tmp_path: Path, content: bytes = b"content", name: str = "x.txt") -> FoundFile:
    path = tmp_path / "old" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return FoundFile(f"sub/{name}", path, len(content))


def test_a_file_is_copied_once(copier: Copier, folders: ContentFolders, tmp_path: Path):
    file = source(tmp_path)
    outcome, stored = copier.copy(BASE, NAME, file)
    assert (outcome.fate, outcome.said, outcome.name) == (Fate.COPIED, "", "sub__x.txt")
    assert folders.path(BASE, NAME).read_bytes() == b"content"
    written = folders.path(BASE, NAME).stat().st_mtime_ns
    again, same = copier.copy(BASE, NAME, file)
    assert again.fate is Fate.HERE
    assert same == stored == folders.describe(BASE, NAME)
    assert folders.path(BASE, NAME).stat().st_mtime_ns == written
    assert file.source.read_bytes() == b"content"


def test_all_bytes_are_heard_of(folders: ContentFolders, tmp_path: Path):
    heard: list[tuple[str, int]] = []
    content = b"x" * 2_500_000
    Copier(folders, lambda path, size: heard.append((path, size))).copy(BASE, NAME, source(tmp_path, content))
    assert sum(size for _, size in heard) == len(content)
    assert {path for path, _ in heard} == {"sub/x.txt"}
    assert len(heard) >= 3


def test_a_file_with_other_content_is_never_overwritten(copier: Copier, folders: ContentFolders, tmp_path: Path):
    copier.copy(BASE, NAME, source(tmp_path, b"ours"))
    outcome, stored = copier.copy(BASE, NAME, source(tmp_path, b"theirs"))
    assert outcome.fate is Fate.FAILED
    assert "rename it there, or delete the one here" in outcome.said
    assert folders.path(BASE, NAME).read_bytes() == b"ours"
    assert stored == folders.describe(BASE, NAME)


def test_empty_and_large_files_leave_nothing(copier: Copier, folders: ContentFolders, tmp_path: Path):
    empty, _ = copier.copy(BASE, NAME, source(tmp_path, b""))
    large, stored = copier.copy(BASE, NAME, source(tmp_path, b"x" * (LIMIT_BYTES + 1)))
    assert (empty.fate, large.fate, stored) == (Fate.SKIPPED, Fate.FAILED, None)
    assert "raise the limit" in large.said
    assert folders.names(BASE) == []


def test_what_took_the_place_of_a_file_is_not_followed(copier: Copier, folders: ContentFolders, tmp_path: Path):
    """Between the survey and the copy somebody may put a link or a pipe there."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    file = source(tmp_path)
    file.source.unlink()
    file.source.symlink_to(secret)
    assert copier.copy(BASE, NAME, file)[0].fate is Fate.FAILED
    file.source.unlink()
    os.mkfifo(file.source)
    outcome, _ = copier.copy(BASE, NAME, file)
    assert (outcome.fate, outcome.said) == (Fate.FAILED, "it cannot be copied (it is no regular file)")
    file.source.unlink()
    assert copier.copy(BASE, NAME, file)[0].fate is Fate.FAILED
    assert folders.names(BASE) == []


def test_a_link_out_of_our_folder_is_not_written_through(copier: Copier, folders: ContentFolders, tmp_path: Path):
    victim = tmp_path / "victim.txt"
    victim.write_bytes(b"mine")
    folders.make(BASE)
    (tmp_path / "new" / "政策" / "content" / NAME.value).symlink_to(victim)
    outcome, stored = copier.copy(BASE, NAME, source(tmp_path))
    assert (outcome.fate, stored) == (Fate.FAILED, None)
    assert victim.read_bytes() == b"mine"
    assert folders.look_up(BASE, NAME) is None


def test_room_is_asked_for_what_is_not_here_yet(tmp_path: Path):
    folders = NarrowFolders(tmp_path / "new", LIMIT_BYTES)
    copier = Copier(folders, unheard)
    target = (BASE, NAME, source(tmp_path))
    folders.room_bytes = 6
    with pytest.raises(ImportRefused, match=r"7 bytes are to be copied.*room for 6"):
        copier.check_room([target])
    folders.room_bytes = 7
    assert copier.check_room([target]) == 7
    ContentFolders.save(folders, BASE, NAME, io.BytesIO(b"content"))
    folders.room_bytes = -1
    assert copier.check_room([target]) == 0


def test_a_disk_that_is_full_stops_everything(tmp_path: Path):
    folders = NarrowFolders(tmp_path / "new", LIMIT_BYTES)
    with pytest.raises(StoreFailed, match=r"No space left.*what is copied stays"):
        Copier(folders, unheard).copy(BASE, NAME, source(tmp_path))


def test_files_are_the_same_by_their_bytes(tmp_path: Path):
    one, alike, other = (source(tmp_path, text, f"{number}.txt") for number, text in enumerate((b"a", b"a", b"b")))
    assert are_same(one, alike)
    assert not are_same(one, other)
    alike.source.unlink()
    assert not are_same(one, alike)
