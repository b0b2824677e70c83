"""Keeps what was read from pictures, by the hash of their pixels, so that no picture is read twice."""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

from services.api.knowledge.loaders.pictures.ocr import Line, Pixels, engine_name
from services.api.knowledge.loaders.pictures.reading import Reading, read_picture

log = logging.getLogger(__name__)
_LAYOUT = 1
"""Counts up when a kept reading changes its form or its meaning."""


class PictureReader:
    """Reads the pictures of one file; equal ones once. `folder` keeps the readings for other files and later times.

    `heard` is called now and then while a picture is read, which may take most of a minute.
    """

    def __init__(self, folder: Path | None, heard: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._heard = heard
        self._known: dict[str, Reading] = {}
        self.recognised = 0

    def known(self, pixels: Pixels) -> Reading | None:
        """What an equal picture held, if it was read before."""
        key = _key(pixels)
        if key not in self._known and self._folder is not None:
            kept = _kept(self._folder / f"{key}.json")
            if kept is not None:
                self._known[key] = kept
        return self._known.get(key)

    def read(self, pixels: Pixels) -> Reading:
        """What a picture holds; `recognised` counts those that were not known."""
        found = self.known(pixels)
        if found is None:
            found = read_picture(pixels, self._heard)
            self.recognised += 1
            key = _key(pixels)
            self._known[key] = found
            if self._folder is not None:
                _keep(self._folder, key, found)
        return found


def _key(pixels: Pixels) -> str:
    made = hashlib.sha256(f"{engine_name()} {_LAYOUT} {pixels.shape}".encode())
    made.update(pixels.tobytes())
    return made.hexdigest()


def _kept(path: Path) -> Reading | None:
    try:
        found = json.loads(path.read_bytes())
        lines = tuple(Line(str(text), *map(float, numbers)) for text, *numbers in found["lines"])
        tables = tuple(
            tuple((int(left), int(top), int(right), int(bottom)) for left, top, right, bottom in cells)
            for cells in found["tables"]
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as damaged:
        log.warning("the kept reading %s is damaged and will be made again: %r", path.name, damaged)
        return None
    return Reading(lines, tables)


def _keep(folder: Path, key: str, found: Reading) -> None:
    text = json.dumps({"lines": [astuple(line) for line in found.lines], "tables": found.tables}, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=folder, encoding="utf-8", delete=False) as handle:
            handle.write(text)
        Path(handle.name).replace(folder / f"{key}.json")
    except OSError as refused:
        log.warning("what was read from a picture could not be kept: %r", refused)
