"""Keys of providers: read at the door from variables and secret files, never shown, and never in the way of a start."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.api.catalog.service import CatalogueService, Ways
from services.foundation.settings import __main__ as show
from services.foundation.settings.load import ROOT, BadSettings, read_settings
from services.foundation.settings.providers import Bounds, Provider

CANARY = "sk-canary-0123456789"
Read = Callable[..., Provider]


def config(folder: Path, entry: str) -> Path:
    text = f"providers:\n  acme: {{base_url: 'https://acme.example/v1', {entry}}}\n"
    (folder / "models.yaml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda entry: read_settings(config(tmp_path, entry)).models.providers["acme"]


def test_a_key_comes_from_the_variable(read: Read, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACME_KEY", CANARY)
    monkeypatch.setenv("ACME_SECRET", "other")
    provider = read("key_variable: ACME_KEY, secret_variable: ACME_SECRET")
    assert provider.api_key == SecretStr(CANARY)
    assert provider.secret_key == SecretStr("other")
    assert provider.key_problem is None


@pytest.mark.parametrize("content", [CANARY, f"{CANARY}\n", f"{CANARY}\r\n", f"\ufeff{CANARY}\n"])
def test_a_key_comes_from_the_file(read: Read, tmp_path: Path, content: str):
    (tmp_path / "key").write_text(content, encoding="utf-8", newline="")
    assert read(f"key_file: {tmp_path / 'key'}").api_key == SecretStr(CANARY)


def test_the_entry_wins_over_the_variable_and_that_over_the_file(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "key").write_text("from-the-file", encoding="utf-8")
    places = f"key_variable: ACME_KEY, key_file: {tmp_path / 'key'}"
    assert read(places).api_key == SecretStr("from-the-file")
    monkeypatch.setenv("ACME_KEY", "")
    assert read(places).api_key == SecretStr("from-the-file")
    monkeypatch.setenv("ACME_KEY", "from-the-variable")
    assert read(places).api_key == SecretStr("from-the-variable")
    assert read(f"{places}, api_key: from-the-entry").api_key == SecretStr("from-the-entry")


def test_a_missing_key_stops_nothing(read: Read, tmp_path: Path):
    provider = read(f"key_variable: ACME_KEY, key_file: {tmp_path / 'absent'}")
    assert provider.api_key is None
    assert provider.key_problem is None


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda path: path.mkdir(), "is a folder"),
        (os.mkfifo, "is no plain file"),
        (lambda path: path.write_bytes(b"k" * 8193), "is larger than 8192 bytes"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "is not text"),
        (lambda path: path.parent.joinpath("loop").symlink_to("key") or path.symlink_to("loop"), "cannot be read"),
    ],
)
def test_a_file_that_is_no_key_stops_nothing_and_is_told(
    read: Read, tmp_path: Path, made: Callable[[Path], object], said: str
):
    made(tmp_path / "key")
    provider = read(f"key_file: {tmp_path / 'key'}")
    assert provider.api_key is None
    assert f"{tmp_path / 'key'} {said}" in (provider.key_problem or "")


def test_a_file_of_just_the_limit_is_read(read: Read, tmp_path: Path):
    (tmp_path / "key").write_bytes(b"k" * 8192)
    assert read(f"key_file: {tmp_path / 'key'}").api_key == SecretStr("k" * 8192)


def test_a_key_is_nowhere_to_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    settings = read_settings(ROOT / "configs")
    assert settings.models.providers["openai"].api_key == SecretStr(CANARY)
    monkeypatch.setenv("CHATCHAT_CONFIG_DIR", str(ROOT / "configs"))
    show.main()
    printed = capsys.readouterr()
    for shown in (repr(settings), str(settings.model_dump()), settings.model_dump_json(), printed.out, printed.err):
        assert CANARY not in shown


async def test_the_catalogue_route_knows_no_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    async def running() -> set[str]:
        return set()

    settings = read_settings(ROOT / "configs")
    service = CatalogueService(settings.models, running, Ways.of(settings, (), ()))
    assert CANARY not in repr(await service.models())
    assert CANARY not in repr(service.ways())


@pytest.mark.parametrize(
    "entry",
    [f"api_key: [{CANARY}]", f"key: {CANARY}", f"key_variable: {CANARY}", f"proxy: [{CANARY}]", f"retries: {CANARY}"],
)
def test_a_mistake_near_a_key_does_not_print_it(read: Read, entry: str):
    with pytest.raises(BadSettings) as caught:
        read(entry)
    assert CANARY not in "\n".join(caught.value.problems)


def test_a_password_in_an_address_is_refused_without_printing_it(tmp_path: Path):
    text = f"providers:\n  acme: {{base_url: 'https://me:{CANARY}@acme.example/v1'}}\n"
    (tmp_path / "models.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadSettings) as caught:
        read_settings(tmp_path)
    said = "\n".join(caught.value.problems)
    assert "a name or password does not belong into the address" in said
    assert CANARY not in said


@pytest.mark.parametrize(
    ("bounds", "number", "said"),
    [
        ({"at_most": 1}, 1, ""),
        ({"at_most": 1}, 1.1, "at most 1"),
        ({"above": 0, "below": 1}, 0, "more than 0"),
        ({"above": 0, "below": 1}, 1, "less than 1"),
        ({"above": 0, "below": 1}, 0.5, ""),
        ({"at_least": 2, "below": 1}, 1, "at least 2 and less than 1"),
    ],
)
def test_bounds_say_what_they_refuse(bounds: dict[str, float], number: float, said: str):
    assert Bounds.model_validate(bounds).refuses(number) == said


def test_a_variable_has_a_name():
    with pytest.raises(ValidationError, match="key_variable"):
        Provider(base_url="https://x", key_variable="A KEY")


def test_the_shipped_catalogue_needs_no_key_to_be_read(monkeypatch: pytest.MonkeyPatch):
    for name in ("OPENAI_API_KEY", "DASHSCOPE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert read_settings(ROOT / "configs").models.providers["dashscope"].api_key is None
