"""ZIP archives: names, order, what is refused, and the budget that all nesting shares."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import docx
import pytest

from services.api.domain.knowledge import SourceFile
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.foundation.errors import EmptyFile, EncryptedFile, UnreadableFile
from tests.unit.api.knowledge.loaders.test_mail import read, texts


def packed(members: Mapping[str, bytes | str]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def named(raw: bytes, content: bytes = b"content", *, flags: int = 0, extra: bytes = b"") -> bytes:
    """A stored member under raw bytes of a name, as programs without the UTF-8 flag write it."""
    crc, size = zlib.crc32(content), len(content)
    common = struct.pack("<HHHHHIIIHH", 20, flags, 0, 0, 33, crc, size, size, len(raw), len(extra))
    local = b"PK\x03\x04" + common + raw + extra + content
    central = b"PK\x01\x02" + struct.pack("<H", 20) + common + bytes(6) + struct.pack("<II", 0, 0) + raw + extra
    return local + central + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def word_file() -> bytes:
    stream = io.BytesIO()
    word = docx.Document()
    word.add_paragraph("words in a document")
    word.save(stream)
    return stream.getvalue()


class TestNames:
    def test_members_come_in_order_of_name_below_their_names(self, tmp_path: Path):
        document = read(tmp_path, "a.zip", packed({"b/2.txt": "second", "a/1.md": "# Title\n\nfirst", "b/": b""}))
        assert [section.place.heading for section in document.sections] == [
            ("a/1.md", "Title"),
            ("a/1.md", "Title"),
            ("a/1.md", "Title"),
            ("b/2.txt",),
            ("b/2.txt",),
        ]
        assert texts(document).index("first") < texts(document).index("second")

    @pytest.mark.parametrize("charset", ["gbk", "utf-8", "big5"])
    def test_names_without_the_flag(self, tmp_path: Path, charset: str):
        name = "採購合約說明.txt" if charset == "big5" else "采购合同说明.txt"
        document = read(tmp_path, "a.zip", named(name.encode(charset)))
        assert document.sections[0].place.heading == (name,)

    def test_the_unicode_path_field(self, tmp_path: Path):
        raw = b"??.txt"
        value = b"\x01" + struct.pack("<I", zlib.crc32(raw)) + "合同.txt".encode()
        document = read(tmp_path, "a.zip", named(raw, extra=struct.pack("<HH", 0x7075, len(value)) + value))
        assert document.sections[0].place.heading == ("合同.txt",)

    def test_names_that_leave_the_folder_are_only_shown(self, tmp_path: Path):
        names = (
            "../../escape.txt",
            "/etc/abs.txt",
            "..\\..\\win.txt",
            "C:\\Windows\\x.txt",
            "CON.txt",
            f"{'a' * 300}.txt",
        )
        document = read(tmp_path, "a.zip", packed(dict.fromkeys(names, "words")))
        assert texts(document).count("words") == len(names)
        assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]

    def test_what_systems_leave_in_folders_is_ignored(self, tmp_path: Path):
        members = {"a.txt": "words", "__MACOSX/._a.txt": "x", "b/.DS_Store": "x", "Thumbs.db": "x"}
        document = read(tmp_path, "a.zip", packed(members))
        assert document.warnings == ()


class TestRefused:
    def test_links_are_not_followed(self, tmp_path: Path):
        link = zipfile.ZipInfo("link.txt")
        link.create_system = 3
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("a.txt", "words")
            archive.writestr(link, "/etc/hostname")
        assert read(tmp_path, "a.zip", stream.getvalue()).warnings == (
            "the part 'link.txt' was not read: it is a link",
        )

    def test_encrypted(self, tmp_path: Path):
        with pytest.raises(EncryptedFile):
            read(tmp_path, "a.zip", named(b"a.txt", flags=1))

    def test_nothing_readable_says_what_is_in_it(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match=r"archive of 3 files.*2 \.exe, 1 \.dll"):
            read(tmp_path, "a.zip", packed({"a.exe": "x", "b.exe": "x", "c.dll": "x"}))

    def test_the_reason_of_the_only_file(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match=r"'a\.docx' was not read: it is something else, not a Word document"):
            read(tmp_path, "a.zip", packed({"a.docx": "x"}))

    def test_without_files(self, tmp_path: Path):
        with pytest.raises(EmptyFile):
            read(tmp_path, "a.zip", packed({}))

    def test_a_damaged_member_costs_only_itself(self, tmp_path: Path):
        content = packed({"a.txt": "first words " * 100, "b.txt": "second"})
        document = read(tmp_path, "a.zip", content[:40] + b"\xff\xff" + content[42:])
        assert "second" in texts(document)
        assert document.warnings[0].startswith("the part 'a.txt' was not read: its content is damaged")


def test_a_document_that_is_called_an_archive(tmp_path: Path):
    assert texts(read(tmp_path, "a.zip", word_file())) == "words in a document"


def test_a_document_in_an_archive(tmp_path: Path):
    document = read(tmp_path, "a.zip", packed({"合同.docx": word_file()}))
    assert texts(document) == "合同.docx\nwords in a document"


def test_progress_is_told(tmp_path: Path):
    path = tmp_path / "a.zip"
    path.write_bytes(packed({"a.txt": "x", "b.txt": "y"}))
    told: list[tuple[int, int | None]] = []
    report = lambda done, total: told.append((done, total))  # noqa: E731
    LOADERS.build(".zip").load(SourceFile(FileName("a.zip"), path, report=report))
    assert sorted({done for done, _ in told}) == [0, 1, 2]
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (2, 2)


class TestBudget:
    def test_a_nested_bomb_is_refused_by_the_name_of_the_outermost_file(self, tmp_path: Path):
        content = packed({"zeros.txt": bytes(5_000_000)})
        for _ in range(3):
            content = packed({f"{number}.zip": content for number in range(8)})
        with pytest.raises(UnreadableFile, match=r"'a\.zip' .*archive bomb"):
            read(tmp_path, "a.zip", content)

    def test_the_next_file_has_a_budget_of_its_own(self, tmp_path: Path):
        with pytest.raises(UnreadableFile, match="archive bomb"):
            read(tmp_path, "a.zip", packed({"a.txt": b"a" * 30_000_000}))
        assert texts(read(tmp_path, "b.zip", packed({"a.txt": "words"}))) == "a.txt\nwords"

    def test_parts_beyond_the_limit_are_counted(self, tmp_path: Path):
        document = read(tmp_path, "a.zip", packed({f"{number:04}.txt": f"word {number}" for number in range(600)}))
        assert "word 499" in texts(document)
        assert "word 500" not in texts(document)
        assert document.warnings[0] == "the part '0500.txt' was not read: at most 500 parts of a file are read"
        assert document.warnings[-1] == "70 more notes about parts are left out"

    def test_archives_in_archives_are_read_to_a_depth(self, tmp_path: Path):
        content = packed({"leaf.txt": "leaf"})
        for _ in range(4):
            content = packed({"n.zip": content})
        assert "leaf" in texts(read(tmp_path, "a.zip", content))
        for _ in range(4):
            content = packed({"n.zip": content})
        with pytest.raises(UnreadableFile, match="levels deep"):
            read(tmp_path, "a.zip", content)
