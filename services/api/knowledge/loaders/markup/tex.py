"""LaTeX: headings, lists, tables and code; macros reduced to their words, formulas kept as written."""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.markup.tex_macros import (
    ACCENTS,
    CAPTURED,
    CODE,
    DROPPED_ARGUMENTS,
    ENVIRONMENT_ARGUMENTS,
    HEADINGS,
    MATH,
    SYMBOLS,
    TABLES,
    UNREAD,
)
from services.api.knowledge.loaders.reading.cleaning import join_lines
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.tables import Cell

_TOKEN = re.compile(
    r"(?P<comment>%[^\n]*(?:\n[ \t]*(?=[^\s]))?)"
    r"|\\begin\s{0,5}\{(?P<begin>[^{}\n]{1,40})\}"
    r"|\\end\s{0,5}\{(?P<end>[^{}\n]{1,40})\}"
    r"|\\verb\*?(?P<verb>(?P<fence>[^A-Za-z\s*])[^\n]{0,500}?(?P=fence))"
    r"|\\(?P<accent>[`'^~=.\"]|[uvHckr](?=\{\\?[A-Za-z]\}))(?:\{\\?(?P<braced>[A-Za-z])\}|\\?(?P<letter>[A-Za-z]))"
    r"|\\def\s{0,5}\\[A-Za-z@]{1,50}(?P<define>[^{\n]{0,50})"
    r"|\\(?P<macro>[A-Za-z@]{1,50})\*?[ \t]{0,20}"
    r"|\\\\\*?(?P<line>(?:\[[^\]\n]{0,20}\])?)"
    r"|(?P<formula>\\[\[(]|\$\$?)"
    r"|\\(?P<symbol>.)"
    r"|(?P<open>\{)|(?P<close>\})"
    r"|(?P<mark>---?|``|''|~)",
    re.DOTALL,
)
_MARKS = {"---": "—", "--": "–", "``": "“", "''": "”", "~": " "}
_OPTION = re.compile(r"\s{0,20}\[([^\[\]]{0,500})\]")
_ARGUMENT = re.compile(r"\s{0,20}\{[^{}]{0,200}(?:\{[^{}]{0,200}\}[^{}]{0,200}){0,10}\}")
_RULES = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|endhead|endfirsthead|endfoot|endlastfoot)\b|\\c(?:mid)?(?:rule|line)(?:\([^)]{0,10}\))?\{[^{}]{0,20}\}"
)
_SPANNING = re.compile(r"\s{0,20}\\multicolumn\s{0,5}\{\s{0,5}(\d{1,2})\s{0,5}\}\s{0,5}")
_ROW_END = re.compile(r"\\\\(?:\[[^\]\n]{0,20}\])?|\\tabularnewline\b")
_CELL_END = re.compile(r"(?<!\\)&")
_FORMULA_ENDS = {"\\[": "\\]", "\\(": "\\)"}
_BREAK = "\x0b"
_HEADING_CHARS = 300
_FORMULA_CHARS = 5000
_GROUPS = 200


