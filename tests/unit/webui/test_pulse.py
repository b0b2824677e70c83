"""An answer's events in batches, with a sign of life while nothing comes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from services.clients.chatchat import AnswerEvent, AnswerPiece
from services.foundation.errors import NoWorker
from webui.pulse import pulse


class Scripted:
    """Gives its events, then waits to be closed or raises."""

    def __init__(self, *events: AnswerEvent, failure: Exception | None = None, waits: bool = False) -> None:
        self._events = events
        self._failure = failure
        self._waits = waits
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[AnswerEvent]:
        yield from self._events
        if self._failure is not None:
            raise self._failure
        if self._waits:
            self.closed.wait(10)

    def close(self) -> None:
        self.closed.set()


def test_every_event_comes_once_and_in_order() -> None:
    events = [AnswerPiece(str(number)) for number in range(200)]
    stream = Scripted(*events)
    assert [event for batch in pulse(stream) for event in batch] == events
    assert stream.closed.is_set()


def test_empty_batches_come_while_nothing_does_and_leaving_closes_the_stream() -> None:
    stream = Scripted(AnswerPiece("a"), waits=True)
    with closing(pulse(stream, every_seconds=0.01)) as batches:
        seen = [next(batches) for _ in range(4)]
        assert not stream.closed.is_set()
    assert [event for batch in seen for event in batch] == [AnswerPiece("a")]
    assert seen[-1] == []
    assert stream.closed.is_set()


def test_a_failure_is_raised_after_what_came_before_it() -> None:
    stream = Scripted(AnswerPiece("a"), failure=NoWorker(model="m"))
    seen: list[AnswerEvent] = []
    with closing(pulse(stream)) as batches, pytest.raises(NoWorker):
        seen.extend(event for batch in batches for event in batch)
    assert seen == [AnswerPiece("a")]
