"""The how-to page calls routes that exist, with bodies they take."""

from __future__ import annotations

import json
import shlex

import pytest
from starlette.routing import Match

from services.foundation.settings.tree import Logging, Settings
from services.supervisor.control.routes import router
from services.supervisor.control.switchboard import Control, Switchboard
from services.supervisor.crew import Crew
from services.supervisor.flags import Flags
from services.supervisor.keeper import Policy
from services.wire.control import ReplaceModel
from tests.unit.docs.pages import blocks

CALLS = [shlex.split(line, comments=True) for line in blocks("switch-a-model", "console")[0].splitlines()]


@pytest.fixture
async def routes():
    switchboard = Switchboard(Control(Settings(), Flags()), Crew(Policy(), Logging(), lambda _: None))
    yield router(switchboard).routes
    await switchboard.close()


def found(routes, method, path):
    """The names of the routes that answer a request."""
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "root_path": ""}
    for route in routes:
        match, matched = route.matches(scope)
        if match is Match.FULL:
            return matched["path_params"]
    return None


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[-1])
async def test_every_call_of_the_page_has_a_route(routes, call):
    method = "POST" if "-X" in call else "GET"
    path = next(word for word in call if word.startswith("127.0.0.1:20009")).removeprefix("127.0.0.1:20009")
    named = found(routes, method, path)
    assert named == ({"name": "qwen3"} if method == "POST" else {})
    if "-d" in call:
        assert ReplaceModel.model_validate(json.loads(call[call.index("-d") + 1])).by == "qwen3-next"


async def test_a_name_may_hold_slashes(routes):
    assert found(routes, "POST", "/models/Qwen/Qwen3-8B/start") == {"name": "Qwen/Qwen3-8B"}
    assert found(routes, "POST", "/models/start") is None
    assert found(routes, "GET", "/models/m/start") is None
