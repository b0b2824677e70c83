"""Long files of every kind tell how far they are all the way through, and are cut part by part as they are whole."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import docx
import openpyxl
import pytest
from pptx import Presentation

from services.api.domain.ports import PartLoader
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.reading.blocks import markdown_blocks, text_blocks
from services.api.knowledge.splitters.sentences import SentenceSplitter
from tests.unit.api.knowledge.loaders.making import lines_of_text, load, pdf, source, written

COUNT = 600
SENTENCE = "The harbour master wrote the tide of each day into a ledger that nobody read."
PARAGRAPHS = [f"{number}. {SENTENCE} {SENTENCE}" for number in range(COUNT)]


def _txt(path: Path) -> Path:
    return written(path, "\n\n".join(f"第{number}章 Part\n\n{text}" for number, text in enumerate(PARAGRAPHS)))


def _md(path: Path) -> Path:
    return written(path, "".join(f"# Part {number}\n\n{text}\n\n" for number, text in enumerate(PARAGRAPHS)))


def _html(path: Path) -> Path:
    return written(path, f"<body>{''.join(f'<h2>{n}</h2><p>{text}' for n, text in enumerate(PARAGRAPHS))}")


def _docx(path: Path) -> Path:
    made = docx.Document()
    for number, text in enumerate(PARAGRAPHS):
        made.add_heading(f"Part {number}", level=1)
        made.add_paragraph(text)
    made.save(str(path))
    return path


def _pptx(path: Path) -> Path:
    made = Presentation()
    for number in range(60):
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number}"
        slide.placeholders[1].text = SENTENCE
    made.save(str(path))
    return path


def _odt(path: Path) -> Path:
    body = "".join(f'<t:h t:outline-level="1">Part {n}</t:h><t:p>{text}</t:p>' for n, text in enumerate(PARAGRAPHS))
    spaces = "urn:oasis:names:tc:opendocument:xmlns:"
    opened = f'<o:document-content xmlns:o="{spaces}office:1.0" xmlns:t="{spaces}text:1.0">'
    return _container(path, {"content.xml": f"{opened}<o:body><o:text>{body}</o:text></o:body></o:document-content>"})


def _epub(path: Path) -> Path:
    chapter = "".join(f"<h1>Part {number}</h1><p>{text}</p>" for number, text in enumerate(PARAGRAPHS))
    book = "<package><manifest><item id='a' href='a.html' media-type='text/html'/></manifest><spine>"
    return _container(
        path,
        {
            "META-INF/container.xml": "<container><rootfile full-path='book.opf'/></container>",
            "book.opf": f"{book}<itemref idref='a'/></spine></package>",
            "a.html": f"<body>{chapter}</body>",
        },
    )


def _container(path: Path, parts: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def _pdf(path: Path) -> Path:
    shown = [lines_of_text(["The ledger of the harbour", f"Day {number}: {SENTENCE}"]) for number in range(120)]
    return written(path, pdf(shown))


def _xlsx(path: Path) -> Path:
    """All texts of a workbook are read before its first row is given."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Orders")
    for number in range(6000):
        sheet.append([f"order {number}", f"{number} {SENTENCE}"])
    book.save(path)
    return path


def _json(path: Path) -> Path:
    return written(path, json.dumps([{"id": number, "remark": SENTENCE} for number in range(3000)]))


def _yaml(path: Path) -> Path:
    return written(path, "".join(f"- id: {number}\n  remark: {SENTENCE}\n" for number in range(4500)))


def _xml(path: Path) -> Path:
    items = "".join(f"<item><name>order {number}</name><city>Hamburg</city></item>" for number in range(3000))
    return written(path, f"<items>{items}</items>")


MADE: dict[str, tuple[Callable[[Path], Path], int]] = {
    ".txt": (_txt, 2),
    ".md": (_md, 2),
    ".html": (_html, 500),
    ".docx": (_docx, 500),
    ".pptx": (_pptx, 50),
    ".odt": (_odt, 500),
    ".epub": (_epub, 500),
    ".pdf": (_pdf, 300),
    ".xlsx": (_xlsx, 6000),
    ".json": (_json, 3000),
    ".yaml": (_yaml, 3000),
    ".xml": (_xml, 6),
}


@pytest.mark.parametrize("extension", MADE)
def test_progress_moves_until_the_last_part_is_given(extension: str, tmp_path: Path):
    make, least = MADE[extension]
    told: list[int] = []
    loader = LOADERS.build(extension)
    assert isinstance(loader, PartLoader)
    file = replace(source(make(tmp_path / f"long{extension}")), report=lambda done, _: told.append(done))
    before_part = []
    for part in loader.parts(file):
        before_part += [len(told)] if part.sections else []
    assert len(told) >= least
    assert told == sorted(told)
    assert before_part[0] < before_part[-1]  # it goes on telling while the parts are cut


@pytest.mark.parametrize("extension", MADE)
def test_the_parts_are_cut_as_the_whole_is(extension: str, tmp_path: Path):
    path = MADE[extension][0](tmp_path / f"long{extension}")
    loader = LOADERS.build(extension)
    assert isinstance(loader, PartLoader)
    parts = list(loader.parts(source(path)))
    assert len(parts) > 2
    splitter = SentenceSplitter()
    assert [passage for part in parts for passage in splitter.split(part)] == splitter.split(load(path))


def test_a_workbook_tells_of_its_texts_before_its_first_row(tmp_path: Path):
    told: list[int] = []
    file = replace(source(_xlsx(tmp_path / "a.xlsx")), report=lambda done, _: told.append(done))
    assert len(LOADERS.build(".xlsx").load(file).sections) == 120
    assert told[-1] > 6000 + 10


class TestTextBlocks:
    def test_they_are_the_text_and_end_at_blank_lines(self, tmp_path: Path):
        text = "".join(f"{paragraph}\r\n \r\n" for paragraph in PARAGRAPHS)
        found = self._blocks(written(tmp_path / "a.txt", text))
        assert len(found) > 1
        assert "".join(found) == text
        assert all(block.endswith("\r\n \r\n") for block in found)

    def test_a_line_without_end_is_cut_between_words(self, tmp_path: Path):
        text = f"{SENTENCE} " * 60_000
        found = self._blocks(written(tmp_path / "a.txt", text))
        assert len(found) > 2
        assert "".join(found) == text
        assert all(len(block) < 2_000_001 and block[-1] in " ." for block in found)

    def _blocks(self, path: Path) -> list[str]:
        with path.open(encoding="utf-8", newline="") as handle:
            return list(text_blocks(handle))


class TestMarkdownBlocks:
    def test_code_is_never_cut(self):
        code = "```python\n" + "x = 1\n\nPara\n\n" * 8000 + "```\n"
        found = list(markdown_blocks(f"{code}\nAfter it.\n\n" + "\n\n".join(f"Text {SENTENCE}" for _ in range(2000))))
        assert len(found) > 1
        assert found[0] == f"{code}\n"

    def test_a_link_finds_its_address_in_another_block(self, tmp_path: Path):
        text = f"See [the ledger][book].\n\n{'Text of a part. ' * 3}\n\n"
        whole = "".join(f"# P{number}\n\n{text}" for number in range(1500)) + "[book]: https://example.org/ledger\n"
        assert len(list(markdown_blocks(whole))) > 1
        shown = [section.text for section in load(written(tmp_path / "a.md", whole)).sections]
        assert "See the ledger." in shown
        assert not any("[" in part for part in shown)
