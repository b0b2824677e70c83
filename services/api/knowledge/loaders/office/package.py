"""The parts of a container (Office, OpenDocument, EPUB), read one at a time within limits. Loaders of those call it."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lxml import etree
from lxml.etree import _Element as Element

from services.api.domain.knowledge import SourceFile
from services.foundation.errors import UnreadableFile

_READ_LIMIT_BYTES = 400_000_000
_MARKUP_LIMIT = 5_000_000
_BLOCK_BYTES = 1 << 20
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/(\w+)")
_COMMON = rb"http://schemas.openxmlformats.org/\1/2006/\2"


@dataclass(frozen=True, slots=True)
class Relation:
    """A link from one part to another part of the same container.

    Attributes:
        kind: the last word of its type: "slide", "comments".
        target: name of a part that exists.
    """

    id: str
    kind: str
    target: str


class Package:
    """An open container. A name never leads out of it, and upper and lower case are the same, as OPC wants it.

    What is read is counted over all parts, so that thousands of links to one large part cost no more than it.
    """

    def __init__(self, file: SourceFile, archive: zipfile.ZipFile) -> None:
        self._file = file
        self._archive = archive
        self._bytes = 0
        self._markup = 0
        self._members = {member.filename.lower(): member for member in archive.infolist()}

    def __contains__(self, name: str) -> bool:
        return name.lower() in self._members

    def names(self) -> list[str]:
        """The names of all parts, in the order of the archive."""
        return self._archive.namelist()

    def size(self, name: str) -> int:
        """How many bytes a part that exists has, by what the container says."""
        return self._members[name.lower()].file_size

    def read(self, name: str) -> bytes:
        """A part's bytes.

        Raises:
            UnreadableFile: there is no such part, or too much was read.
        """
        if name not in self:
            raise UnreadableFile(file=self._file.name.value, reason=f"its part {name!r} is missing")
        blocks: list[bytes] = []
        # In blocks, because `ZipFile.read` unpacks a whole part before it looks at its size.
        with self._archive.open(self._members[name.lower()]) as stream:
            while block := stream.read(_BLOCK_BYTES):
                blocks.append(block)
                self._bytes += len(block)
                if self._bytes > _READ_LIMIT_BYTES:
                    raise self._too_large(name)
        return b"".join(blocks)

    def xml(self, name: str) -> Element:
        """A part's tree. Entities are not resolved and nothing outside the part is read."""
        content = self.read(name)
        # An attribute takes about twice the memory of an element or a text.
        self._markup += content.count(b"<") + 2 * content.count(b"=")
        if self._markup > _MARKUP_LIMIT:
            raise self._too_large(name)
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        return etree.fromstring(_STRICT.sub(_COMMON, content), parser)

    def relations(self, name: str = "") -> list[Relation]:
        """The links of a part, or of the whole package, to parts that exist."""
        folder, own = posixpath.split(name)
        links = posixpath.join(folder, "_rels", f"{own}.rels")
        return list(self._links(links, folder)) if links in self else []

    def targets(self, name: str) -> dict[str, str]:
        """The parts that a part links to, by the ids it names them with."""
        return {relation.id: relation.target for relation in self.relations(name)}

    def related(self, name: str, kind: str) -> str | None:
        """The first part of a kind that a part links to."""
        return next((relation.target for relation in self.relations(name) if relation.kind == kind), None)

    def _links(self, links: str, folder: str) -> Iterator[Relation]:
        for link in self.xml(links):
            target = resolved(folder, link.get("Target", ""))
            if link.get("TargetMode") != "External" and target in self:
                yield Relation(link.get("Id", ""), link.get("Type", "").rpartition("/")[2], target)

    def _too_large(self, name: str) -> UnreadableFile:
        return UnreadableFile(file=self._file.name.value, reason=f"with its part {name!r} it is too large to be read")


@contextmanager
def opened(file: SourceFile) -> Iterator[Package]:
    """Open a container that `check_archive` has passed."""
    with zipfile.ZipFile(file.path) as archive:
        yield Package(file, archive)


def resolved(folder: str, target: str) -> str:
    """The name of the part that a reference from a folder means; one that leads out of the container names none."""
    return posixpath.normpath(posixpath.join("/", folder, target)).lstrip("/")


def local_name(element: Element) -> str:
    """A tag without its namespace; empty for comments and instructions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def below(root: Element, wrappers: Container[str]) -> Iterator[Element]:
    """What stands in an element, in order; wrappers are looked into. One element at a time is held in memory."""
    levels = [iter(root)]
    while levels:
        element = next(levels[-1], None)
        if element is None:
            levels.pop()
        elif element.tag in wrappers:
            levels.append(iter(element))
        else:
            yield element
