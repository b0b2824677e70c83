"""The examples of the pages on serving models: entries that settings and engines take, routes that are there."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, cast

import pytest
import yaml

from services.foundation.settings.tree import Models
from services.supervisor.control.routes import router
from services.supervisor.control.switchboard import Switchboard
from services.worker.building import gpus_of
from services.worker.engines import ENGINES
from tests.architecture.sources import ROOT
from tests.contract.engine import spec
from tests.unit.docs.pages import commands, fragment


def models_with(added: dict[str, Any]) -> Models:
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    assert not shipped["served"].keys() & added["served"].keys()
    return Models(**{**shipped, **added, "served": {**shipped["served"], **added["served"]}})


@pytest.mark.parametrize("page", ["add-a-reranker", "serve-with-transformers", "serve-with-vllm"])
def test_the_entry_goes_into_the_shipped_file_and_its_engine_takes_it(page: str):
    added = fragment(page)
    models = models_with(added)
    (name,) = added["served"]
    served = models.served[name]
    asked = {"model": name, "context_tokens": served.context_tokens, "gpus": gpus_of(name, served, 1)}
    ENGINES.build(served.engine, dataclasses.replace(spec(**models.options_of(name)), **asked))


def test_the_routes_of_the_switch_are_those_of_the_supervisor():
    words = [word for command in commands("switch-a-model") for word in command if ":20009/" in word]
    paths = {re.sub("qwen3", "{name:path}", word.partition("20009")[2]) for word in words}
    known = {getattr(route, "path", "") for route in router(cast("Switchboard", None)).routes}
    assert paths == known
