"""The loaders of Office's old formats and RTF against the loader contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.api.knowledge.loaders import LOADERS
from tests.contract.loader import WORDS, LoaderContract
from tests.unit.api.knowledge.loaders.old_office import Par, box, page, powerpoint, word, workbook


class _OnShelf(LoaderContract):
    @pytest.fixture
    def loader(self):
        return LOADERS.build(self.extension)


class TestDoc(_OnShelf):
    extension = ".doc"

    def write(self, path: Path) -> None:
        path.write_bytes(word([Par(f"{text}\r") for text in WORDS]))

    def write_empty(self, path: Path) -> None:
        path.write_bytes(word([Par("\r")]))


class TestPpt(_OnShelf):
    extension = ".ppt"

    def write(self, path: Path) -> None:
        path.write_bytes(powerpoint([page(box(4, text)) for text in WORDS]))

    def write_empty(self, path: Path) -> None:
        path.write_bytes(powerpoint([page()]))


class TestXls(_OnShelf):
    extension = ".xls"

    def write(self, path: Path) -> None:
        path.write_bytes(workbook({"Sheet1": [("name", "text"), *(("row", text) for text in WORDS)]}))

    def write_empty(self, path: Path) -> None:
        path.write_bytes(workbook({"Sheet1": []}))


class TestRtf(_OnShelf):
    extension = ".rtf"

    def write(self, path: Path) -> None:
        chinese = "".join(f"\\u{ord(char)}?" for char in WORDS[1])
        path.write_text(f"{{\\rtf1\\ansi {WORDS[0]}\\par {chinese}\\par {WORDS[2]}\\par}}", encoding="ascii")

    def write_empty(self, path: Path) -> None:
        path.write_text("{\\rtf1\\ansi\\pard\\par}", encoding="ascii")
