"""reStructuredText, line by line: titles by their lines of marks, literal blocks as code, directives by their kind."""

from __future__ import annotations

import csv
import re
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.markup.rst_words import words_of
from services.api.knowledge.loaders.markup.text_tables import grid_rows, is_grid_border, is_simple_border, simple_rows
from services.api.knowledge.loaders.reading.cleaning import join_lines
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.reading.tables import Cell

_MARKS = "=\\-`:'\"~^_*+#<>.!$%&(),/;?@\\[\\]{|}\\\\"
_RULE = re.compile(rf"([{_MARKS}])\1{{2,}}\s*$")
_SHORT_RULE = re.compile(rf"([{_MARKS}])\1+\s*$")
_EXPLICIT = re.compile(r"\.\.(?:\s+|$)")
_DIRECTIVE = re.compile(
    r"(?:\|(?P<name>[^|]{1,100})\|\s{1,4})?(?P<kind>[\w.+-]{1,50}(?::[\w.+-]{1,50}){0,2})\s{0,4}::(?:\s+|$)"
)
_TARGET = re.compile(r"_[^\n]{1,300}?:(?:\s|$)|__")
_NOTE = re.compile(r"(\[[\w#*.-]{1,60}\])\s+")
_OPTION = re.compile(r":([\w -]{1,60}):(?:\s+(.*))?$")
_ITEM = re.compile(r"(?:[-*+•‣]|\(?(?:\d{1,4}|#|[a-zA-Z])[.)])\s+(?=\S)")
_CODE = frozenset({"code", "code-block", "sourcecode", "highlight", "math", "parsed-literal", "prompt", "doctest"})
_DROPPED = frozenset(
    [
        *(
            "contents",
            "toctree",
            "highlight",
            "currentmodule",
            "module",
            "raw",
            "meta",
            "index",
            "default-role",
            "role",
        ),
        *("include", "literalinclude", "automodule", "autoclass", "autofunction", "sectnum", "tabularcolumns", "only"),
        *("default-domain", "py:module", "py:currentmodule", "target-notes", "header", "footer", "date", "unicode"),
    ]
)
_ELSEWHERE = frozenset({"include", "literalinclude", "csv-table", "raw", "automodule", "autoclass", "autofunction"})


