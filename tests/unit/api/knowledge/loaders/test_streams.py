"""Long files are read in parts, which together are the whole, and tell how far they have got."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import openpyxl
import pytest

from services.api.domain.knowledge import Document, Place, Section
from services.api.domain.ports import PartLoader
from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.loaders.reading.streams import parts_of
from services.api.knowledge.splitters.sentences import SentenceSplitter
from services.foundation.errors import EmptyFile
from tests.unit.api.knowledge.loaders.making import load, source, written

ROWS = 6000


def _csv(path: Path) -> Path:
    rows = "".join(f"A{number},Hamburg,{number % 7}.50\n" for number in range(ROWS))
    return written(path, f"Orders of the year\norder,city,amount\n{rows}")


def _xlsx(path: Path) -> Path:
    book = openpyxl.Workbook(write_only=True)
    for name in ("North", "South"):
        sheet = book.create_sheet(name)
        sheet.append(["order", "city", "amount"])
        for number in range(ROWS // 2):
            sheet.append([f"{name} {number}", "Hamburg", number * 1.5])
    book.save(path)
    return path


def _records() -> list[dict[str, object]]:
    return [{"id": number, "city": "Hamburg", "remark": f"to the reception {number}"} for number in range(ROWS)]


def _json(path: Path) -> Path:
    return written(path, json.dumps([{"name": f"n{number}", "text": "long " * 200} for number in range(1200)]))


def _jsonl(path: Path) -> Path:
    return written(path, "\n".join(map(json.dumps, _records())))


def _yaml(path: Path) -> Path:
    return written(path, "".join(f"- id: {number}\n  city: Hamburg\n" for number in range(3000)))


def _log(path: Path) -> Path:
    return written(path, "".join(f"2026-01-02 03:04:05 INFO order {number} delivered\n" for number in range(ROWS)))


MADE = {".csv": _csv, ".xlsx": _xlsx, ".json": _json, ".jsonl": _jsonl, ".yaml": _yaml, ".log": _log}


def _parts(path: Path) -> list[Document]:
    loader = LOADERS.build(path.suffix)
    assert isinstance(loader, PartLoader)
    return list(loader.parts(source(path)))


@pytest.mark.parametrize("extension", MADE)
def test_the_parts_are_the_whole(extension: str, tmp_path: Path):
    path = MADE[extension](tmp_path / f"long{extension}")
    whole, parts = load(path), _parts(path)
    assert len(parts) > 2
    assert tuple(section for part in parts for section in part.sections) == whole.sections
    assert tuple(warning for part in parts for warning in part.warnings) == whole.warnings
    splitter = SentenceSplitter()
    assert [passage for part in parts for passage in splitter.split(part)] == splitter.split(whole)


@pytest.mark.parametrize("extension", MADE)
def test_progress_moves(extension: str, tmp_path: Path):
    path = MADE[extension](tmp_path / f"long{extension}")
    told: list[int] = []
    LOADERS.build(extension).load(replace(source(path), report=lambda done, _: told.append(done)))
    assert len(told) > 1
    assert told == sorted(set(told))


@pytest.mark.parametrize("extension", [".csv", ".jsonl", ".json", ".log"])
def test_a_file_without_text_has_no_part_with_text(extension: str, tmp_path: Path):
    path = written(tmp_path / f"blank{extension}", " \n\t\n")
    with pytest.raises(EmptyFile):
        load(path)
    assert not any(part.sections for part in _parts(path))


def test_sections_of_one_place_stay_together():
    sections = [Section(str(number), Place(page=number // 100)) for number in range(250)]
    parts = list(parts_of(sections))
    assert [len(part.sections) for part in parts] == [100, 100, 50]


def test_sections_without_text_are_left_out():
    assert [part.sections for part in parts_of([Section(" \n"), Section("a"), Section("")])] == [(Section("a"),)]
