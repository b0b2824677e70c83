"""The example of docs/howto/add-a-provider.md, and its table of what 0.2.x called the providers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from services.foundation.settings.load import ROOT, read_settings
from services.worker.building import Place, build_hosting
from services.worker.engines.remote.openai_compatible import OpenAICompatibleEngine
from tests.unit.docs.pages import fragment, text_of_page

PAGE = "add-a-provider"
FORMER = {
    "openai-api",
    "zhipu-api",
    "minimax-api",
    "xinghuo-api",
    "qianfan-api",
    "fangzhou-api",
    "qwen-api",
    "baichuan-api",
    "azure-api",
    "tiangong-api",
    "gemini-api",
}


def test_the_example_is_an_entry_of_the_shipped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    for branch, entries in fragment(PAGE).items():
        whole[branch].update(entries)
    (tmp_path / "models.yaml").write_text(yaml.safe_dump(whole), encoding="utf-8")
    monkeypatch.setenv("ACME_API_KEY", "from-the-environment")
    settings = read_settings(tmp_path)
    assert settings.models.providers["acme"].api_key == SecretStr("from-the-environment")
    (model,) = build_hosting(settings, ["acme-large"], Place()).models
    assert isinstance(model.engine, OpenAICompatibleEngine)
    assert model.engine._reach.upstream == "large-2"
    assert set(model.engine._reach.provider.fields.bounds) == {"temperature", "max_tokens"}


def test_every_entry_of_old_has_its_successor():
    rows = re.findall(r"^\| (\w+-api) \| (\w+) \| (.+) \|$", text_of_page(PAGE), re.MULTILINE)
    assert {old for old, _, _ in rows} == FORMER
    assert {new for _, new, _ in rows} <= set(read_settings(ROOT / "configs").models.providers)
