"""The flags mean what they meant in 0.2.10."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.supervisor.flags import Flags, parse

ALL_MODELS: dict[str, Any] = {"local_models": True, "remote_models": True}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-a"], Flags(control_plane=True, api=True, webui=True, whole_stack=True, **ALL_MODELS)),
        (["--all-webui"], Flags(control_plane=True, api=True, webui=True, whole_stack=True, **ALL_MODELS)),
        (["--all-api"], Flags(control_plane=True, api=True, whole_stack=True, **ALL_MODELS)),
        (["--llm-api"], Flags(control_plane=True, **ALL_MODELS)),
        (["-o"], Flags(control_plane=True)),
        (["-m"], Flags(local_models=True)),
        (["-p"], Flags(remote_models=True)),
        (["--api"], Flags(api=True)),
        (["-w"], Flags(webui=True)),
        (["-m", "-n", "a", "b", "a"], Flags(local_models=True, model_names=("a", "b"))),
        (["-m", "-c", "http://far:1/"], Flags(local_models=True, controller_url="http://far:1")),
        (["-o", "-q"], Flags(control_plane=True, quiet=True)),
        (["-i"], Flags()),
        (["--plan", "-m"], Flags(local_models=True, plan_only=True)),
    ],
)
def test_each_flag(arguments, expected):
    assert parse(arguments) == expected


def test_the_larger_composite_wins():
    assert parse(["-a", "--all-api", "--llm-api"]) == parse(["-a"])
    assert parse(["--all-api", "--llm-api"]) == parse(["--all-api"])


def test_a_smaller_composite_leaves_out_what_it_does_not_have():
    assert parse(["--all-api", "-w"]) == parse(["--all-api"])
    assert parse(["--llm-api", "-w", "--api"]) == parse(["--llm-api"])


@pytest.mark.parametrize("more", [[], ["-n", "a"], ["-i"], ["-q"]])
def test_a_plan_is_of_everything_unless_parts_are_named(more):
    assert parse(["--plan", *more]) == replace(parse(["-a", *more]), plan_only=True)
    for part in ("--all-api", "--llm-api", "-o", "-m", "-p", "--api", "-w"):
        assert parse(["--plan", part, *more]) == replace(parse([part, *more]), plan_only=True)


def test_lite_leaves_out_local_models_only():
    lite = parse(["-a", "--lite"])
    assert not lite.local_models
    assert lite.remote_models
    assert lite.webui


@pytest.mark.parametrize("arguments", [["--nonsense"], ["-n"], ["-m", "-c", "localhost:20001"]])
def test_malformed_flags_leave_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 2
    assert "usage: startup.py" in capsys.readouterr().err
