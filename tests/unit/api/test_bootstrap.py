"""The composition root: what cannot be built is told at the start, by the key path of its setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.api.bootstrap import Replacements, build
from services.api.parts import Role
from services.foundation.errors import ChatchatError, InvalidPrompt, InvalidSetting, UnknownVariant
from services.foundation.settings.tree import Settings


def settings(folder: Path, **knowledge: object) -> Settings:
    return Settings.model_validate({"server": {"data_dir": folder}, "knowledge": knowledge})


def test_constructors_open_nothing(tmp_path: Path) -> None:
    build(settings(tmp_path), Replacements())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("role", "number", "hours", "checks"),
    [
        (Role.INGEST, 1, 24, True),
        (Role.INGEST, 1, 0, True),  # it fills an empty keyword index and ends: test_schedule
        (Role.INGEST, 2, 24, False),
        (Role.API, 1, 24, False),
        (Role.SCRIPT, 1, 24, False),
        (Role.WHOLE, 1, 24, False),
    ],
)
def test_one_process_makes_the_checks(tmp_path: Path, role: Role, number: int, hours: int, *, checks: bool) -> None:
    parts = build(settings(tmp_path, check_hours=hours), Replacements(), role, number=number)
    assert (parts.schedule is not None) is checks


@pytest.mark.parametrize(
    ("role", "number", "sweeps"),
    [
        (Role.WHOLE, 1, True),
        (Role.INGEST, 1, True),
        (Role.INGEST, 2, False),
        (Role.API, 1, False),
        (Role.SCRIPT, 1, False),
    ],
)
def test_one_process_deletes_what_expired(tmp_path: Path, role: Role, number: int, *, sweeps: bool) -> None:
    parts = build(settings(tmp_path), Replacements(), role, number=number)
    assert (parts.sweeper is not None) is sweeps


@pytest.mark.parametrize(
    ("knowledge", "kind"),
    [
        ({}, "SqliteFtsIndex"),
        ({"database_url": "sqlite+aiosqlite:///elsewhere.db"}, "SqliteFtsIndex"),
        ({"database_url": "postgresql+asyncpg://db/x"}, "PostgresIndex"),
        ({"database_url": "postgresql://db/x", "text_index": {"name": "sqlite_fts"}}, "SqliteFtsIndex"),
    ],
)
def test_the_keyword_index_lies_beside_the_metadata_unless_it_is_chosen(
    tmp_path: Path, knowledge: dict[str, object], kind: str
) -> None:
    parts = build(settings(tmp_path, **knowledge), Replacements())
    assert type(parts.indexes.keywords).__name__ == kind


@pytest.mark.parametrize(
    ("knowledge", "failure", "said"),
    [
        ({"splitter": {"name": "sentenc"}}, UnknownVariant, "Known: .*, sentences"),
        ({"splitter": {"name": "sentences", "options": {"x": 1}}}, InvalidSetting, "knowledge.splitter.options"),
        ({"vector_store": {"name": "nowhere"}}, UnknownVariant, "Known: milvus"),
        ({"vector_store": {"name": "milvus", "options": {"x": 1}}}, InvalidSetting, "knowledge.vector_store.options"),
        ({"text_index": {"name": "nowhere"}}, UnknownVariant, "Known: postgres, sqlite_fts"),
        ({"text_index": {"name": "sqlite_fts", "options": {"x": 1}}}, InvalidSetting, "knowledge.text_index.options"),
        ({"text_index": {"name": "postgres"}}, InvalidSetting, "knowledge.text_index.name.*no PostgreSQL"),
        (
            {"text_index": {"name": "postgres", "options": {"x": 1}}, "database_url": "postgresql://db/x"},
            InvalidSetting,
            "knowledge.text_index.options",
        ),
        ({"database_url": "mysql+aiomysql://db/x"}, InvalidSetting, "knowledge.database_url.*SQLite or PostgreSQL"),
        ({"database_url": "no url"}, InvalidSetting, "knowledge.database_url"),
    ],
)
def test_what_cannot_be_built_is_told_at_the_start(
    tmp_path: Path, knowledge: dict[str, object], failure: type[ChatchatError], said: str
) -> None:
    with pytest.raises(failure, match=said):
        build(settings(tmp_path, **knowledge), Replacements())


def test_a_prompt_that_cannot_be_rendered_is_told_at_the_start(tmp_path: Path) -> None:
    own = tmp_path / "prompts"
    own.mkdir()
    chosen = Settings.model_validate({"server": {"data_dir": tmp_path / "kept", "prompts_dir": own}})
    build(chosen, Replacements())
    (own / "llm_chat.yaml").write_text("mine: {variables: [input], template: '{{ inptu }}'}", encoding="utf-8")
    with pytest.raises(InvalidPrompt, match="inptu is used but not declared"):
        build(chosen, Replacements())
