"""OpenDocument files. What kind one is, its content says; text documents are read here, in order, under headings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.office.odf_tables import Budget, table_rows
from services.api.knowledge.loaders.office.odf_text import DRAW, OFFICE, TABLE, TEXT, add_asides, count, text_of
from services.api.knowledge.loaders.office.odp import read_slides
from services.api.knowledge.loaders.office.ods import read_sheets
from services.api.knowledge.loaders.office.package import Package, local_name, opened, resolved
from services.api.knowledge.loaders.reading.archives import check_archive
from services.api.knowledge.loaders.reading.cleaning import clean
from services.api.knowledge.loaders.reading.content_type import require_office
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import Steps, joined, stated
from services.foundation.errors import EncryptedFile, UnreadableFile

_EXPECTED = "an OpenDocument file"
_CONTENT, _STYLES, _MANIFEST = "content.xml", "styles.xml", "META-INF/manifest.xml"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_CELL_LIMIT = 1_000_000
_FORMULA_CHARS = 2000
_FORMULA_LIMIT = 10_000
_LEVEL_LIMIT = 10
_TITLE = "Title"
_PARAGRAPH, _HEADING, _TABLE = f"{TEXT}p", f"{TEXT}h", f"{TABLE}table"
_DROPPED = frozenset({f"{TEXT}tracked-changes", f"{OFFICE}forms", f"{TEXT}index-title-template"})


class OdfLoader:
    """Reads .odt, .ods and .odp."""

    extensions: ClassVar[frozenset[str]] = frozenset({".odt", ".ods", ".odp"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_office(file, _EXPECTED)
            check_archive(file, (_CONTENT, _MANIFEST), _EXPECTED)
            with opened(file) as package:
                if _is_encrypted(package):
                    raise EncryptedFile(file=file.name.value)
                warnings: list[str] = []
                yield from stated(file, _sections(file, package, warnings), warnings)


def _is_encrypted(package: Package) -> bool:
    return _MANIFEST in package and next(package.xml(_MANIFEST).iter("{*}encryption-data"), None) is not None


def _sections(file: SourceFile, package: Package, warnings: list[str]) -> Iterator[Section]:
    """The sections of the file; what was not read is added to `warnings`."""
    root = package.xml(_CONTENT)
    unread = _fill_formulas(package, root)
    for body in root.iterfind(f"{OFFICE}body/*"):
        match local_name(body):
            case "text":
                yield from _text_sections(package, body, Steps(file), warnings)
            case "spreadsheet" | "presentation" | "drawing" as kind:
                sections, found = (read_sheets if kind == "spreadsheet" else read_slides)(file, body)
                warnings += found
                yield from sections
            case _:
                continue
        warnings += unread
        return
    raise UnreadableFile(file=file.name.value, reason="it holds no text, sheets or slides of a kind that we know")


def _fill_formulas(package: Package, root: Element) -> list[str]:
    """Put the text of formulas, which are parts of their own, where they stand; what was not read."""
    formulas: dict[str, str] = {}
    objects = 0
    for element in islice(root.iter(f"{DRAW}object", f"{DRAW}object-ole"), _FORMULA_LIMIT):
        part = f"{resolved('', element.get(_LINK, ''))}/{_CONTENT}"
        if part not in formulas:
            formulas[part] = _formula(package, part)
        element.text = formulas[part]
        objects += not formulas[part]
    return [f"{objects} objects embedded in the file, such as charts, were not read"] if objects else []


def _formula(package: Package, part: str) -> str:
    """What a person typed to get a formula, or its characters; nothing for another object."""
    if part not in package:
        return ""
    root = package.xml(part)
    if local_name(root) != "math":
        return ""
    typed = next((note.text or "" for note in root.iter("{*}annotation")), "")
    return (typed or "".join(root.itertext()))[:_FORMULA_CHARS]


def _text_sections(package: Package, body: Element, steps: Steps, warnings: list[str]) -> Iterator[Section]:
    reader = _Reader(_title_styles(body))
    edges = [] if _STYLES not in package else list(package.xml(_STYLES).iterfind(f".//{_STYLE}master-page/*"))
    reader.edges(edges, "header")
    for _ in steps.over(reader.body(body)):
        yield from reader.outline.taken()
    reader.edges(edges, "footer")
    add_asides(reader.outline, reader.asides)
    if reader.budget.is_spent:
        warnings.append("the tables are too large; some were not read to their end")
    yield from reader.outline.finish()


def _title_styles(body: Element) -> frozenset[str]:
    """The style of a document's title, and those that a program made of it for single paragraphs."""
    styles = body.getroottree().getroot().iterfind(f"{OFFICE}automatic-styles/{_STYLE}style")
    made = (style.get(f"{_STYLE}name", "") for style in styles if style.get(f"{_STYLE}parent-style-name") == _TITLE)
    return frozenset({_TITLE, *made})


class _Reader:
    def __init__(self, titles: frozenset[str]) -> None:
        self._titles = titles
        self.outline = Outline()
        self.asides: list[Element] = []
        self.budget = Budget(_CELL_LIMIT)

    def edges(self, edges: list[Element], kind: str) -> None:
        """The text of the page headers or footers, each different one once."""
        named = (edge for edge in edges if local_name(edge).startswith(kind))
        for text in dict.fromkeys(clean(text_of(edge, self.asides)) for edge in named):
            if any(char.isalpha() for char in text):
                self.outline.paragraph(text)

    def body(self, root: Element) -> Iterator[None]:
        """Paragraphs, lists and tables in order, a step each; sections and directories are looked into."""
        items: list[str] = []
        for block, is_item in _blocks(root):
            yield
            if len(block) == 0 and not block.text:
                continue
            if is_item and block.tag == _PARAGRAPH:
                text = text_of(block, self.asides)
                items.extend([f"- {text}"] if text.strip() else [])
                continue
            self.outline.paragraph("\n".join(items))
            items = []
            self._block(block)
        self.outline.paragraph("\n".join(items))

    def _block(self, block: Element) -> None:
        if block.tag == _TABLE:
            self.outline.table(table_rows(block, self.asides, self.budget))
        elif block.tag == _HEADING:
            level = count(block, f"{TEXT}outline-level", _LEVEL_LIMIT)
            self.outline.heading(level, text_of(block, self.asides))
        elif block.get(f"{TEXT}style-name") in self._titles:
            self.outline.heading(0, text_of(block, self.asides))
        else:
            self.outline.paragraph(text_of(block, self.asides))


def _blocks(root: Element) -> Iterator[tuple[Element, bool]]:
    """Paragraphs, headings, tables and free frames in order, each with whether it is in a list."""
    levels = [(iter(root), False)]
    while levels:
        inner, is_item = levels[-1]
        element = next(inner, None)
        if element is None:
            levels.pop()
        elif not isinstance(element.tag, str) or element.tag in _DROPPED:
            continue
        elif element.tag in {_PARAGRAPH, _HEADING, _TABLE, f"{OFFICE}annotation"} or element.tag.startswith(DRAW):
            yield element, is_item
        else:
            levels.append((iter(element), is_item or element.tag == f"{TEXT}list"))
