"""The content folders: what is kept, what is refused, what is listed."""

from __future__ import annotations

import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.api.domain.knowledge import KnowledgeBase, KnowledgeBaseId
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.knowledge.files import ContentFolders
from services.foundation.errors import EmptyFile, FileTooLarge, InvalidName

BASE = KnowledgeBaseName("政策")
FILE = FileName("年假.txt")


class Torn:
    """A source that breaks off, as an upload does when the client goes away."""

    def __init__(self) -> None:
        self._pieces = [b"half"]

    def read(self, _: int = -1) -> bytes:
        if self._pieces:
            return self._pieces.pop()
        raise OSError("gone")


@pytest.fixture
def folders(tmp_path: Path) -> ContentFolders:
    return ContentFolders(tmp_path, 10)


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def base_record(name: KnowledgeBaseName = BASE, ident: str = "a" * 32) -> KnowledgeBase:
    return KnowledgeBase(KnowledgeBaseId(ident), name, "", "m", "s", datetime.now(UTC))


def test_a_saved_file_lies_under_its_name_with_its_size_and_hash(folders: ContentFolders, tmp_path: Path):
    stored = folders.save(BASE, FILE, io.BytesIO(b"0123456789"))
    assert (stored.size_bytes, stored.sha256) == (10, hashlib.sha256(b"0123456789").hexdigest())
    assert everything(tmp_path) == ["政策/content/年假.txt"]
    assert folders.describe(BASE, FILE) == stored


@pytest.mark.parametrize(
    ("source", "failure"),
    [(io.BytesIO(b""), EmptyFile), (io.BytesIO(b"x" * 11), FileTooLarge), (Torn(), OSError)],
    ids=["zero bytes", "too large", "broken off"],
)
def test_a_file_that_is_refused_leaves_nothing(folders: ContentFolders, tmp_path: Path, source, failure):
    with pytest.raises(failure):
        folders.save(BASE, FILE, source)
    assert everything(tmp_path) == []


@pytest.mark.parametrize(("source", "failure"), [(io.BytesIO(b""), EmptyFile), (Torn(), OSError)])
def test_a_refused_replacement_leaves_the_old_content(folders: ContentFolders, tmp_path: Path, source, failure):
    folders.save(BASE, FILE, io.BytesIO(b"old"))
    with pytest.raises(failure):
        folders.save(BASE, FILE, source)
    assert folders.path(BASE, FILE).read_bytes() == b"old"
    assert everything(tmp_path) == ["政策/content/年假.txt"]


def test_readers_of_the_old_content_keep_it_while_it_is_replaced(folders: ContentFolders):
    folders.save(BASE, FILE, io.BytesIO(b"old"))
    with folders.path(BASE, FILE).open("rb") as reader:
        folders.save(BASE, FILE, io.BytesIO(b"new"))
        assert reader.read() == b"old"
    assert folders.path(BASE, FILE).read_bytes() == b"new"


def test_removing_twice_is_no_error(folders: ContentFolders):
    folders.save(BASE, FILE, io.BytesIO(b"x"))
    folders.remove(BASE, FILE)
    folders.remove(BASE, FILE)
    assert folders.names(BASE) == []
    assert folders.describe(BASE, FILE) is None


def test_hidden_temporary_and_nested_files_are_not_listed(folders: ContentFolders, tmp_path: Path):
    folders.make(BASE)
    content = tmp_path / "政策" / "content"
    for name in ("b.txt", "a.txt", "temperature.txt", ".hidden", ".incoming-x", "bad\u202ename.txt", "ends."):
        (content / name).write_text("x")
    (content / "folder").mkdir()
    assert [name.value for name in folders.names(BASE)] == ["a.txt", "b.txt", "temperature.txt"]


def test_only_folders_with_content_and_a_good_name_are_bases(folders: ContentFolders, tmp_path: Path):
    for name in ("beta", "政策", ".hidden", "no;good"):
        (tmp_path / name / "content").mkdir(parents=True)
    (tmp_path / "vectors.milvus").mkdir()
    (tmp_path / "info.db").write_text("")
    assert [name.value for name in folders.bases()] == ["beta", "政策"]


def test_of_an_absent_data_folder_there_is_nothing(tmp_path: Path):
    folders = ContentFolders(tmp_path / "nowhere", 10)
    assert folders.bases() == []
    assert folders.names(BASE) == []
    assert list(folders.discarded()) == []


def test_a_discarded_base_is_gone_at_once_and_swept_later(folders: ContentFolders, tmp_path: Path):
    folders.save(BASE, FILE, io.BytesIO(b"x"))
    folders.discard(base_record())
    assert folders.bases() == []
    assert folders.names(BASE) == []
    assert list(folders.discarded()) == ["a" * 32]
    folders.sweep(KnowledgeBaseId("a" * 32))
    assert list(folders.discarded()) == []
    assert list(tmp_path.iterdir()) == []


def test_discarding_a_base_whose_folder_is_absent_still_marks_its_deletion(folders: ContentFolders):
    folders.discard(base_record())
    folders.discard(base_record())
    assert list(folders.discarded()) == ["a" * 32]


def test_a_new_base_of_the_name_is_untouched_by_the_sweep_of_the_old(folders: ContentFolders):
    folders.save(BASE, FILE, io.BytesIO(b"old"))
    folders.discard(base_record())
    folders.save(BASE, FILE, io.BytesIO(b"new"))
    folders.sweep(KnowledgeBaseId("a" * 32))
    assert folders.path(BASE, FILE).read_bytes() == b"new"


@pytest.mark.parametrize("name", ["../x", "../../etc/passwd", "/etc/passwd", ".", "..", "a/../../../x"])
def test_a_hostile_name_leads_nowhere_even_unparsed(folders: ContentFolders, tmp_path: Path, name: str):
    folders.make(BASE)
    with pytest.raises(InvalidName):
        folders.save(BASE, FileName(name), io.BytesIO(b"x"))
    with pytest.raises(InvalidName):
        folders.path(KnowledgeBaseName("../" * 3), FILE)
    assert everything(tmp_path) == []


def test_a_link_out_of_the_folder_is_not_followed(folders: ContentFolders, tmp_path: Path):
    outside = tmp_path.parent / f"{tmp_path.name}-secret.txt"
    outside.write_text("secret")
    folders.make(BASE)
    (tmp_path / "政策" / "content" / "link.txt").symlink_to(outside)
    with pytest.raises(InvalidName):
        folders.describe(BASE, FileName("link.txt"))
    with pytest.raises(InvalidName):
        folders.remove(BASE, FileName("link.txt"))
    assert outside.read_text() == "secret"
