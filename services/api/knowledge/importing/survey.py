"""Looks through a `knowledge_base` folder of 0.2.x: `<base>/content/…` and `info.db`. Reads names, opens no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.api.knowledge.importing.report import Fate, FileOutcome
from services.foundation.errors import ImportRefused

CONTENT = "content"
DATABASE = "info.db"
_HIDDEN = (".", "~$")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file: its path below `content` with `/`, where it is read, and its size."""

    path: str
    source: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class FoundBase:
    """A base's folder: what can be copied, and what is left out and why. `refusal`: none of it can be."""

    name: str
    files: tuple[FoundFile, ...] = ()
    left_out: tuple[FileOutcome, ...] = ()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A whole folder of 0.2.x. `others`: folders in it that are no bases."""

    bases: tuple[FoundBase, ...]
    database: Path | None
    others: tuple[str, ...] = ()


def survey(folder: Path) -> Found:
    """What a `knowledge_base` folder holds. Links are followed only inside a base's `content` folder.

    Raises:
        ImportRefused: it is absent, cannot be read, or holds neither a base nor a database.
    """
    if not folder.is_dir():
        raise ImportRefused(source=folder.name, reason="there is no such folder")
    try:
        entries = sorted(folder.iterdir())
    except OSError as failure:
        raise ImportRefused(source=folder.name, reason=_because(failure)) from failure
    visible = [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
    bases = tuple(_base(entry) for entry in visible if os.path.lexists(entry / CONTENT))
    database = folder / DATABASE
    if database.is_symlink():
        raise ImportRefused(source=DATABASE, reason="it is a link; name the file it leads to with --import-db")
    if not bases and not database.is_file():
        raise ImportRefused(source=folder.name, reason=f"no folder in it holds a folder {CONTENT!r}{_hint(folder)}")
    others = tuple(entry.name for entry in visible if not os.path.lexists(entry / CONTENT))
    return Found(bases, database if database.is_file() else None, others)


def _hint(folder: Path) -> str:
    if (folder / "knowledge_base").is_dir():
        return "; name the folder 'knowledge_base' in it instead"
    if (folder / CONTENT).is_dir():
        return "; name the folder it lies in instead"
    return "; name the folder 'knowledge_base' of the old installation"


def _base(folder: Path) -> FoundBase:
    content = folder / CONTENT
    for place in (folder, content):
        if place.is_symlink():
            reason = "is a link; put the folder it leads to in its place, or import a copy made with cp -rL"
            return FoundBase(folder.name, refusal=f"{place.relative_to(folder.parent)} {reason}")
    if not content.is_dir():
        return FoundBase(folder.name, refusal=f"{folder.name}/{CONTENT} is no folder")
    files: list[FoundFile] = []
    left_out: list[FileOutcome] = []
    for found in _walk(content):
        (files if isinstance(found, FoundFile) else left_out).append(found)  # type: ignore[arg-type]
    return FoundBase(folder.name, tuple(files), tuple(left_out))


def _walk(content: Path) -> Iterator[FoundFile | FileOutcome]:
    root, waiting = content.resolve(), [content]
    while waiting:
        folder = waiting.pop()
        try:
            entries = sorted(folder.iterdir())
        except OSError as failure:
            yield FileOutcome(f"{_below(content, folder)}/", Fate.FAILED, _because(failure))
            continue
        for entry in entries:
            if entry.name.startswith(_HIDDEN):
                yield FileOutcome(_below(content, entry), Fate.SKIPPED, "it is hidden: 0.2.x did not read it either")
            elif entry.is_dir() and not entry.is_symlink():
                waiting.append(entry)
            else:
                yield _file(entry, _below(content, entry), root)


def _file(entry: Path, path: str, root: Path) -> FoundFile | FileOutcome:
    try:
        source = entry.resolve(strict=True)
        kept = source.lstat()
    except (OSError, RuntimeError):  # RuntimeError: a circle of links
        return FileOutcome(path, Fate.FAILED, "it is a link that leads nowhere; put the file in its place")
    if not source.is_relative_to(root):
        return FileOutcome(path, Fate.FAILED, "it is a link that leads out of its base; put the file in its place")
    if stat.S_ISDIR(kept.st_mode):
        return FileOutcome(path, Fate.SKIPPED, "it is a link to a folder that is imported where it lies")
    if not stat.S_ISREG(kept.st_mode):
        return FileOutcome(path, Fate.FAILED, "it is no regular file")
    return FoundFile(path, source, kept.st_size)


def _below(content: Path, path: Path) -> str:
    return path.relative_to(content).as_posix()


def _because(failure: OSError) -> str:
    return f"it cannot be read ({failure.strerror or type(failure).__name__}); check its permissions"
