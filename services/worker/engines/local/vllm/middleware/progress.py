"""How far vLLM has got by its own figures: a long answer that is not streamed writes nothing until its end."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Scope

from services.worker.engines.local.vllm.middleware.admission import Admission, Pulse
from services.worker.engines.local.vllm.middleware.inner import ask

_WORK = re.compile(rb"^vllm:(?:generation_tokens_total|iteration_tokens_total_count)\{.*?\} (\S+)$", re.MULTILINE)
_LOOK_AFTER_SECONDS = 2.0


class Progress:
    """Reads vLLM's metrics while nothing is written, and counts a change as progress."""

    def __init__(self, app: ASGIApp, admission: Admission, pulse: Pulse) -> None:
        self._app = app
        self._admission = admission
        self._pulse = pulse
        self._seen: list[bytes] = []

    async def look(self, origin: Scope) -> None:
        """Called before somebody is told how silent vLLM is; `origin` is the scope of who asks."""
        if self._admission.silent_seconds < _LOOK_AFTER_SECONDS:
            return
        _, metrics = await ask(self._app, origin, ("GET", "/metrics"))
        work = _WORK.findall(metrics)
        if work != self._seen:
            self._seen = work
            self._pulse.at = self._pulse.clock()
