"""SVG: the words drawn in a picture, its title and description. Nothing is run, nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from lxml.etree import _Element as Element

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.markup.xml_tree import local_name, read_xml
from services.api.knowledge.loaders.reading.cleaning import clean_line
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline

_HIDDEN = frozenset({"script", "style", "metadata", "defs"})
_PLACED = frozenset({"x", "y", "dy"})
_TITLE = "title"
_TEXTS = frozenset({"text", "desc", "foreignObject", _TITLE})


class SvgLoader:
    """Reads .svg."""

    extensions: ClassVar[frozenset[str]] = frozenset({".svg"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            tree = read_xml(file)
            outline = Outline()
            own = [child for child in tree.root if isinstance(child.tag, str) and local_name(child) == _TITLE]
            if own:
                outline.heading(0, "".join(own[0].itertext()))
            outline.paragraph("\n".join(words for element, words in _drawn(tree.root) if element not in own))
            return document(file, outline.finish(), tree.warnings, empty="no words are drawn in it")


def _drawn(root: Element) -> Iterator[tuple[Element, str]]:
    """The elements that show words, with them; of a choice (`switch`), the first is what a browser draws."""
    stack = [root]
    while stack:
        element = stack.pop()
        if not isinstance(element.tag, str) or local_name(element) in _HIDDEN:
            continue
        if local_name(element) in _TEXTS:
            yield element, clean_line("".join(_words(element)))
        elif local_name(element) == "switch":
            stack.extend(list(element)[:1])
        else:
            stack.extend(reversed(element))


def _words(element: Element) -> Iterator[str]:
    """The words in order; a run that is only styled goes on with the one before, a placed one does not."""
    for inner in element.iter():
        is_shown = isinstance(inner.tag, str) and local_name(inner) not in _HIDDEN
        if is_shown and inner.text:
            is_run = local_name(inner) == "tspan" and not _PLACED & set(inner.attrib)
            yield inner.text if is_run else f" {inner.text}"
        if inner is not element and inner.tail:
            yield inner.tail
