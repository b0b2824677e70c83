"""E-books: the documents of the reading order, read as web pages, under the chapters' titles."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import ClassVar
from urllib.parse import unquote

from bs4 import BeautifulSoup
from bs4.element import Tag
from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, Section, SourceFile
from services.api.knowledge.loaders.html import body_walk, parsed
from services.api.knowledge.loaders.office.package import Package, opened, resolved
from services.api.knowledge.loaders.reading.archives import check_archive
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.content_type import require_office
from services.api.knowledge.loaders.reading.failures import check_size, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.streams import joined, stated
from services.foundation.errors import EncryptedFile, UnreadableFile

_EXPECTED = "an EPUB book"
_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_FONT_SCRAMBLING = frozenset({"http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC"})
_FONTS = (".ttf", ".otf", ".woff", ".woff2", ".ttc")
_NCX = "application/x-dtbncx+xml"
_TAG_LIMIT = 400_000
_ENTRY_LIMIT = 5000
_HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
_ENCODING = re.compile(
    rb"(?:encoding|charset)\s{0,3}=\s{0,3}[\"']?((?:utf-|gb|big5|shift|euc-|iso-|windows-)[\w-]{0,20})", re.IGNORECASE
)
_HEAD_BYTES = 1024


class EpubLoader:
    """Reads .epub. The glosses above characters (ruby) are dropped: they would stand in the middle of words."""

    extensions: ClassVar[frozenset[str]] = frozenset({".epub"})

    def load(self, file: SourceFile) -> Document:
        return joined(file, self.parts(file))

    def parts(self, file: SourceFile) -> Iterator[Document]:
        with reading(file):
            check_size(file)
            require_office(file, _EXPECTED)
            check_archive(file, _CONTAINER, _EXPECTED)
            with opened(file) as package:
                if _is_protected(package):
                    raise EncryptedFile(file=file.name.value)
                book = _book(file, package)
                warnings: list[str] = []
                yield from stated(file, _sections(file, package, book, warnings), warnings)


@dataclass(frozen=True, slots=True)
class _Page:
    """A document of the reading order: its part's name, what the book's list calls it, its title in the contents."""

    part: str
    href: str
    label: str


@dataclass(frozen=True, slots=True)
class _Book:
    """`others` counts what the reading order holds besides documents, such as pictures of whole pages."""

    title: str
    pages: tuple[_Page, ...]
    others: int


def _is_protected(package: Package) -> bool:
    """Whether anything but a font is enciphered; fonts are scrambled in books that anybody may read."""
    if _ENCRYPTION not in package:
        return False
    for entry in package.xml(_ENCRYPTION).iter("{*}EncryptedData"):
        method, target = entry.find("{*}EncryptionMethod"), entry.find(".//{*}CipherReference")
        is_font = target is not None and target.get("URI", "").lower().endswith(_FONTS)
        if not is_font and (method is None or method.get("Algorithm") not in _FONT_SCRAMBLING):
            return True
    return False


def _book(file: SourceFile, package: Package) -> _Book:
    rootfile = package.xml(_CONTAINER).find(".//{*}rootfile")
    if rootfile is None:
        raise UnreadableFile(file=file.name.value, reason="it does not say which of its parts describes the book")
    name = resolved("", unquote(rootfile.get("full-path", "")))
    root = package.xml(name)
    manifest = islice(root.iterfind("{*}manifest/{*}item"), _ENTRY_LIMIT)
    items = {item.get("id", ""): item for item in manifest}
    labels = _labels(package, name, list(items.values()))
    spine = dict.fromkeys(entry.get("idref", "") for entry in root.iterfind("{*}spine/{*}itemref"))
    listed = [items[name] for name in spine if name in items]
    pages = tuple(_page(name, item, labels) for item in listed if _is_markup(item))
    title = root.findtext("{*}metadata/{http://purl.org/dc/elements/1.1/}title", "")
    return _Book(clean_line(title), pages, len(listed) - len(pages))


def _page(book: str, item: Element, labels: dict[str, str]) -> _Page:
    href = item.get("href", "")
    part = _target(book, href)
    return _Page(part, href, labels.get(part, ""))


def _is_markup(item: Element) -> bool:
    kind = item.get("media-type", "html").lower()
    return "html" in kind or kind in {"application/xml", "text/xml", "application/x-dtbook+xml"}


def _target(source: str, href: str) -> str:
    """The name of the part that a link in another part means."""
    return resolved(source.rpartition("/")[0], unquote(href.partition("#")[0]))


def _labels(package: Package, book: str, items: list[Element]) -> dict[str, str]:
    """What the tables of contents, the newer kind before the older, call each part."""
    contents = [(item, _nav_entries) for item in items if "nav" in item.get("properties", "").split()]
    contents += [(item, _ncx_entries) for item in items if item.get("media-type") == _NCX]
    labels: dict[str, str] = {}
    for item, entries in contents:
        part = _target(book, item.get("href", ""))
        if part not in package:
            continue
        for href, label in entries(parsed(_decoded(package.read(part))[0])):
            labels.setdefault(_target(part, href), clean_line(label))
    return labels


def _nav_entries(tree: Tag) -> Iterator[tuple[str, str]]:
    lists = tree.find_all("nav")
    for contents in lists:
        if len(lists) == 1 or "toc" in str(contents.get("epub:type", "")):
            for link in contents.find_all("a", href=True):
                yield str(link["href"]), link.get_text()


def _ncx_entries(tree: Tag) -> Iterator[tuple[str, str]]:
    for point in tree.find_all("navpoint"):
        label, content = point.find("navlabel"), point.find("content")
        if label is not None and content is not None:
            yield str(content.get("src", "")), label.get_text()


def _sections(file: SourceFile, package: Package, book: _Book, warnings: list[str]) -> Iterator[Section]:
    """The sections of the book's pages; what was not read is added to `warnings`."""
    if book.others:
        warnings.append(f"pages that are pictures or of another foreign kind were not read; there are {book.others}")
    outline = Outline(title=book.title)
    tags = 0
    for number, page in enumerate(book.pages):
        file.report(number, len(book.pages))
        if page.part not in package:
            warnings.append(f"the book lists {page.href!r}, which is not in it")
            continue
        content = package.read(page.part)
        tags += content.count(b"<")
        if tags > _TAG_LIMIT:
            warnings.append(f"the book holds too much markup; it was not read from {page.href!r} on")
            break
        markup, is_strict = _decoded(content)
        if not is_strict:
            warnings.append(f"some bytes of {page.href!r} are in no known encoding and were replaced by �")
        alive = partial(file.report, number, len(book.pages))
        for _ in _walked(parsed(markup, alive), page, outline):
            alive()
            yield from outline.taken()
    file.report(len(book.pages), len(book.pages))
    yield from outline.finish()


def _walked(tree: BeautifulSoup, page: _Page, outline: Outline) -> Iterator[None]:
    for gloss in tree.find_all(["rt", "rp"]):
        gloss.decompose()
    if page.label and tree.find(_HEADINGS) is None:
        outline.heading(1, page.label)
    return body_walk(tree, outline)


def _decoded(content: bytes) -> tuple[str, bool]:
    """The text, and whether all bytes fit: UTF-8 or UTF-16 by the standard, Chinese encodings by habit."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", "replace"), True
    declared = _ENCODING.search(content[:_HEAD_BYTES])
    for name in (declared[1].decode("ascii") if declared else "utf-8", "utf-8-sig", "gb18030"):
        try:
            return content.decode(name), True
        except (LookupError, UnicodeError):
            continue
    return content.decode("utf-8", "replace"), False
