"""Begun: a coroutine run here and now, without a task, as far as it comes without waiting. Used by the relay.

What Python 3.12 calls an eager task, without the task. Nearly every `send` of a server never waits, and a task
that wakes to find this out costs more than the sending.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator


class Begun:
    """The rest of something that has to wait; awaited once, by a task. Left unawaited, `close` ends it."""

    def __init__(self, steps: Generator[object, object, None], waits_for: object) -> None:
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[object, object, None]:
        """Go on with it where it waits; what it raises is raised here, and a cancellation is raised there."""
        waits_for = self._waits_for
        try:
            while True:
                try:
                    woken_with = yield waits_for
                except BaseException as raised:  # noqa: BLE001 - it is the coroutine's, not ours
                    waits_for = self._steps.throw(raised)
                else:
                    waits_for = self._steps.send(woken_with)
        except StopIteration:
            return

    def close(self) -> None:
        """Give the rest up."""
        self._steps.close()


def begin(work: Awaitable[None]) -> Begun | None:
    """Run `work` to its end, or up to its first wait.

    What it does on the way may not ask for the current task: there is none.

    Returns:
        None when it is done, else its rest. What it raises is raised here.
    """
    steps = work.__await__()
    try:
        return Begun(steps, next(steps))
    except StopIteration:
        return None
