"""init_database.py --import-db and --import-folder, over real installations of 0.2.10 and a real SQLite of ours."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import init_database
from tests.former_installation import FormerInstallation, filled
from tests.integration import test_init_database as door
from tests.unit.docs.pages import blocks

script, served = door.script, door.served
_FILES = """SELECT b.name || '/' || f.name, f.state FROM knowledge_files f
JOIN knowledge_bases b ON b.id = f.knowledge_base_id ORDER BY 1"""


@dataclass
class Ours:
    """Our side: the data folder, and the script that is run in this process."""

    data: Path
    capture: pytest.CaptureFixture[str]
    said: str = ""

    def run(self, *arguments: str | Path) -> int:
        """Run the script; returns the exit code."""
        self.capture.readouterr()
        code = init_database.main([str(argument) for argument in arguments])
        self.said = self.capture.readouterr().out
        return code

    def rows(self, query: str) -> list[Any]:
        """What our database answers."""
        with closing(sqlite3.connect(self.data / "info.db")) as connection:
            return list(connection.execute(query))

    def files(self) -> dict[str, str]:
        """`base/file` → its text, of all that lies in our content folders."""
        paths = sorted(self.data.glob("*/content/**/*"))
        return {f"{path.parts[-3]}/{path.name}": path.read_text() for path in paths if path.is_file()}

    def states(self) -> dict[str, str]:
        return dict(self.rows(_FILES))


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ours]:
    data = tmp_path / "new"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHATCHAT_SERVER__DATA_DIR", str(data))
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
    monkeypatch.setenv("COLUMNS", "120")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Ours(data, capsys)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def old(tmp_path: Path) -> FormerInstallation:
    return filled(tmp_path / "old" / "knowledge_base")


def test_the_page_about_it_shows_what_is_said(ours: Ours, old: FormerInstallation):
    assert ours.run("--import-folder", old.folder) == 0
    (shown,) = blocks("move-from-0.2", "console")
    said = [line for line in shown.splitlines() if line.startswith(("人事制度: ", "questions"))]
    assert len(said) == 3
    assert [line for line in said if line not in ours.said.splitlines()] == []


def test_a_whole_installation_is_taken_over_and_left_as_it_is(ours: Ours, old: FormerInstallation):
    before = old.everything()
    assert ours.run("--import-folder", old.folder) == 0, ours.said
    assert ours.files() == {
        "docs/loose.txt": "never indexed",
        "docs/readme.md": "# Read me\n\nHolidays are long.",
        "人事制度/2023__报告.md": "# 报告\n\n病假 十天",
        "人事制度/年假.txt": "年假 五天",
        "人事制度/改过.txt": "婚假 三天",
    }
    assert ours.states() == {
        "docs/readme.md": "pending",
        "人事制度/2023__报告.md": "pending",
        "人事制度/年假.txt": "pending",
        "人事制度/改过.txt": "pending",
    }
    assert ours.rows("SELECT name, description, embedding_model, vector_store, created_at FROM knowledge_bases") == [
        ("docs", "", "all-minilm-l6-v2", "milvus", "2024-02-29 08:15:30.000000"),
        ("人事制度", "关于人事制度的知识库", "all-minilm-l6-v2", "milvus", "2024-02-29 08:15:30.000000"),
    ]
    assert ours.rows("SELECT version, loader, modified_at FROM knowledge_files WHERE name = '年假.txt'") == [
        (3, "UnstructuredFileLoader", "2024-02-29 08:06:40.250000")
    ]
    assert ours.rows("SELECT id, conversation_id, question, answer, created_at FROM turns") == [
        ("m1", "c1", "年假几天？", "五天", "2024-03-01 09:00:00.000000"),
        ("m2", "c1", "病假呢？", "十天", "2024-03-01 09:01:00.000000"),
        ("m3", None, "hello", "", "2024-03-02 09:00:00.000000"),
    ]
    assert ours.rows("SELECT id, title, updated_at FROM conversations") == [
        ("c1", "年假几天？", "2024-03-01 09:01:00.000000")
    ]
    assert old.everything() == before
    for sentence in (
        "人事制度: its embedding model 'bge-large-zh-v1.5' is not configured here: it is indexed with 'all-minilm",
        "人事制度: its vectors were in 'faiss'",
        "人事制度: the passages of '改过.txt' were edited by hand",
        "人事制度: files of sub-folders have the folder in their name: 1 (2023/报告.md is 2023__报告.md now)",
        "answers that were rated: 1",
        "summaries of files: 1",
        "questions with answers: 3 taken over",
        "init_database.py -i",
    ):
        assert sentence in ours.said


def test_a_second_run_changes_nothing_and_says_so(ours: Ours, old: FormerInstallation):
    assert ours.run("--import-folder", old.folder) == 0
    dump = "SELECT * FROM knowledge_files ORDER BY id"
    rows, turns, files = ours.rows(dump), ours.rows("SELECT * FROM turns"), ours.files()
    for arguments in (("--import-folder", old.folder), ("--import-db", old.database)):
        assert ours.run(*arguments) == 0
        assert "nothing was changed" in ours.said
        assert "0 taken over, 3 here already" in ours.said
        assert (ours.rows(dump), ours.rows("SELECT * FROM turns"), ours.files()) == (rows, turns, files)


def test_what_cannot_be_taken_over_is_named_line_by_line(ours: Ours, old: FormerInstallation, tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    old.add_base("合同(旧)")
    old.add_file("合同(旧)", "a.txt", "a")
    old.lay("docs", "bad\u202ename.txt", "x")
    old.lay("docs", ".DS_Store", "x")
    old.lay("docs", "empty.txt", "")
    old.add_file("docs", "lost.txt")
    (old.folder / "docs" / "content" / "link.txt").symlink_to(secret)
    gbk = "年假.txt".encode("gbk")
    (Path(str(old.folder)) / "docs" / "content" / gbk.decode("utf-8", "surrogateescape")).write_text("x")
    assert ours.run("--import-folder", old.folder) == 1
    for line in (
        "合同(旧): failed: only letters, digits, spaces, '-', '_' and '.' are allowed; copy its folder under another",
        "docs/bad?name.txt: failed: it holds a control or direction character; rename it there and import again",
        "docs/.DS_Store: skipped: it is hidden",
        "docs/empty.txt: skipped: it is empty",
        "docs/lost.txt: failed: it is on record, and not in the folder",
        "docs/link.txt: failed: it is a link that leads out of its base",
        "convmv -f gbk",
    ):
        assert line in ours.said
    assert "secret" not in "".join(ours.files().values())
    assert set(ours.files()) >= {"docs/readme.md", "人事制度/年假.txt"}
    assert ours.states()["docs/lost.txt"] == "failed"
    row = next(line for line in ours.said.splitlines() if line.startswith("│ docs"))
    assert [int(cell) for cell in row.split("│")[2:-1]] == [8, 2, 0, 2, 4, 2, 0]


def test_the_database_first_and_the_folder_later(ours: Ours, old: FormerInstallation):
    assert ours.run("--import-db", old.database) == 0
    assert set(ours.states().values()) == {"failed"}
    assert ours.files() == {}
    assert "人事制度: files on record that are not here yet: 3; bring them with --import-folder" in ours.said
    assert ours.run("--import-folder", old.folder) == 0
    assert set(ours.states().values()) == {"pending"}
    assert ours.rows("SELECT version FROM knowledge_files WHERE name = '年假.txt'") == [(3,)]
    assert "All that" not in ours.said
    assert ours.run("--import-folder", old.folder) == 0
    assert "nothing was changed" in ours.said


def test_a_folder_without_its_database_and_a_database_from_elsewhere(
    ours: Ours, old: FormerInstallation, tmp_path: Path
):
    elsewhere = old.database.rename(tmp_path / "moved.db")
    assert ours.run("--import-folder", old.folder) == 0
    assert ours.states() == {}
    assert len(ours.files()) == 5
    assert ours.run("--import-folder", old.folder, "--import-db", elsewhere) == 0
    assert set(ours.states().values()) == {"pending"}
    assert "its description and models stay" in ours.said


def test_a_copy_that_was_interrupted_is_finished(ours: Ours, old: FormerInstallation):
    assert ours.run("--import-folder", old.folder) == 0
    whole = ours.files()
    (ours.data / "人事制度" / "content" / "年假.txt").unlink()
    (ours.data / "人事制度" / "content" / ".incoming-x").write_text("half")
    assert ours.run("--import-folder", old.folder) == 0
    (ours.data / "人事制度" / "content" / ".incoming-x").unlink()
    assert ours.files() == whole
    row = next(line for line in ours.said.splitlines() if line.startswith("│ 人事制度"))
    assert [int(cell) for cell in row.split("│")[2:-1]] == [3, 1, 2, 0, 0, 0, 3]


def test_a_file_that_is_here_with_other_content_stays(ours: Ours, old: FormerInstallation):
    assert ours.run("--import-folder", old.folder) == 0
    old.lay("docs", "readme.md", "changed there")
    assert ours.run("--import-folder", old.folder) == 1
    assert "docs/readme.md: failed: a file 'readme.md' with other content is here already" in ours.said
    assert ours.files()["docs/readme.md"] == "# Read me\n\nHolidays are long."


def test_an_installation_that_is_upgraded_in_its_own_folder(
    ours: Ours, old: FormerInstallation, monkeypatch: pytest.MonkeyPatch
):
    """The new program was pointed at the old folder: its info.db gets our tables beside the old ones."""
    monkeypatch.setenv("CHATCHAT_SERVER__DATA_DIR", str(old.folder))
    ours.data = old.folder
    assert ours.run("--import-folder", old.folder) == 0, ours.said
    assert set(ours.states().values()) == {"pending"}
    assert ours.files()["人事制度/2023__报告.md"] == "# 报告\n\n病假 十天"
    assert ours.rows("SELECT count(*) FROM message") == [(3,)]
    files = ours.files()
    for arguments in (("--import-folder", old.folder), ("--import-db", old.database)):
        assert ours.run(*arguments) == 0, ours.said
        assert "nothing was changed" in ours.said
    assert ours.files() == files


def test_a_database_of_ours_is_copied_as_before(ours: Ours, old: FormerInstallation, monkeypatch, tmp_path: Path):
    assert ours.run("--import-folder", old.folder) == 0
    monkeypatch.setenv("CHATCHAT_SERVER__DATA_DIR", str(tmp_path / "third"))
    third = Ours(tmp_path / "third", ours.capture)
    assert third.run("--import-db", ours.data / "info.db") == 0
    assert "rows copied" in third.said
    assert third.states() == ours.states()


@pytest.mark.parametrize("flag", ["--import-db", "--import-folder"])
def test_a_broken_database_stops_everything_before_it_began(ours: Ours, old: FormerInstallation, flag: str):
    old.database.write_bytes(b"-- PostgreSQL database dump" + bytes(2000))
    assert ours.run(flag, old.database if flag == "--import-db" else old.folder) == 2
    assert "'info.db' cannot be imported: it is no SQLite database" in ours.said
    assert "PostgreSQL or MySQL" in ours.said
    assert ours.files() == {}
    assert ours.rows("SELECT * FROM knowledge_bases") == []


def test_all_records_are_taken_over_or_none(ours: Ours, old: FormerInstallation):
    """The messages are damaged, which is found when bases and files are written already."""
    whole = old.database.read_bytes()
    page = whole.index("年假几天？".encode()) // 4096
    old.database.write_bytes(whole[: page * 4096] + b"\xff" * 4096 + whole[(page + 1) * 4096 :])
    assert ours.run("--import-db", old.database) == 2
    assert "integrity_check" in ours.said
    assert ours.rows("SELECT * FROM knowledge_bases") == []
    assert ours.rows("SELECT * FROM knowledge_files") == []


def test_a_database_that_is_being_written_to_is_named(ours: Ours, old: FormerInstallation):
    with closing(sqlite3.connect(old.database, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE knowledge_base SET kb_info = 'half'")
        assert ours.run("--import-db", old.database) == 0  # what was committed can be read
        assert ours.rows("SELECT description FROM knowledge_bases WHERE name = 'docs'") == [("",)]
        writer.execute("COMMIT")
        writer.execute("BEGIN EXCLUSIVE")
        assert ours.run("--import-db", old.database) == 2
        assert "another program is writing to it; stop the old installation" in ours.said
        writer.execute("ROLLBACK")


def test_an_address_of_another_database_is_refused_and_not_repeated(ours: Ours):
    with pytest.raises(SystemExit, match="2"):
        ours.run("--import-db", "mysql+pymysql://root:secret@127.0.0.1/chatchat")
    said = ours.capture.readouterr().err
    assert "PostgreSQL or MySQL" in said
    assert "secret" not in said


def test_the_wrong_folder_is_refused_with_the_right_one(ours: Ours, old: FormerInstallation):
    assert ours.run("--import-folder", old.folder.parent) == 2
    assert "name the folder 'knowledge_base' in it instead" in ours.said


async def test_what_was_taken_over_is_indexed_in_the_same_run(served: door.Script, tmp_path: Path):
    old = filled(tmp_path / "old" / "knowledge_base")
    assert await served.run("--import-folder", str(old.folder), "-i") == 0, served.said
    assert served.states() == dict.fromkeys(
        ("2023__报告.md", "loose.txt", "readme.md", "年假.txt", "改过.txt"), "indexed"
    )
    assert "年假 五天" in served.rows("SELECT text FROM chunks ORDER BY text")
    assert served.rows("SELECT version FROM knowledge_files WHERE name = '年假.txt'") == [3]
    assert await served.run("--import-folder", str(old.folder), "-i") == 0
    assert "nothing was changed" in served.said
    assert "nothing to do" in served.said
