"""Real and hostile files through the processes that read them. What needs OCR, and the whole way, are benches."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.api.domain.knowledge import Parsed, SourceFile, SplitterChoice
from services.api.domain.names import FileName
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.parsing.pool import ParserPool, ParsingLimits
from services.foundation.errors import ChatchatError, UnreadableFile
from services.foundation.settings.tree import Parsing
from tests.bench.ingestion.uploading import folded
from tests.conftest import CORPORA

pytestmark = [
    pytest.mark.corpora,
    pytest.mark.skipif(not CORPORA.is_dir(), reason="../shared/corpora is not here"),
]
CUT = SplitterChoice("sentences", {"chunk_chars": 250, "overlap_chars": 50})
_HOSTILE_SECONDS = 60.0
_RIGHT_SHARE = 0.97


@pytest.fixture
async def parser(tmp_path: Path) -> AsyncIterator[ParserPool]:
    pool = ParserPool(ParsingLimits(**Parsing().model_dump()), tmp_path / "scratch")
    yield pool
    await pool.stop()


def manifest(folder: str) -> list[dict[str, Any]]:
    path = CORPORA / folder / "manifest.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [json.loads(line) for line in lines]
    return [entry for entry in found if entry.get("path") and (CORPORA / folder / entry["path"]).is_file()]


def source(path: Path) -> SourceFile:
    return SourceFile(FileName.parse(path.name), path)


def complaints(entry: dict[str, Any], parsed: Parsed) -> list[str]:
    texts = [(passage.place.page, folded(passage.text)) for passage in parsed.passages]
    whole = "".join(text for _, text in texts)
    wrong = [phrase for phrase in entry["must_contain"] if folded(phrase) not in whole]
    for phrase, pages in entry.get("pages", {}).items():
        on_pages = "".join(text for page, text in texts if page in pages)
        wrong += [] if phrase in wrong or folded(phrase) in on_pages else [f"{phrase} on {pages}"]
    return wrong


@pytest.mark.timeout(600)
async def test_the_phrases_of_real_files_are_found_on_their_pages(parser: ParserPool):
    entries = [entry for entry in manifest("documents") if not entry.get("needs_ocr")]
    wrong: dict[str, list[str]] = {}
    for entry in entries:
        try:
            parsed = await parser.parse(source(CORPORA / "documents" / entry["path"]), CUT)
        except UnreadableFile as refused:
            if entry["expect"] == "ok":
                wrong[entry["path"]] = [str(refused)]
            continue
        if entry["expect"] != "ok":
            wrong[entry["path"]] = ["read, though a clear error was expected"]
        elif found := complaints(entry, parsed):
            wrong[entry["path"]] = found
    assert len(wrong) <= (1 - _RIGHT_SHARE) * len(entries), wrong


@pytest.mark.timeout(1200)
async def test_hostile_files_are_read_or_refused_in_time_and_hurt_nothing(parser: ParserPool):
    wrong: dict[str, str] = {}
    for entry in manifest("hostile"):
        path = CORPORA / "hostile" / entry["path"]
        if not entry.get("limits") or path.suffix.lower() not in LOADERS:
            continue  # a list for other tests; refused at the door, by its name
        began, outcome = time.monotonic(), "ok"
        try:
            parsed = await parser.parse(source(path), CUT)
            assert "root:x:0:0" not in "".join(passage.text for passage in parsed.passages)
            assert all(passage.text.strip() for passage in parsed.passages)
        except UnreadableFile:
            outcome = "clear error"
        except ChatchatError as failure:
            outcome = f"{failure.code}: {failure}"
        if outcome not in entry["expect"] or time.monotonic() - began > _HOSTILE_SECONDS:
            wrong[entry["path"]] = f"{outcome} in {time.monotonic() - began:.1f} s, expected {entry['expect']}"
    assert wrong == {}
