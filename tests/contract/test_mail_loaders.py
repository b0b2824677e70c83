"""Mail, saved web pages and archives against the loader contract."""

from __future__ import annotations

import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from services.api.knowledge.loaders import LOADERS
from tests.contract.loader import WORDS, LoaderContract
from tests.unit.api.knowledge.loaders.compound import msg, text


class _OnShelf(LoaderContract):
    @pytest.fixture
    def loader(self):
        return LOADERS.build(self.extension)


class TestEml(_OnShelf):
    extension = ".eml"

    def write(self, path: Path) -> None:
        mail = EmailMessage()
        mail["Subject"] = WORDS[0]
        mail.set_content(WORDS[1])
        mail.add_attachment(WORDS[2], filename="附件.txt")
        path.write_bytes(bytes(mail))


class TestMsg(_OnShelf):
    extension = ".msg"

    def write(self, path: Path) -> None:
        attachment = {**text(0x3707, "附件.txt"), (0x3701, 0x102): WORDS[2].encode()}
        path.write_bytes(msg({**text(0x37, WORDS[0]), **text(0x1000, WORDS[1])}, attachments=[attachment]))

    def write_empty(self, path: Path) -> None:
        path.write_bytes(msg(text(0x37, " ")))


class TestMhtml(_OnShelf):
    extension = ".mhtml"

    def write(self, path: Path) -> None:
        page = EmailMessage()
        page["Subject"] = "saved"
        page.set_content(f"<h1>{WORDS[0]}</h1><p>{WORDS[1]}<p>{WORDS[2]}", subtype="html")
        path.write_bytes(bytes(page))

    def write_empty(self, path: Path) -> None:
        path.write_bytes(b"MIME-Version: 1.0\nContent-Type: text/html\n\n<html><script>var a = 1</script></html>")


class TestMht(TestMhtml):
    extension = ".mht"


class TestZip(_OnShelf):
    extension = ".zip"

    def write(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for number, word in reversed(list(enumerate(WORDS))):
                archive.writestr(f"合同/{number}.txt", word)

    def write_empty(self, path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", " \n")
