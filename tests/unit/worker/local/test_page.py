"""The example of docs/howto/add-a-reranker.md."""

from __future__ import annotations

import yaml

from services.foundation.settings.tree import Models, Settings
from services.worker.building import Place, build_hosting
from services.worker.engines.local.cross_encoder import CrossEncoderEngine
from tests.architecture.sources import ROOT
from tests.contract.engine import spec
from tests.unit.docs.pages import LINES, fragment, text_of_page

PAGE = "add-a-reranker"


def test_the_example_is_a_model_this_engine_takes():
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    shipped["served"].update(fragment(PAGE)["served"])
    settings = Settings(models=Models.model_validate(shipped))
    (model,) = build_hosting(settings, ["bge-reranker"], Place()).models

    assert isinstance(model.engine, CrossEncoderEngine)
    assert model.task == "rerank"


def test_the_figures_on_the_page_are_those_of_the_options():
    options = CrossEncoderEngine(spec(path="x"))._options
    text = text_of_page(PAGE)

    on_cpu, elsewhere = options.limits_on("cpu"), options.limits_on("cuda")
    assert (
        f"({on_cpu.texts} pairs and {on_cpu.tokens} tokens on a CPU, {elsewhere.texts} and {elsewhere.tokens}" in text
    )
    assert f"; {options.max_length} where it is left out" in text
    assert len(text.splitlines()) <= LINES
