"""What is shown of an import."""

from __future__ import annotations

from argparse import ArgumentTypeError
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.api.knowledge.importing.report import BaseOutcome, Fate, FileOutcome, ImportReport
from services.api.knowledge.importing.summary import closing_lines, lines, local_path, table


def report() -> ImportReport:
    files = [
        FileOutcome("a.txt", Fate.COPIED, name="a.txt"),
        FileOutcome("sub/b.txt", Fate.COPIED, name="sub__b.txt"),
        FileOutcome("sub/e.txt", Fate.COPIED, name="sub__e.txt"),
        FileOutcome("sub/f.txt", Fate.COPIED, name="sub__f~0123abcd.txt"),
        FileOutcome("sub/g.txt", Fate.HERE, name="sub__g.txt"),
        FileOutcome("c\x1b[31m\u202e.txt", Fate.FAILED, "it is a link"),
        FileOutcome(".d", Fate.SKIPPED, "it is hidden"),
    ]
    base = BaseOutcome("[red]docs", is_new=True, files=files, records_taken=2, remarks=["its model is another"])
    refused = BaseOutcome("合同(旧)", "only letters are allowed; copy its folder")
    return ImportReport([base, refused], turns_taken=3, remarks=["summaries of files: 1"])


def shown(given: ImportReport) -> str:
    written = StringIO()
    Console(file=written, width=120).print(table(given))
    return written.getvalue()


def test_what_differs_has_a_line_and_what_does_not_has_none():
    assert list(lines(report())) == [
        "[red]docs: its model is another",
        "[red]docs: files of sub-folders have the folder in their name: 2 (sub/b.txt is sub__b.txt now)",
        "[red]docs/sub/f.txt: copied as sub__f~0123abcd.txt",
        "[red]docs/c?[31m?.txt: failed: it is a link",
        "[red]docs/.d: skipped: it is hidden",
        "合同(旧): failed: only letters are allowed; copy its folder",
        "summaries of files: 1",
    ]


def test_the_table_counts_each_base_and_the_sum():
    text = shown(report())
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if "│" in line]
    assert ["[red]docs", "7", "4", "1", "1", "1", "2", "0"] in rows
    assert ["合同(旧) (failed)", *"0000000"] in rows
    assert ["sum", "7", "4", "1", "1", "1", "2", "0"] in rows
    assert report().failed == 2


def test_the_end_says_what_to_do_or_that_nothing_was():
    assert list(closing_lines(report())) == [
        "questions with answers: 3 taken over, 0 here already",
        "What is new is found once it is indexed: init_database.py -i",
    ]
    unchanged = ImportReport([BaseOutcome("a", files=[FileOutcome("a.txt", Fate.HERE)], records_here=1)], turns_here=3)
    assert list(closing_lines(unchanged))[-1] == "All that can be imported is here already: nothing was changed."
    assert list(closing_lines(ImportReport(rows_copied=5))) == ["5 rows copied"]


def test_a_base_that_is_here_is_told_of_when_something_is_added():
    added = BaseOutcome("a", files=[FileOutcome("a.txt", Fate.COPIED)])
    assert "its description and models stay" in next(lines(ImportReport([added])))
    assert list(lines(ImportReport([BaseOutcome("a", records_here=1)]))) == []


def test_an_address_is_no_path_and_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert local_path("info.db") == tmp_path / "info.db"
    with pytest.raises(ArgumentTypeError, match="PostgreSQL or MySQL") as refused:
        local_path("postgresql://me:secret@host/chatchat")
    assert "secret" not in str(refused.value)
