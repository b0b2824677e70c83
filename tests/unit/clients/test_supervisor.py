"""What the supervisor's client sends and reads."""

from __future__ import annotations

import json

import pytest

from services.clients.supervisor import _path, _progress
from services.foundation.errors import EngineFailed, ProviderFailed
from services.foundation.http import openai_body


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("qwen3", "/models/qwen3/stop"),
        ("org/模型 1", "/models/org%2F%E6%A8%A1%E5%9E%8B%201/stop"),
        ("../processes?x=", "/models/..%2Fprocesses%3Fx%3D/stop"),
    ],
)
def test_a_name_stays_one_segment(model, path):
    assert _path(model, "stop") == path


def test_an_event_is_progress_or_a_failure():
    step = _progress('{"model": "m", "state": "starting", "seconds": 1.5, "line": "reading weights"}')
    assert (step.model, step.state, step.seconds, step.line) == ("m", "starting", 1.5, "reading weights")
    with pytest.raises(EngineFailed, match="no weights"):
        _progress(json.dumps(openai_body(EngineFailed(model="m", reason="no weights"), "r")))


@pytest.mark.parametrize("text", ["", "no json", "{}", '{"model": "m", "state": "asleep", "seconds": 1}'])
def test_any_other_event_is_a_failure_too(text):
    with pytest.raises(ProviderFailed):
        _progress(text)
