"""Word documents: the body in order with its lists, tables, boxes and pictures; page headers once; notes, comments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from docx.oxml.ns import qn
from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.office.embedded import EmbeddedPictures
from services.api.knowledge.loaders.office.package import Package, below, opened
from services.api.knowledge.loaders.reading.archives import check_archive
from services.api.knowledge.loaders.reading.cleaning import clean
from services.api.knowledge.loaders.reading.content_type import require_office
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import Steps, joined, stated
from services.api.knowledge.loaders.reading.tables import Cell

_EXPECTED = "a Word document"
_HEADING = re.compile(r"(?:heading|标题|標題)\s*([1-9])", re.IGNORECASE)
_TITLE = re.compile(r"(?:title|标题|標題)", re.IGNORECASE)
_SPACES = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
_TEXTS = {qn("w:t"), qn("m:t")}
_SKIPPED = {
    qn("w:del"),
    qn("w:moveFrom"),
    qn("w:instrText"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}
_BOX = qn("w:txbxContent")
_WRAPPERS = {qn("w:sdt"), qn("w:sdtContent"), qn("w:customXml"), qn("w:ins"), qn("w:smartTag")}
_PARAGRAPH, _TABLE, _ROW, _CELL = qn("w:p"), qn("w:tbl"), qn("w:tr"), qn("w:tc")
_VALUE = qn("w:val")
_DRAWN, _DRAWN_BEFORE = qn("a:blip"), "{urn:schemas-microsoft-com:vml}imagedata"
_EMBEDDED, _LINK = qn("r:embed"), qn("r:id")
_USUAL_MAIN = "word/document.xml"
_STYLES = "word/styles.xml"
_EDGES = re.compile(r"word/(header|footer)\d*\.xml")
_NOTES = (
    ("Footnotes", re.compile(r"word/footnotes\d*\.xml"), qn("w:footnote")),
    ("Endnotes", re.compile(r"word/endnotes\d*\.xml"), qn("w:endnote")),
    ("Comments", re.compile(r"word/comments\d*\.xml"), qn("w:comment")),
)
_SEPARATORS = frozenset({"separator", "continuationSeparator", "continuationNotice"})


class DocxLoader:
    """Reads .docx part by part: damaged relationships do no harm, and none is ever followed out of the file."""

    extensions: ClassVar[frozenset[str]] = frozenset({".docx", ".docm"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_office(file, _EXPECTED)
            check_archive(file, "word/", _EXPECTED)
            with opened(file) as package:
                warnings: list[str] = []
                steps = Steps(file)
                pictures = EmbeddedPictures(file, package, steps.stay)
                yield from stated(file, _sections(package, steps, pictures, warnings), warnings)


def _sections(package: Package, steps: Steps, pictures: EmbeddedPictures, warnings: list[str]) -> Iterator[Section]:
    """Part after part; what was not read is added to `warnings`."""
    main = package.related("", "officeDocument") or _USUAL_MAIN
    reader = _Reader(_heading_styles(package), package.targets(main), pictures)
    reader.edges(package, "header")
    for _ in steps.over(reader.body(package.xml(main).find(qn("w:body")))):
        yield from reader.outline.taken()
    reader.edges(package, "footer")
    for _ in steps.over(reader.notes(package)):
        yield from reader.outline.taken()
    yield from reader.outline.finish()
    warnings.extend(pictures.warnings())


def _heading_styles(package: Package) -> dict[str, int]:
    """Style id → heading level, by the style's name or the outline level it sets, following what it is based on."""
    levels: dict[str, int] = {}
    if _STYLES not in package:
        return levels
    for style in package.xml(_STYLES).iter(qn("w:style")):
        name = style.find(qn("w:name"))
        shown = name.get(_VALUE, "") if name is not None else ""
        numbered = _HEADING.match(shown)
        outline = _outline_level(style)
        based = style.find(qn("w:basedOn"))
        ident = style.get(qn("w:styleId"), "")
        if numbered:
            levels[ident] = int(numbered[1])
        elif _TITLE.fullmatch(shown):
            levels[ident] = 0
        elif outline is not None:
            levels[ident] = outline
        elif based is not None and based.get(_VALUE) in levels:
            levels[ident] = levels[based.get(_VALUE)]
    return levels


def _outline_level(element: Element) -> int | None:
    """The heading level a style or paragraph sets itself; 9 in the file means running text."""
    found = element.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
    level = "9" if found is None else found.get(_VALUE, "9")
    return int(level) + 1 if level.isdigit() and int(level) < 9 else None


