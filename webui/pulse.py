"""`pulse`: an answer's events in batches, with an empty batch whenever nothing came for a while.

Streamlit stops a script only where it draws. While it waits for a slow model it would not notice
that the reader left: the empty batches give it an occasion. Closing the generator closes the stream.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Empty, SimpleQueue
from typing import Protocol

from services.clients.chatchat import AnswerEvent

_Item = AnswerEvent | Exception | None


class Events(Protocol):
    """An `AnswerStream`: iterated in one thread, closed from another."""

    def __iter__(self) -> Iterator[AnswerEvent]: ...

    def close(self) -> None:
        """End it, also while the next event is awaited."""


def pulse(stream: Events, every_seconds: float = 0.25) -> Generator[list[AnswerEvent], None, None]:
    """Yield what arrived since the last batch, at least every `every_seconds`; raise what the stream raises."""
    arrived: SimpleQueue[_Item] = SimpleQueue()
    threading.Thread(target=_read, args=(stream, arrived), name="answer", daemon=True).start()
    try:
        ended = False
        while not ended:
            batch: list[AnswerEvent] = []
            for item in _waiting(arrived, every_seconds):
                if isinstance(item, Exception):
                    yield batch
                    raise item
                if item is None:
                    ended = True
                else:
                    batch.append(item)
            yield batch
    finally:
        stream.close()


def _read(stream: Events, arrived: SimpleQueue[_Item]) -> None:
    try:
        for event in stream:
            arrived.put(event)
    except Exception as failure:  # noqa: BLE001 - handed to the reader of the queue, which raises it
        arrived.put(failure)
    else:
        arrived.put(None)


def _waiting(arrived: SimpleQueue[_Item], timeout_seconds: float) -> Generator[_Item, None, None]:
    try:
        yield arrived.get(timeout=timeout_seconds)
        while True:
            yield arrived.get_nowait()
    except Empty:
        return