class RstLoader:
    """Reads .rst."""

    extensions: ClassVar[frozenset[str]] = frozenset({".rst"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            page = _Page(text)
            page.read()
            return document(file, page.outline.finish(), (*warnings, *page.warnings))


class _Page:
    """The lines and the place among them. Blocks inside others are read like any, only without their margin."""

    def __init__(self, text: str) -> None:
        self.outline = Outline()
        self._lines = [line.expandtabs(8).rstrip() for line in text.removeprefix("\ufeff").splitlines()]
        self._at = 0
        self._levels: dict[tuple[str, bool], int] = {}
        self._substitutions = _substitutions(self._lines)
        self._elsewhere: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        names = ", ".join(dict.fromkeys(self._elsewhere))
        return (f"what it takes from other places was not read: {names}",) if names else ()

    def read(self) -> None:
        while self._at < len(self._lines):
            line = self._lines[self._at].strip()
            if not line:
                self._at += 1
            elif not self._title() and not self._table(line):
                if _EXPLICIT.match(line):
                    self._explicit()
                elif line.startswith(">>> "):
                    self.outline.code("\n".join(self._paragraph()))
                else:
                    self._running_text()

    def _line(self, offset: int) -> str:
        place = self._at + offset
        return self._lines[place] if 0 <= place < len(self._lines) else ""

    def _title(self) -> bool:
        """Take a title, with or without a line above it, or a rule between paragraphs."""
        line, second, third = self._line(0), self._line(1), self._line(2)
        over = _RULE.match(line)
        if over and not second:
            self._at += 1
            return True
        if over and third.strip() and _SHORT_RULE.match(third) and third[0] == line[0]:
            self._heading(second, (line[0], True), lines=3)
            return True
        under = _SHORT_RULE.match(second)
        if not under or line[0].isspace() or over or is_grid_border(second):
            return False
        if len(second) < 3 and len(second) < len(line):
            return False
        self._heading(line, (second[0], False), lines=2)
        return True

    def _heading(self, title: str, style: tuple[str, bool], *, lines: int) -> None:
        level = self._levels.setdefault(style, len(self._levels) + 1)
        self.outline.heading(level, self._words(title))
        self._at += lines

    def _table(self, line: str) -> bool:
        if is_grid_border(line):
            rows = grid_rows(self._paragraph())
        elif is_simple_border(line):
            rows = simple_rows(self._simple_table())
        else:
            return False
        self._add_table(rows)
        return True

    def _add_table(self, rows: list[list[Cell]]) -> None:
        self.outline.table([[Cell(self._words(cell.text), cell.rows, cell.columns) for cell in row] for row in rows])

    def _simple_table(self) -> list[str]:
        """The lines up to the border that a blank line or the end follows."""
        margin = _margin(self._line(0))
        begun = self._at
        self._at += 1
        while self._at < len(self._lines):
            self._at += 1
            if is_simple_border(self._lines[self._at - 1]) and not self._line(0):
                break
        return [line[margin:] for line in self._lines[begun : self._at]]

    def _paragraph(self) -> list[str]:
        """The lines up to the next blank one."""
        begun = self._at
        while self._line(0):
            self._at += 1
        return [line.strip() for line in self._lines[begun : self._at]]

    def _running_text(self) -> None:
        """A paragraph, list or field list; one that ends with two colons announces a literal block."""
        margin = _margin(self._line(0))
        items: list[list[str]] = []
        begun = self._at
        while self._line(0) and not (self._at > begun and _EXPLICIT.match(self._line(0).strip())):
            line = self._line(0)
            opens = not items or _ITEM.match(line.strip()) or _OPTION.match(line.strip()) or line.startswith("| ")
            if opens or (_margin(line) != _margin(self._line(-1)) and not _ITEM.match(items[-1][0])):
                items.append([])
            items[-1].append(line.strip().removeprefix("| "))
            self._at += 1
        text = "\n".join(map(join_lines, items))
        announces = text.endswith("::")
        shown = text.removesuffix("::").rstrip() + ":" if announces and text != "::" else text.removesuffix("::")
        self.outline.paragraph(_without_field_marks(self._words(shown)))
        if announces:
            self.outline.code("\n".join(self._indented(_margin(self._lines[self._at - 1]) if items else margin)))

    def _indented(self, margin: int) -> list[str]:
        """The block that follows and stands further in than `margin`, without its own margin."""
        begun = self._at
        while self._at < len(self._lines) and (not self._line(0) or _margin(self._line(0)) > margin):
            self._at += 1
        block = self._lines[begun : self._at]
        inner = min((_margin(line) for line in block if line), default=0)
        return [line[inner:] for line in block]

    def _explicit(self) -> None:
        """What begins with two dots: a directive, a note, a link's target or a comment."""
        margin = _margin(self._line(0))
        body = _EXPLICIT.sub("", self._line(0).strip(), count=1)
        directive, note = _DIRECTIVE.match(body), _NOTE.match(body)
        if directive:
            self._at += 1
            self._directive(directive, body[directive.end() :], margin)
        elif note:
            self._lines[self._at] = f"{' ' * margin}{note[1]} {body[note.end() :]}"
        else:
            self._at += 1
            if body or not self._line(0):
                self._indented(margin) if not _TARGET.match(body) else self._paragraph_of_target(margin)

    def _paragraph_of_target(self, margin: int) -> None:
        while self._line(0) and _margin(self._line(0)) > margin:
            self._at += 1

    def _directive(self, found: re.Match[str], argument: str, margin: int) -> None:
        kind = found["kind"].lower()
        if kind in _ELSEWHERE:
            self._elsewhere.append(f"{kind} {argument}".strip())
        options = self._options(margin)
        if found["name"] or kind in _DROPPED:
            self._indented(margin)
        elif kind in _CODE:
            self.outline.code("\n".join([*filter(None, [argument if kind == "math" else ""]), *self._indented(margin)]))
        elif kind in {"image", "figure"}:
            self.outline.paragraph(options.get("alt", ""))
        elif kind == "csv-table":
            self.outline.paragraph(self._words(argument))
            header = [options["header"]] if "header" in options else []
            rows = csv.reader([*header, *filter(None, self._indented(margin))], skipinitialspace=True)
            self._add_table([[Cell(cell) for cell in row] for row in rows])
        elif kind == "list-table":
            self.outline.paragraph(self._words(argument))
            self._add_table(_list_table(self._indented(margin)))
        else:
            self.outline.paragraph(self._words(argument))

    def _options(self, margin: int) -> dict[str, str]:
        """The `:name: value` lines right below a directive."""
        options: dict[str, str] = {}
        while (found := _OPTION.match(self._line(0).strip())) and _margin(self._line(0)) > margin:
            options[found[1]] = found[2] or ""
            self._at += 1
        return options

    def _words(self, text: str) -> str:
        return words_of(text, self._substitutions)


def _substitutions(lines: list[str]) -> dict[str, str]:
    found = (re.match(r"\s{0,20}\.\. \|([^|]{1,100})\| replace::\s+(.+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def _without_field_marks(text: str) -> str:
    """`:Author: Wang` as `Author: Wang`."""
    return re.sub(r"(?m)^:([\w /-]{1,60}):(?=\s|$)", r"\1:", text)


def _list_table(lines: list[str]) -> list[list[Cell]]:
    """A list of lists: `* -` opens a row, `-` a cell."""
    rows: list[list[list[str]]] = []
    for line in lines:
        body = line.strip()
        if body.startswith(("* ", "*\t")):
            rows.append([])
            body = body[2:].strip()
        if rows and (body.startswith("- ") or body == "-"):
            rows[-1].append([body[1:].strip()])
        elif rows and rows[-1] and body:
            rows[-1][-1].append(body)
    return [[Cell(join_lines(cell)) for cell in row] for row in rows]


def _margin(line: str) -> int:
    return len(line) - len(line.lstrip())
