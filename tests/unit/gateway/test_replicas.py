"""The next request goes to the worker with the fewest of ours, then the shortest queue, then in turn."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest

from services.gateway.replicas import SET_ASIDE_SECONDS, Replicas, Route


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


A, B, C = (Route(f"http://{name}", "openai") for name in "abc")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def replicas(clock):
    return Replicas(clock)


def test_equals_take_turns(replicas):
    chosen = [replicas.choose([A, B, C]) for _ in range(9)]
    assert set(Counter(chosen).values()) == {3}
    assert chosen[:3] == chosen[3:6]


def test_fewest_outstanding_first(replicas):
    with ExitStack() as running:
        for _ in range(6):
            running.enter_context(replicas.busy(replicas.choose([A, B, C]).address))
        with replicas.busy(A.address), replicas.busy(B.address):
            assert replicas.choose([A, B, C]) == C
    assert replicas.choose([A, B, C]) in {A, B}, "ended requests do not count"


def test_an_ended_request_counts_no_more_however_it_ended(replicas):
    with pytest.raises(ValueError, match="broken"), replicas.busy(A.address):
        raise ValueError("broken")
    with replicas.busy(B.address):
        assert replicas.choose([A, B]) == A


def test_the_workers_own_queue_breaks_ties(replicas):
    busy, idle = Route("http://a", "openai", queue_length=5), Route("http://b", "openai", queue_length=1)
    assert [replicas.choose([busy, idle]) for _ in range(3)] == [idle] * 3
    with replicas.busy(idle.address):
        assert replicas.choose([busy, idle]) == busy


def test_a_broken_worker_is_left_alone_for_a_while(replicas, clock):
    replicas.set_aside(A.address)
    assert [replicas.choose([A, B]) for _ in range(3)] == [B] * 3
    assert replicas.choose([A]) == A, "better than none"
    clock.now = SET_ASIDE_SECONDS
    assert {replicas.choose([A, B]) for _ in range(2)} == {A, B}


def test_a_worker_that_left_and_came_back_starts_anew(replicas):
    replicas.choose([A])
    replicas.set_aside(A.address)
    replicas.keep({B.address})
    replicas.keep({A.address, B.address})
    assert {replicas.choose([A, B]) for _ in range(2)} == {A, B}
