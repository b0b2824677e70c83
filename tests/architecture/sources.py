"""The project's Python files and their syntax trees, read once for all architecture tests."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOORS = ("startup.py", "init_database.py")


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))

    def at(self, node: ast.AST) -> str:
        """`path:line` of a node."""
        return f"{self.path}:{getattr(node, 'lineno', 0)}"


@cache
def product() -> tuple[Source, ...]:
    """services/, webui/ and the doors at the root."""
    files = [path for folder in ("services", "webui") for path in (ROOT / folder).rglob("*.py")]
    return _read([*files, *(ROOT / door for door in DOORS if (ROOT / door).exists())])


@cache
def suite() -> tuple[Source, ...]:
    """tests/, benches included."""
    return _read(list((ROOT / "tests").rglob("*.py")))


def _read(files: list[Path]) -> tuple[Source, ...]:
    found = []
    for file in sorted(files):
        path = file.relative_to(ROOT).as_posix()
        if "/migrations/versions/" in path:
            continue
        text = file.read_text(encoding="utf-8")
        found.append(Source(path, text, ast.parse(text, path)))
    return tuple(found)


def module_names(*roots: str) -> list[str]:
    """Dotted names of the modules that may be imported: no `__main__`, no script that runs on import."""
    names = []
    for source in product():
        if source.path.partition("/")[0] not in roots or source.path in NOT_IMPORTED:
            continue
        if source.path.endswith("/__main__.py"):
            continue
        names.append(source.path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    return names


NOT_IMPORTED = {"webui/app.py", "services/api/storage/migrations/env.py"}
"""Scripts that Streamlit and Alembic run: their work is at module level by those tools' design."""


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute chain; anything else in it shows as `?`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"