class TexLoader:
    """Reads .tex."""

    extensions: ClassVar[frozenset[str]] = frozenset({".tex"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n"))
            reader.read()
            elsewhere = ", ".join(dict.fromkeys(reader.included))
            unread = (f"what it takes from other files was not read: {elsewhere}",) if elsewhere else ()
            return document(file, reader.outline.finish(), (*warnings, *unread))


class _Reader:
    """Goes once over the text. Groups in braces are kept on a stack with what becomes of their words."""

    def __init__(self, text: str) -> None:
        self.outline = Outline()
        self.included: list[str] = []
        self._text = text
        self._at = 0
        self._words: list[str] = []
        self._groups: list[tuple[str, int]] = []
        self._dropping = 0
        self._next: list[str] = []
        self._absent: set[str] = set()

    def read(self) -> None:
        while found := _TOKEN.search(self._text, self._at):
            between = self._text[self._at : found.start()]
            if between.strip() and not self._dropping:
                self._next = []
            self._words.append(between)
            self._at = found.end()
            self._token(found)
        self._words.append(self._text[self._at :])
        self._groups = []
        self._end_paragraphs()

    def words(self) -> str:
        """All words of a short text, as a table's cell is, on one line."""
        self.read()
        return " ".join(section.text for section in self.outline.finish())

    def _token(self, found: re.Match[str]) -> None:
        kind = found.lastgroup or ""
        match kind:
            case "begin":
                self._begin(found["begin"])
            case "end":
                self._end(found["end"])
            case "macro":
                self._macro(found["macro"])
            case "define":
                self._next = ["drop"]
            case "open":
                self._open()
            case "close":
                self._close()
            case "formula":
                self._formula(found[0], _FORMULA_ENDS.get(found[0], found[0]))
            case _:
                self._words.append(_shown(found, kind))

    def _macro(self, name: str) -> None:
        if self._dropping:
            return
        self._next = []
        if name in SYMBOLS:
            self._words.append(SYMBOLS[name])
            return
        if name == "item":
            label = _OPTION.match(self._text, self._at)
            self._words.append(f"{_BREAK}- ")
            if label:
                self._at = label.end()
                self._words.append(f"{_Reader(label[1]).words()} ")
            return
        self._skip_options()
        if name in HEADINGS:
            self._groups = []  # a group still open here was never closed: no heading stands inside one
            self._next = [f"heading {HEADINGS[name]}"]
        elif name in CAPTURED:
            self._next = [CAPTURED[name]]
        else:
            self._next = ["drop"] * DROPPED_ARGUMENTS.get(name, 0)

    def _skip_options(self) -> None:
        while option := _OPTION.match(self._text, self._at):
            self._at = option.end()

    def _open(self) -> None:
        is_wanted = self._next and not self._dropping and len(self._groups) < _GROUPS
        kind = self._next.pop(0) if is_wanted else ""
        self._groups.append((kind, len(self._words)))
        self._dropping += kind == "drop"

    def _close(self) -> None:
        if not self._groups:
            return
        kind, start = self._groups.pop()
        if kind == "drop":
            self._dropping -= 1
            del self._words[start:]
            self._skip_options()
        elif kind and not self._dropping:
            text = "".join(self._words[start:])
            del self._words[start:]
            self._put(kind, text)

    def _put(self, kind: str, text: str) -> None:
        """Put captured words where they belong."""
        line = join_lines(text.replace(_BREAK, "\n").split("\n"))
        match kind.partition(" "):
            case ("heading", _, level) if len(line) <= _HEADING_CHARS:
                self._end_paragraphs()
                self.outline.heading(int(level), line)
            case ("title", _, _):
                self.outline.heading(0, line)
            case ("front", _, _):
                self.outline.paragraph(line.replace(" ,", ","))
            case ("include", _, _):
                self.included.append(line)
            case ("cite", _, _):
                self._words.append(f"[{line}]")
            case ("aside", _, _):
                self._words.append(f" ({line})")
            case _:
                self._words.append(f"\n\n{line}\n\n")

    def _begin(self, name: str) -> None:
        self._next = []
        if name == "document":
            self._words, self._groups, self._dropping = [], [], 0
        elif name in MATH:
            self._formula(f"\\begin{{{name}}}", f"\\end{{{name}}}")
        elif name in CODE or name in UNREAD or name in TABLES:
            self._block(name)
        else:
            self._words.append("\n\n")
            self._skip_options()
            if name == "frame":
                self._next = ["heading 5"]
            else:
                self._next = ["drop"] * ENVIRONMENT_ARGUMENTS.get(name, 0)

    def _end(self, name: str) -> None:
        self._words.append("\n\n")
        if name == "document":
            self._end_paragraphs()
            self._at = len(self._text)

    def _block(self, name: str) -> None:
        """A table, code, or what is no text: everything up to its end."""
        body = self._up_to(f"\\end{{{name}}}")
        if body is None or self._dropping or name in UNREAD:
            return
        for _ in range(TABLES.get(name, name == "minted")):
            argument = _ARGUMENT.match(_OPTION.sub("", body, count=1) if body.lstrip().startswith("[") else body)
            body = body[argument.end() :] if argument else body
        if any(kind for kind, _ in self._groups):
            self._words.append(body)
            return
        self._end_paragraphs()
        if name in TABLES:
            self.outline.table(_rows(body))
        else:
            self.outline.code(_OPTION.sub("", body, count=1) if body.startswith("[") else body)

    def _formula(self, begin: str, end: str) -> None:
        """Keep a formula as it is written; a dollar without its partner is a dollar."""
        self._next = []
        place = self._at
        body = self._up_to(end)
        if body is None or len(body) > _FORMULA_CHARS or (end == "$" and "\n\n" in body):
            self._at = place
            self._words.append(begin if end == "$" else "")
        else:
            self._words.append(f"{begin}{body}{end}")

    def _up_to(self, mark: str) -> str | None:
        """What stands before the next `mark`; the place moves behind it. A mark once missed is not looked for again."""
        end = -1 if mark in self._absent else self._text.find(mark, self._at)
        if end < 0:
            self._absent.add(mark)
            return None
        body = self._text[self._at : end]
        self._at = end + len(mark)
        return body

    def _end_paragraphs(self) -> None:
        """Hand the words so far to the outline; while a group is being captured they stay."""
        if any(kind for kind, _ in self._groups):
            return
        self._groups = [("", 0) for _ in self._groups]
        text, self._words = "".join(self._words), []
        for paragraph in re.split(r"\n[ \t]*\n\s*", text):
            lines = [join_lines(line.split("\n")) for line in paragraph.split(_BREAK)]
            self.outline.paragraph("\n".join(line for line in lines if line))


def _shown(found: re.Match[str], kind: str) -> str:
    match kind:
        case "letter" | "braced":
            return unicodedata.normalize("NFC", found[kind] + ACCENTS[found["accent"]])
        case "verb":
            return str(found["verb"][1:-1])
        case "line":
            return _BREAK
        case "mark":
            return _MARKS[found["mark"]]
        case "symbol":
            return str(found["symbol"]) if found["symbol"] in "%&$#_{}" else " " if found["symbol"] in " ,;:\n" else ""
    return ""


def _rows(body: str) -> list[list[Cell]]:
    rows = _ROW_END.split(_RULES.sub("", body))
    return [[_cell(cell) for cell in _CELL_END.split(row)] for row in rows if row.strip()]


def _cell(text: str) -> Cell:
    spanning = _SPANNING.match(text)
    if not spanning:
        return Cell(_Reader(text).words())
    rest = text[spanning.end() :]
    argument = _ARGUMENT.match(rest)
    return Cell(_Reader(rest[argument.end() :] if argument else rest).words(), columns=int(spanning[1]))
