"""T19: containers whose members want to leave. Nothing is unpacked to the disk; what is not read is refused by name."""

from __future__ import annotations

import email.message
import io
import stat
import zipfile
from pathlib import Path

import docx
import openpyxl
import pytest

from tests.integration.attacks.shelter import Shelter

TEXT = "The lighthouse keeper is called Abigail Thorne."
_CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
)
_PACKAGE = (
    '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
    '<item id="one" href="one.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="out" href="../../../etc/passwd" media-type="application/xhtml+xml"/></manifest>'
    '<spine><itemref idref="one"/><itemref idref="out"/></spine></package>'
)
MEMBERS = [
    "../../chatchat-attack.txt",
    "word/../../../../chatchat-attack.txt",
    "/tmp/chatchat-attack.txt",  # noqa: S108 - must not appear there
    "..\\..\\chatchat-attack.txt",
    "C:\\chatchat-attack.txt",
    "word/media/../../../chatchat-attack.png",
    "../../chatchat-attack.xml",
]


def word() -> bytes:
    made = docx.Document()
    made.add_paragraph(TEXT)
    kept = io.BytesIO()
    made.save(kept)
    return kept.getvalue()


def sheet() -> bytes:
    book = openpyxl.Workbook()
    book.active["A1"] = TEXT
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def book() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", _CONTAINER)
        archive.writestr("OPS/book.opf", _PACKAGE)
        archive.writestr("OPS/one.xhtml", f"<html><body><p>{TEXT}</p></body></html>")
    return kept.getvalue()


def archive_of_a_text() -> bytes:
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr("plan.txt", TEXT)
    return kept.getvalue()


def mail() -> bytes:
    """A message whose attachments are named like ways out."""
    made = email.message.EmailMessage()
    made["Subject"] = "plan"
    made.set_content(TEXT)
    for member in MEMBERS:
        made.add_attachment(b"outside", maintype="text", subtype="plain", filename=member)
    return made.as_bytes()


def poisoned(container: bytes) -> bytes:
    """The container with members that lead out, one of them a link."""
    kept = io.BytesIO(container)
    with zipfile.ZipFile(kept, "a") as archive:
        for member in MEMBERS:
            archive.writestr(member, "outside")
        link = zipfile.ZipInfo("word/link.xml")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return kept.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plan.docx", poisoned(word())),
        ("plan.xlsx", poisoned(sheet())),
        ("plan.epub", poisoned(book())),
        ("plan.zip", poisoned(archive_of_a_text())),
        ("plan.eml", mail()),
    ],
)
async def test_members_that_lead_out_are_not_unpacked(api: Shelter, name: str, content: bytes):
    answer = await api.upload(name, content)
    assert answer["data"]["failed_files"] == {}
    assert "Abigail Thorne" in await api.search("lighthouse keeper")
    everything = await api.search("outside root passwd")
    assert "root:" not in everything
    assert [path.name for path in api.content.iterdir()] == [name]
    assert not list(api.outside.rglob("chatchat-attack*"))
    assert not Path("/tmp/chatchat-attack.txt").exists()  # noqa: S108


async def test_an_archive_of_nothing_but_ways_out_is_refused(api: Shelter):
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for name in ("plan.docx", "plan.xlsx"):
        answer = await api.upload(name, poisoned(empty.getvalue()))
        assert "could not be read" in answer["data"]["failed_files"][name]


async def test_containers_that_are_not_read_are_refused_by_name(api: Shelter):
    """When one of these gets a loader, this test asks for its own attack above."""
    for name in ("a.tar", "a.tgz", "a.7z", "a.rar"):
        answer = await api.upload(name, poisoned(word()))
        assert "not supported" in answer["data"]["failed_files"][name]
    assert list(api.content.iterdir()) == []


@pytest.mark.corpora
async def test_the_collected_containers_stay_in_their_folder(api: Shelter, corpora: Path):
    hostile = corpora / "hostile"
    found = [*sorted((hostile / "archives").iterdir()), *sorted((hostile / "office").glob("bad_relationship*"))]
    assert len(found) == 5
    for path in found:
        for name in (path.name, f"{path.stem}.docx", f"{path.stem}.xlsx"):
            await api.upload(name, path.read_bytes())
    shown = await api.search("root passwd bin daemon")
    assert "root:" not in shown
    assert {path.name for path in api.content.iterdir()} == {file["name"] for file in await api.files()}
