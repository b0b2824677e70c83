"""The catalogues of the web UI are complete, and every key the code names is there."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest
import yaml

from services.clients.chatchat import said
from services.foundation.errors import ServiceUnreachable, TookTooLong, UnknownModel
from services.foundation.settings.tree import Server
from webui.components.failures import sentence_of
from webui.i18n import LANGUAGES, texts_in

ROOT = Path(__file__).resolve().parents[3] / "webui"
KEY = re.compile(r'texts\(\s*"([a-z0-9_.]+)"')


def sentences(language: str) -> dict[str, str]:
    path = ROOT / "i18n" / f"{language.replace('-', '_')}.yaml"
    loaded: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_the_same_keys_and_facts(language: str) -> None:
    first, other = sentences("zh-CN"), sentences(language)
    assert set(other) == set(first)
    assert {key: fields(other[key]) for key in first} == {key: fields(first[key]) for key in first}
    assert all(sentence.strip() for sentence in other.values())


def test_every_file_is_a_language_and_the_settings_know_it() -> None:
    files = {path.stem.replace("_", "-") for path in (ROOT / "i18n").glob("*.yaml")}
    assert files == set(LANGUAGES)
    assert Server().language in LANGUAGES


def test_the_code_names_known_keys_and_no_key_is_idle() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py"))
    named = set(KEY.findall(code))
    known = set(sentences("en"))
    assert named <= known
    quoted = set(re.findall(r'"([a-z0-9_.]+)"', code))
    families: tuple[str, ...] = (
        "state.",
        "column.",
        "mode.",
        "failure.",
        "place.",
        "welcome.",
        "period.",
        "search_mode.",
        "summary.",
        "arm.",
        "fate.",
        "stage.",
    )
    families += ("strategy.", "policy.", "memory.", "preset.", "support.partly", "support.unsupported")
    families += ("settings.strategy", "settings.policy", "settings.memory")
    idle = {key for key in known - quoted if not key.startswith(families)}
    assert idle == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_failure_on_the_way_to_the_api_names_address_log_and_remedy(language: str) -> None:
    failure = ServiceUnreachable(service="Chatchat API", url="http://127.0.0.1:7861", reason="ConnectError")
    said_so = sentence_of(failure, texts_in(language))
    for part in ("http://127.0.0.1:7861", "logs/api.log", "python startup.py -a"):
        assert part in said_so
    slow = sentence_of(TookTooLong(service="Chatchat API", timeout_seconds=15.0), texts_in(language))
    assert "15.0" in slow


def test_the_apis_own_sentence_is_preferred() -> None:
    failure = UnknownModel(model="x", known="y")
    assert said(failure) is None
    assert sentence_of(failure, texts_in("zh-CN")) == str(failure)
    failure.add_note("没有模型 x")
    assert sentence_of(failure, texts_in("zh-CN")) == "没有模型 x"
