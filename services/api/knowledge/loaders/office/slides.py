"""One slide of a PowerPoint presentation: its shapes in reading order, notes, comments. `pptx` calls it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lxml.etree import _Element as Element

from services.api.knowledge.loaders.office.drawing import (
    MC,
    A,
    chart_rows,
    chart_title,
    diagram_text,
    table_rows,
    text_of,
)
from services.api.knowledge.loaders.office.embedded import EmbeddedPictures
from services.api.knowledge.loaders.office.package import Package, below, local_name
from services.api.knowledge.loaders.office.placing import Placed, in_reading_order
from services.api.knowledge.loaders.reading.outline import Outline

_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_EMU_PER_MM = 36_000
_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"sldNum", "dt", "hdr", "sldImg"})
_LIKE = {"ctrTitle": "title", "subTitle": "body", "obj": "body"}
_OFFSETS = (f"{_P}spPr/{A}xfrm/{A}off", f"{_P}grpSpPr/{A}xfrm/{A}off", f"{_P}xfrm/{A}off")
_VERSIONS = frozenset({f"{MC}AlternateContent", f"{MC}Choice"})
_SHAPES = frozenset({"sp", "grpSp", "graphicFrame", "pic"})

Spot = tuple[float, float]


class SlideReader:
    """Reads slides of one presentation into an outline; keeps what they share.

    Attributes:
        objects: how many embedded files were met so far; they are not read.
    """

    def __init__(self, package: Package, people: Mapping[str, str], pictures: EmbeddedPictures) -> None:
        self.objects = 0
        self._package = package
        self._pictures = pictures
        self._people = people
        self._layouts: dict[str, dict[str, Spot]] = {}
        self._footers: set[str] = set()
        self._asides: set[str] = set()

    def read(self, part: str, outline: Outline) -> None:
        """Add the slide kept in a part: title, shapes, notes, comments."""
        targets = self._package.targets(part)
        shapes = list(_shapes(self._package.xml(part).find(f"{_P}cSld/{_P}spTree"), self._spots(part)))
        for title in filter(_is_title, shapes):
            outline.heading(1, _shape_text(title))
        for shape in shapes:
            if not _is_title(shape):
                self._shape(shape, targets, outline)
        self._notes(part, outline)
        self._comments(part, outline)

    def _shape(self, shape: Element, targets: Mapping[str, str], outline: Outline) -> None:
        match local_name(shape):
            case "pic":
                self._picture(shape, targets, outline)
            case "graphicFrame":
                self._frame(shape, targets, outline)
            case _ if _placeholder_type(shape) != "ftr":
                outline.paragraph(_shape_text(shape))
            case _ if (text := _shape_text(shape)) not in self._footers:
                self._footers.add(text)
                outline.paragraph(text)

    def _picture(self, shape: Element, targets: Mapping[str, str], outline: Outline) -> None:
        drawn = shape.find(f"{_P}blipFill/{A}blip")
        self._pictures.read(None if drawn is None else targets.get(drawn.get(f"{_R}embed", "")), outline)

    def _frame(self, frame: Element, targets: Mapping[str, str], outline: Outline) -> None:
        """A table, chart or diagram."""
        for element in frame.iterfind(f"{A}graphic/{A}graphicData/*"):
            match local_name(element):
                case "tbl":
                    outline.table(table_rows(element))
                case "chart" if (part := targets.get(element.get(f"{_R}id", ""))) is not None:
                    root = self._package.xml(part)
                    outline.paragraph(chart_title(root))
                    outline.table(chart_rows(root))
                case "relIds" if (part := targets.get(element.get(f"{_R}dm", ""))) is not None:
                    outline.paragraph(diagram_text(self._package.xml(part)))
                case "oleObj" | "AlternateContent":
                    self.objects += 1

    def _notes(self, part: str, outline: Outline) -> None:
        trees = [root.find(f"{_P}cSld/{_P}spTree") for root in self._beside(part, "notesSlide")]
        shapes = (shape for tree in trees for shape in _shapes(tree, {}))
        _titled(outline, "Notes", [_shape_text(shape) for shape in shapes if _placeholder_type(shape) != "ftr"])

    def _comments(self, part: str, outline: Outline) -> None:
        roots = self._beside(part, "comments")
        _titled(outline, "Comments", [text for root in roots for text in self._remarks(root)])

    def _beside(self, part: str, kind: str) -> Iterator[Element]:
        """The trees of the parts of a kind that belong to a slide; none belongs to two."""
        for relation in self._package.relations(part):
            if relation.kind == kind and relation.target not in self._asides:
                self._asides.add(relation.target)
                yield self._package.xml(relation.target)

    def _remarks(self, root: Element) -> Iterator[str]:
        """Comments of both kinds: with plain text, and with a text body and replies."""
        for remark in root.iter():
            if local_name(remark) not in {"cm", "reply"}:
                continue
            words = [_remark_text(child) for child in remark if local_name(child) in {"text", "txBody"}]
            author = self._people.get(remark.get("authorId", ""), "")
            text = "\n".join(words)
            yield f"{author}: {text}" if author and text.strip() else text

    def _spots(self, part: str) -> Mapping[str, Spot]:
        layout = self._package.related(part, "slideLayout")
        if layout is None:
            return {}
        if layout not in self._layouts:
            self._layouts[layout] = self._layout_spots(layout)
        return self._layouts[layout]

    def _layout_spots(self, layout: str) -> dict[str, Spot]:
        """Where a layout, and behind it its master, put placeholders: by number (of the layout only) and by type."""
        master = self._package.related(layout, "slideMaster")
        spots: dict[str, Spot] = {}
        for part in filter(None, (layout, master)):
            for shape in self._package.xml(part).iter(f"{_P}sp"):
                spot, holder = _own_spot(shape), _placeholder(shape)
                if spot is not None and holder is not None:
                    spots.setdefault(_type(holder), spot)
                    spots.setdefault(f"{part == layout} {holder.get('idx', '')}", spot)
        return spots


def _titled(outline: Outline, title: str, texts: list[str]) -> None:
    kept = [text for text in texts if text.strip()]
    if kept:
        outline.heading(2, title)
    for text in kept:
        outline.paragraph(text)


def _shapes(tree: Element | None, inherited: Mapping[str, Spot]) -> Iterator[Element]:
    """All shapes in reading order, those of a group together, without slide numbers and dates."""
    stack = [] if tree is None else [tree]
    while stack:
        shape = stack.pop()
        if local_name(shape) in {"spTree", "grpSp"}:
            placed = [Placed(inner, *(_spot(inner, inherited))) for inner in _children(shape)]
            stack.extend(reversed(in_reading_order(placed)))
        elif _placeholder_type(shape) not in _FURNITURE:
            yield shape


def _children(group: Element) -> Iterator[Element]:
    """The shapes of a group; of two versions of one shape, the one for programs of today."""
    return (element for element in below(group, _VERSIONS) if local_name(element) in _SHAPES)


def _spot(shape: Element, inherited: Mapping[str, Spot]) -> Spot:
    """Top and left of a shape; a placeholder may leave both to the layout."""
    own = _own_spot(shape)
    holder = _placeholder(shape)
    if own is not None or holder is None:
        return own or (0.0, 0.0)
    by_type = inherited.get(_type(holder), (0.0, 0.0))
    return inherited.get(f"True {holder.get('idx', '')}", by_type)


def _own_spot(shape: Element) -> Spot | None:
    offset = next((found for path in _OFFSETS if (found := shape.find(path)) is not None), None)
    if offset is None:
        return None
    return _millimetres(offset.get("y", "")), _millimetres(offset.get("x", ""))


def _millimetres(value: str) -> float:
    return int(value) / _EMU_PER_MM if value.removeprefix("-").isdecimal() and len(value) < 16 else 0.0


def _placeholder(shape: Element) -> Element | None:
    found: Element | None = shape.find(f"*/{_P}nvPr/{_P}ph")
    return found


def _placeholder_type(shape: Element) -> str:
    holder = _placeholder(shape)
    return "" if holder is None else str(holder.get("type", "obj"))


def _type(holder: Element) -> str:
    own = str(holder.get("type", "obj"))
    return _LIKE.get(own, own)


def _is_title(shape: Element) -> bool:
    return _placeholder_type(shape) in _TITLES


def _shape_text(shape: Element) -> str:
    body = shape.find(f"{_P}txBody")
    return "" if body is None else text_of(body)


def _remark_text(element: Element) -> str:
    return text_of(element) if local_name(element) == "txBody" else element.text or ""
