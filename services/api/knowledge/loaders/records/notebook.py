"""Jupyter notebooks: Markdown cells as Markdown, code as code, text outputs shortened; pictures are not read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import ClassVar

from services.api.domain.knowledge import Document, SourceFile
from services.api.knowledge.loaders.code import code_sections
from services.api.knowledge.loaders.markdown import add_markdown
from services.api.knowledge.loaders.reading.content_type import require_text
from services.api.knowledge.loaders.reading.encodings import read_text
from services.api.knowledge.loaders.reading.failures import check_size, document, reading
from services.api.knowledge.loaders.reading.outline import Outline
from services.api.knowledge.loaders.records.json_text import decoded
from services.api.knowledge.loaders.records.log import without_colours
from services.api.knowledge.loaders.records.tree import Fields, Value
from services.foundation.errors import UnreadableFile

_OUTPUT_LINES = 20
_OUTPUT_CHARS = 1000


class NotebookLoader:
    """Reads .ipynb of every version; cells that lack parts are read as far as they go."""

    extensions: ClassVar[frozenset[str]] = frozenset({".ipynb"})

    def load(self, file: SourceFile) -> Document:
        with reading(file):
            check_size(file)
            require_text(file)
            text, warnings = read_text(file)
            notebook = _Notebook()
            for cell in _cells(file, text):
                notebook.add(cell)
            return document(file, notebook.outline.finish(), (*warnings, *notebook.warnings))


def _cells(file: SourceFile, text: str) -> list[Fields]:
    """The cells; version 3 keeps them in worksheets."""
    try:
        values = decoded(text)
    except json.JSONDecodeError as wrong:
        reason = f"it is not a whole notebook (line {wrong.lineno} is not valid JSON: {wrong.msg})"
        raise UnreadableFile(file=file.name.value, reason=reason) from wrong
    except RecursionError as deep:
        raise UnreadableFile(file=file.name.value, reason="its values are nested too deeply to be read") from deep
    roots = [root for root in values if isinstance(root, Fields)]
    sheets = [*roots, *(sheet for root in roots for sheet in _all_fields(root.get("worksheets")))]
    return [cell for sheet in sheets for cell in _all_fields(sheet.get("cells"))]


def _all_fields(value: Value) -> Iterator[Fields]:
    yield from (item for item in value if isinstance(item, Fields)) if isinstance(value, list) else ()


def _text(value: Value) -> str:
    """A text that may be written as a list of lines."""
    if isinstance(value, list):
        return "".join(line for line in value if isinstance(line, str))
    return value if isinstance(value, str) else ""


class _Notebook:
    """Collects the cells; remembers what of their outputs was not read."""

    def __init__(self) -> None:
        self.outline = Outline()
        self._unread = 0
        self._shortened = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        found = []
        if self._shortened:
            found.append(f"{self._shortened} long outputs of code cells were shortened")
        if self._unread:
            found.append(f"{self._unread} pictures or other outputs without text were not read")
        return tuple(found)

    def add(self, cell: Fields) -> None:
        """One cell. Kinds we do not know are read as Markdown, which plain text is."""
        source = _text(cell.get("source")) or _text(cell.get("input"))
        match cell.get("cell_type"):
            case "code":
                for section in code_sections(source):
                    self.outline.code(section.text)
                for output in _all_fields(cell.get("outputs")):
                    self._output(output)
            case "raw":
                self.outline.paragraph(source)
            case "heading":
                level = cell.get("level")
                self.outline.heading(int(level) if isinstance(level, str) and level in "123456" else 1, source)
            case _:
                add_markdown(self.outline, source)

    def _output(self, output: Fields) -> None:
        bundle = output.get("data")
        shown = _text(output.get("text")) or (_text(bundle.get("text/plain")) if isinstance(bundle, Fields) else "")
        failure = ": ".join(filter(None, (_text(output.get("ename")), _text(output.get("evalue")))))
        has_more = isinstance(bundle, Fields) and any(not kind.startswith("text/plain") for kind, _ in bundle.pairs)
        self._unread += has_more
        # Beside a picture or an HTML table, the plain text of most programs only names the object.
        is_name = has_more and shown.lstrip().startswith("<") and "\n" not in shown.strip()
        if not is_name:
            self.outline.code(self._short(without_colours(shown or failure)))

    def _short(self, text: str) -> str:
        lines = text.splitlines()
        short = "\n".join(lines[:_OUTPUT_LINES])[:_OUTPUT_CHARS]
        if len(short) < len("\n".join(lines)):
            self._shortened += 1
            return f"{short}\n…"
        return short