class _Reader:
    def __init__(self, styles: dict[str, int], targets: Mapping[str, str], pictures: EmbeddedPictures) -> None:
        self.outline = Outline()
        self._styles = styles
        self._targets = targets
        self._pictures = pictures

    def edges(self, package: Package, kind: str) -> None:
        """The text of the headers or footers, each different one once."""
        parts = [name for name in package.names() if (found := _EDGES.fullmatch(name)) and found[1] == kind]
        texts = dict.fromkeys(clean("\n".join(_paragraph_texts(package.xml(name)))) for name in sorted(parts))
        for text in texts:
            if any(char.isalpha() for char in text):
                self.outline.paragraph(text)

    def body(self, root: Element) -> Iterator[None]:
        """Paragraphs and tables in order, a step each; wrappers such as content controls are looked into."""
        items: list[str] = []
        for block in _blocks(root):
            yield
            text = _text(block) if block.tag == _PARAGRAPH else ""
            pictures = list(_pictures(block))
            is_item = block.tag == _PARAGRAPH and self._is_item(block)
            if is_item:
                items.append(f"- {text}" if text.strip() else "")
                items.extend(_boxes(block))
            if pictures or not is_item:
                self.outline.paragraph("\n".join(filter(None, items)))
                items = []
            if block.tag == _TABLE:
                self.outline.table(_rows(block))
            elif not is_item:
                self._paragraph(block, text)
            self._read(pictures)
        self.outline.paragraph("\n".join(filter(None, items)))

    def _read(self, pictures: Sequence[str]) -> None:
        for link in pictures:
            self._pictures.read(self._targets.get(link), self.outline)

    def notes(self, package: Package) -> Iterator[None]:
        """Footnotes, endnotes and comments, each kind under a heading of its own; each is a step."""
        for title, pattern, tag in _NOTES:
            parts = sorted(name for name in package.names() if pattern.fullmatch(name))
            texts = [text for name in parts for note in package.xml(name).iter(tag) if (text := _note(note))]
            if texts:
                self.outline.heading(1, title)
            for text in texts:
                yield
                self.outline.paragraph(text)

    def _paragraph(self, block: Element, text: str) -> None:
        level = self._level(block)
        if level is None:
            self.outline.paragraph(text)
        else:
            self.outline.heading(level, text)
        for box in _boxes(block):
            self.outline.paragraph(box)

    def _level(self, paragraph: Element) -> int | None:
        style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        own = _outline_level(paragraph)
        if own is not None or style is None:
            return own
        return self._styles.get(style.get(_VALUE, ""))

    def _is_item(self, paragraph: Element) -> bool:
        style = paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}")
        listed = paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None
        listed = listed or (style is not None and style.get(_VALUE, "").lower().startswith("list"))
        return listed and self._level(paragraph) is None


def _blocks(root: Element) -> Iterator[Element]:
    return (element for element in below(root, _WRAPPERS) if element.tag in {_PARAGRAPH, _TABLE})


def _text(paragraph: Element) -> str:
    """The visible words of a paragraph, without deleted ones, field codes and text boxes."""
    parts: list[str] = []
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        if element.tag in _TEXTS:
            parts.append(element.text or "")
        elif element.tag in _SPACES:
            parts.append(_SPACES[element.tag])
        elif element.tag not in _SKIPPED and element.tag != _BOX and not _is_hidden(element):
            stack.extend(reversed(element))
    return "".join(parts)


def _is_hidden(run: Element) -> bool:
    hidden = run.find(f"{qn('w:rPr')}/{qn('w:vanish')}") if run.tag == qn("w:r") else None
    return hidden is not None and hidden.get(_VALUE, "1") not in {"0", "false", "off"}


def _boxes(paragraph: Element) -> Iterator[str]:
    """The texts of the text boxes anchored in a paragraph; the fallback copies for old programs are left out."""
    for box in paragraph.iter(_BOX):
        if not any(parent.tag in _SKIPPED for parent in box.iterancestors()):
            yield "\n".join(_paragraph_texts(box))


def _pictures(block: Element) -> Iterator[str]:
    """The links to the pictures of a paragraph or table; the fallback copies for old programs are left out."""
    for drawn in block.iter(_DRAWN, _DRAWN_BEFORE):
        if not any(parent.tag in _SKIPPED for parent in drawn.iterancestors()):
            yield drawn.get(_EMBEDDED) or drawn.get(_LINK) or ""


def _paragraph_texts(root: Element) -> Iterator[str]:
    for paragraph in root.iter(_PARAGRAPH):
        yield _text(paragraph)


def _note(note: Element) -> str:
    """The words of a footnote or comment, after the name of who wrote it; nothing for the rules above footnotes."""
    if note.get(qn("w:type")) in _SEPARATORS:
        return ""
    text = clean("\n".join(_paragraph_texts(note)))
    author = note.get(qn("w:author"), "")
    return f"{author}: {text}" if author and text else text


def _rows(table: Element) -> list[list[Cell]]:
    rows = [list(_cells(row)) for row in table.iterchildren(_ROW)]
    return [
        [
            Cell(_cell_text(cell), rows=_reach(rows, number, column), columns=span)
            for column, span, cell in row
            if _merge(cell) != "continue"
        ]
        for number, row in enumerate(rows)
    ]


def _cells(row: Element) -> Iterator[tuple[int, int, Element]]:
    """Column, width and element of each cell of a row."""
    column = 0
    for cell in row.iter(_CELL):
        if next(cell.iterancestors(_ROW)) is not row:
            continue
        span = cell.find(f"{qn('w:tcPr')}/{qn('w:gridSpan')}")
        wide = span.get(_VALUE, "1") if span is not None else "1"
        width = min(int(wide), 300) if wide.isdigit() else 1
        yield column, max(width, 1), cell
        column += max(width, 1)


def _merge(cell: Element) -> str | None:
    """Give "restart" where a vertical merge begins, "continue" below, None elsewhere."""
    merge = cell.find(f"{qn('w:tcPr')}/{qn('w:vMerge')}")
    return None if merge is None else merge.get(_VALUE, "continue")


def _reach(rows: list[list[tuple[int, int, Element]]], number: int, column: int) -> int:
    """How many rows a vertically merged cell covers."""
    cell = next(cell for place, _, cell in rows[number] if place == column)
    if _merge(cell) != "restart":
        return 1
    height = 1
    for row in rows[number + 1 :]:
        below = next((cell for place, _, cell in row if place == column), None)
        if below is None or _merge(below) != "continue":
            break
        height += 1
    return height


def _cell_text(cell: Element) -> str:
    """All words of a cell, those of tables inside it included."""
    return " ".join(filter(None, _paragraph_texts(cell)))
