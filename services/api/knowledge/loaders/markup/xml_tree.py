"""Text → an XML tree that expands and fetches nothing; common slips of hand-written XML are mended first."""

from __future__ import annotations

import html.entities
import re
from dataclasses import dataclass

from lxml import etree
from lxml.etree import _Element as Element

from services.api.domain.knowledge import SourceFile
from services.api.knowledge.loaders.reading.encodings import detect, read_text
from services.foundation.errors import EmptyFile, UnreadableFile

_HEAD_BYTES = 1024
_DECLARED = re.compile(rb"^\s{0,100}<\?xml[^>]{0,200}?encoding\s{0,5}=\s{0,5}[\"']([\w.:-]{1,40})[\"']")
_DECLARATION = re.compile(r"^\s*<\?xml\b[^>]{0,500}\?>")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_AMPERSAND = re.compile(
    r"<!\[CDATA\[.*?(?:\]\]>|\Z)|<!--.*?(?:-->|\Z)|&(?:#(?P<decimal>\d{1,8});|#x(?P<hex>[0-9a-fA-F]{1,8});|(?P<name>\w{1,40});)?",
    re.DOTALL,
)
_PROLOGUE = r"\A(?:\s++|(?><!--.*?-->)|(?><\?.*?\?>))*+<!DOCTYPE"
_DOCTYPE_BEGINS = re.compile(_PROLOGUE, re.DOTALL)
_DOCTYPE = re.compile(rf"{_PROLOGUE}[^\[>]{{0,2000}}(?:\[.*?\]\s{{0,100}})?>", re.DOTALL)
_ENTITY = re.compile(r"<!ENTITY\s{1,20}([\w.-]{1,100})\s{1,20}(SYSTEM|PUBLIC|[\"'])")
_PREDEFINED = frozenset({"amp", "lt", "gt", "quot", "apos"})
_DEPTH = 250


@dataclass(frozen=True, slots=True)
class XmlTree:
    """The root, and sentences about what could not be read."""

    root: Element
    warnings: tuple[str, ...]


def read_xml(file: SourceFile) -> XmlTree:
    """The tree of a file.

    Raises:
        EmptyFile: there is nothing in it.
        UnreadableFile: it is not XML, uses entities of its own, or is nested too deeply.
    """
    with file.path.open("rb") as handle:
        declared = _DECLARED.search(handle.read(_HEAD_BYTES))
    text, warnings = read_text(file, detect(file, declared[1].decode("ascii", "ignore") if declared else None))
    if not text.strip("\ufeff \t\r\n"):
        raise EmptyFile(file=file.name.value, reason="there is nothing in it but white space")
    tree = parse_xml(file, text)
    return XmlTree(tree.root, (*warnings, *tree.warnings))


def parse_xml(file: SourceFile, text: str) -> XmlTree:
    """The tree of a text; a broken one is read as far as it can be, and the warning says from which line on.

    The document type never reaches the parser, so that nothing in it can be expanded or fetched.
    """
    whole = _CONTROLS.sub("", _DECLARATION.sub("", text.lstrip("\ufeff \t\r\n"), count=1))
    outside = _refuse_entities(file, whole)
    body = _DOCTYPE.sub(_as_blank_lines, whole, count=1)
    if _DOCTYPE_BEGINS.match(body):
        raise UnreadableFile(file=file.name.value, reason="its document type has no end")
    mended = _AMPERSAND.sub(_mended, body)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        recover=True,
        remove_comments=True,
        remove_pis=True,
    )
    root = etree.fromstring(mended.encode("utf-8"), parser)
    slips = [slip for slip in parser.error_log if slip.level >= etree.ErrorLevels.ERROR]
    if any("depth" in slip.message for slip in slips):
        raise UnreadableFile(file=file.name.value, reason=f"its elements are nested more than {_DEPTH} deep")
    if root is None:
        reason = f"it is not XML ({slips[0].message.strip()})" if slips else "it is not XML"
        raise UnreadableFile(file=file.name.value, reason=reason)
    broken = (f"it is not valid XML from line {slips[0].line} on; parts of it may be missing",) if slips else ()
    return XmlTree(root, (*outside, *broken))


def _refuse_entities(file: SourceFile, text: str) -> tuple[str, ...]:
    """Refuse a text that uses entities it defines; the warning names those that would come from other files."""
    found = _DOCTYPE.match(text)
    declared = _ENTITY.findall(found[0]) if found else []
    body = text[found.end() :] if found else ""
    used = [(name, kind) for name, kind in declared if f"&{name};" in body]
    own = next((name for name, kind in used if kind not in {"SYSTEM", "PUBLIC"}), None)
    if own is not None:
        reason = f"it uses the entity &{own}; of its own, and such entities are not expanded"
        raise UnreadableFile(file=file.name.value, reason=reason)
    outside = ", ".join(name for name, _ in used)
    return (f"what it takes from other files was not read: {outside}",) if outside else ()


def _as_blank_lines(found: re.Match[str]) -> str:
    """Nothing, on as many lines, so that the lines after it keep their numbers."""
    return "\n" * found[0].count("\n")


def _mended(found: re.Match[str]) -> str:
    """HTML's named characters and lone ampersands are no XML, yet often written; forbidden characters are dropped."""
    whole = found[0]
    if whole[0] == "<":
        return whole
    number = int(found["decimal"]) if found["decimal"] else int(found["hex"], 16) if found["hex"] else None
    if number is not None:
        return whole if _is_allowed(number) else ""
    name = found["name"]
    if name is None:
        return "&amp;"
    if name in _PREDEFINED:
        return whole
    return html.entities.html5.get(f"{name};", f"&amp;{name};")


def _is_allowed(number: int) -> bool:
    return number in {9, 10, 13} or 0x20 <= number < 0xD800 or 0xE000 <= number < 0xFFFE or 0x10000 <= number < 0x110000


def local_name(element: Element) -> str:
    """The name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]
