"""Source code: top-level definitions as sections, told by indentation and blank lines alone, whatever the language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, Place, Section, SourceFile
from services.api.knowledge.loaders.reading.cleaning import clean_code
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading

_EXTENSIONS = (
    *(".bat", ".c", ".cpp", ".cs", ".css", ".go", ".h", ".hpp", ".java", ".js", ".jsx", ".kt", ".lua", ".php", ".pl"),
    *(".ps1", ".py", ".r", ".rb", ".rs", ".scala", ".sh", ".sql", ".swift", ".ts", ".tsx", ".vue"),
)
_SECTION_CHARS = 1000
_SECTION_LINES = 60
_LINE_CHARS = 500
_MODIFIERS = (
    "export|default|public|private|protected|internal|static|final|abstract|sealed|async|pub|override|open|virtual"
    "|unsafe|partial|inline|extern|const|declare|local|data|case|create|or|replace|temporary|if|not|exists"
)
_KINDS = (
    "class|interface|struct|enum|record|trait|impl|object|module|namespace|protocol|extension|union"
    "|def|defp|func|function|fn|fun|sub|type|table|view|procedure|trigger|index"
)
_DEFINITION = re.compile(
    rf"(?:(?:{_MODIFIERS})(?:\([a-z]{{1,20}}\))?\s{{1,4}}){{0,6}}(?:{_KINDS})\b\s{{1,4}}"
    r"(?:\([^()]{1,80}\)\s{0,4})?(?:if\s{1,4}not\s{1,4}exists\s{1,4})?[`\"\[]?(?P<defined>[\w.$]{1,80})",
    re.IGNORECASE,
)
# A C function, a shell function, a name bound to a function: `int add(int a) {`, `build() {`, `const add = (`.
_FUNCTION = re.compile(
    r"(?:(?:[\w:<>*&\[\],]{1,60}\s{1,4}[*&]{0,3}){1,5}(?P<typed>[\w:~]{1,80})\([^;]{0,300}[),{]"
    r"|(?P<bare>[\w:~]{1,80})\s?\([^;]{0,300}\{)\s*$"
)
_BOUND = re.compile(
    r"(?:export\s{1,4})?(?:const|let|var)\s{1,4}(?P<bound>[\w$]{1,80})[^=]{0,80}=\s{0,4}(?:async\b|function\b|\()"
)
_STATEMENTS = frozenset({"if", "for", "while", "switch", "return", "else", "elif", "catch", "print", "echo", "with"})


class CodeLoader:
    """Reads source code of any language that starts its top-level definitions at the left margin."""

    extensions: ClassVar[frozenset[str]] = frozenset(_EXTENSIONS)

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            return document(file, list(_definitions(text)), warnings)


def code_sections(text: str, place: Place | None = None) -> list[Section]:
    """Text whose lines count, in pieces of bounded length that begin after a blank line where there is one."""
    return [Section(piece, place or Place(), whole=True) for piece in _pieces(clean_code(text).split("\n"))]


def _definitions(text: str) -> Iterator[Section]:
    """The code, cut where a top-level definition begins; its name is the heading of all up to the next one."""
    name, held = "", list[str]()
    for paragraph in _paragraphs(clean_code(text).split("\n")):
        found = _name(paragraph)
        if found or (name and _is_margin(paragraph)):
            yield from _named(held, name)
            name, held = found, []
        held.extend(["", *paragraph] if held else paragraph)
    yield from _named(held, name)


def _named(lines: list[str], name: str) -> list[Section]:
    return [Section(piece, Place(heading=(name,) if name else ()), whole=True) for piece in _pieces(lines)]


def _paragraphs(lines: list[str]) -> Iterator[list[str]]:
    """Runs of lines; a blank line ends one, and so does a definition right below a closing bracket."""
    held: list[str] = []
    for line in lines:
        begins_another = bool(held) and held[-1].startswith(("}", ")")) and bool(_defined(line))
        if held and (not line or begins_another):
            yield held
            held = []
        if line:
            held.append(line)
    if held:
        yield held


def _is_margin(paragraph: list[str]) -> bool:
    """Whether a paragraph stands at the left margin and does not merely close what is above it."""
    first = paragraph[0]
    return not first[0].isspace() and first[0] not in "}])"


def _name(paragraph: list[str]) -> str:
    """The name of the first definition at the margin of a paragraph: comments and decorators may stand above it."""
    return next((name for line in paragraph if (name := _defined(line))), "")


def _defined(line: str) -> str:
    if not line or line[0].isspace():
        return ""
    found = _DEFINITION.match(line) or _BOUND.match(line) or _FUNCTION.match(line)
    name = found[str(found.lastgroup)] if found else ""
    return "" if name.lower() in _STATEMENTS else name


def _pieces(lines: list[str]) -> Iterator[str]:
    """Lines in pieces of bounded length, cut at a blank line if there is one in the second half of the piece."""
    held: list[str] = []
    size = 0
    for line in lines:
        if held and (size + len(line) > _SECTION_CHARS or len(held) >= _SECTION_LINES):
            cut = _best_cut(held)
            yield "\n".join(held[:cut]).strip("\n")
            held = held[cut:]
            size = sum(map(len, held))
        held.append(line)
        size += len(line)
    rest = "\n".join(held).strip("\n")
    if rest:
        yield rest


def _best_cut(lines: list[str]) -> int:
    for place in range(len(lines) - 1, len(lines) // 2, -1):
        if not lines[place]:
            return place
    return len(lines)
