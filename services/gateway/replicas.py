"""Replicas: which worker of a model gets the next request. Used by the relay."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

SET_ASIDE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model is served, whether the worker speaks "openai" or "fastchat", and what its lease says of its queue.

    Attributes:
        address: base URL of the worker.
        dialect: "openai" or "fastchat".
        queue_length: requests it said were running or waiting, as of its last heartbeat.
    """

    address: str
    dialect: str
    queue_length: int = 0


class Replicas:
    """Counts what this gateway has under way at each worker, and remembers which broke lately.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._outstanding: dict[str, int] = {}
        self._aside_until: dict[str, float] = {}
        self._last_turn: dict[str, int] = {}
        self._turns = itertools.count(1)

    def choose(self, routes: Sequence[Route]) -> Route:
        """The worker with the fewest requests of ours; then by its own queue, then in turn. `routes` is not empty.

        A worker that broke lately is chosen only when every other did, too.
        """
        chosen = routes[0] if len(routes) == 1 else min(routes, key=self._preference)
        self._last_turn[chosen.address] = next(self._turns)
        return chosen

    @contextmanager
    def busy(self, address: str) -> Iterator[None]:
        """A request of ours is under way there while the block runs."""
        self._outstanding[address] = self._outstanding.get(address, 0) + 1
        try:
            yield
        finally:
            self._outstanding[address] -= 1

    def set_aside(self, address: str) -> None:
        """It refused a connection or broke one: others first, for a few seconds."""
        self._aside_until[address] = self._clock() + SET_ASIDE_SECONDS

    def keep(self, live: set[str]) -> None:
        """Forget the workers that have no lease any more; one that comes back starts anew."""
        for address in [known for known in self._last_turn if known not in live]:
            del self._last_turn[address]
            self._aside_until.pop(address, None)
            if not self._outstanding.get(address):
                self._outstanding.pop(address, None)

    def _preference(self, route: Route) -> tuple[bool, int, int, int]:
        address = route.address
        is_aside = self._aside_until.get(address, 0.0) > self._clock()
        return is_aside, self._outstanding.get(address, 0), route.queue_length, self._last_turn.get(address, 0)
