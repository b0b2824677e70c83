"""Callers: how many requests one caller may have running at a time. Used by the inference routes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers
from starlette.types import Scope

from services.foundation.errors import CallerBusy


class Callers:
    """Counts requests by access key or, where no key is asked for, by client address.

    Args:
        limit: requests one caller may have running.
        by_key: whether keys are asked for. A key that nobody checks says nothing of who calls.
    """

    def __init__(self, limit: int, *, by_key: bool) -> None:
        self._limit = limit
        self._by_key = by_key
        self._running: dict[str, int] = {}

    @contextmanager
    def one_more(self, scope: Scope) -> Iterator[None]:
        """A request of this caller runs while the block does.

        Raises:
            CallerBusy: as many as are allowed run already.
        """
        caller = self._name(scope)
        running = self._running.get(caller, 0)
        if running >= self._limit:
            raise CallerBusy(running=running, limit=self._limit)
        self._running[caller] = running + 1
        try:
            yield
        finally:
            if self._running[caller] > 1:
                self._running[caller] -= 1
            else:
                del self._running[caller]

    def _name(self, scope: Scope) -> str:
        if not self._by_key:
            return (scope.get("client") or ("",))[0]
        headers = Headers(scope=scope)
        shown = headers.get("x-api-key") or headers.get("authorization", "").partition(" ")[2].strip()
        return hashlib.sha256(shown.encode()).hexdigest()  # the key itself is kept nowhere
