"""The example of docs/howto/plan-a-machine.md, sized on made-up machines; what the page says is what comes out."""

from __future__ import annotations

import re

import pytest
import yaml

from services.supervisor.flags import parse
from services.supervisor.messages import sentence
from services.supervisor.sizing.fitting import size_models
from tests.architecture.sources import ROOT
from tests.unit.docs.pages import commands, fragment, text_of_page
from tests.unit.supervisor.sizing.making import L40, QWEN25_14B, TWO_A100, serving, write_model


def sized(folder, hardware):
    (entry,) = fragment("plan-a-machine")["served"].values()
    return size_models(serving(folder, qwen=entry), ["qwen"], hardware)


@pytest.mark.parametrize("is_there", [False, True])
def test_the_example_fits_on_the_gpus_it_names_and_on_no_fewer(is_there, tmp_path):
    if is_there:
        write_model(tmp_path / "Qwen2.5-14B-Instruct", QWEN25_14B)
    assert [finding.sentence.key for finding in sized(tmp_path, L40).findings] == ["sizing.no_such_gpu"]
    sizing = sized(tmp_path, TWO_A100)
    assert sizing.findings == ()
    assert sizing.fits[0].concurrency == (35 if is_there else None)


def test_its_entry_goes_into_the_shipped_file():
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    assert not shipped["served"].keys() & fragment("plan-a-machine")["served"].keys()


def test_its_commands_start_nothing():
    looking = [parse(words[2:]) for words in commands("plan-a-machine") if "--plan" in words]
    assert looking
    assert all(flags.plan_only for flags in looking)


def test_its_columns_are_those_that_are_printed():
    rows = re.findall(r"^\| (.+?) \| ", text_of_page("plan-a-machine"), re.MULTILINE)[1:]
    for row, column in zip(rows, ("weights", "token", "room", "at_once"), strict=True):
        shown = [sentence(f"sizing.column.{column}").render(language) for language in ("en", "zh-CN")]
        assert row == " ".join(shown)
