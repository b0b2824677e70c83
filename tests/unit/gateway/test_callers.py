"""One caller has so many requests running, and no more; others do not notice."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from services.foundation.errors import CallerBusy
from services.gateway.callers import Callers


def scope(address: str = "10.0.0.1", **headers: str):
    lines = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "client": (address, 1), "headers": lines}


def test_one_more_than_the_limit_is_refused_until_one_ends():
    callers = Callers(2, by_key=False)
    with ExitStack() as running:
        running.enter_context(callers.one_more(scope()))
        with callers.one_more(scope()):
            with pytest.raises(CallerBusy) as refused, callers.one_more(scope()):
                pass
            assert refused.value.facts == {"running": 2, "limit": 2}
            with callers.one_more(scope("10.0.0.2")):
                pass
        running.enter_context(callers.one_more(scope()))


def test_keys_tell_callers_apart_however_they_are_shown():
    callers = Callers(1, by_key=True)
    with callers.one_more(scope(authorization="Bearer first")):
        for same in (scope(x_api_key="first"), scope("10.0.0.9", authorization="bearer  first")):
            with pytest.raises(CallerBusy), callers.one_more(same):
                pass
        with callers.one_more(scope(x_api_key="second")):
            pass


def test_where_no_key_is_asked_for_a_made_up_one_makes_no_new_caller():
    callers = Callers(1, by_key=False)
    with (
        callers.one_more(scope(x_api_key="first")),
        pytest.raises(CallerBusy),
        callers.one_more(scope(x_api_key="second")),
    ):
        pass


def test_nothing_is_kept_of_a_key_or_of_callers_that_left():
    callers = Callers(1, by_key=True)
    with callers.one_more(scope(x_api_key="a-secret-key")):
        assert "a-secret-key" not in repr(vars(callers))
    with pytest.raises(ValueError, match="broken"), callers.one_more(scope(x_api_key="k")):
        raise ValueError("broken")
    assert not any(vars(callers)["_running"].values())
    assert vars(callers)["_running"] == {}
