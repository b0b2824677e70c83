"""VllmEngine: keeps vLLM's own OpenAI server as a child process. Requests go to it directly, not through here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Mapping
from pathlib import Path

import httpx
from pydantic import BaseModel, JsonValue

from services.clients.transport import async_client, decode, decode_failure, unreachable
from services.foundation.errors import ChatchatError, EngineFailed, InvalidSetting
from services.worker.engines.base import EngineSpec, Vitals
from services.worker.engines.local.vllm.arguments import ROOT, Command, command_for, conversation_of, interpreter
from services.worker.engines.local.vllm.child import Child
from services.worker.engines.local.vllm.endings import failure_to_start
from services.worker.engines.local.vllm.options import read_vllm_options
from services.worker.engines.local.weights import find_weights
from services.worker.engines.options import option_path

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 10.0
_CANARY_SECONDS = 300.0
_STOP_GRACE_SECONDS = 3.0
_SERVICE = "vLLM server"
_CANARY = "ping"


class _Vitals(BaseModel):
    """What the middleware says at /vitals."""

    running: int
    waiting: int
    silent_seconds: float


class VllmEngine:
    """A `ServerEngine`: chat, embeddings and rerank by vLLM."""

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_vllm_options(spec)
        conversation_of(spec, self._options.conv_template)  # an unknown one is said at once
        self._child: Child | None = None
        self._http: httpx.AsyncClient | None = None
        self._url = ""

    @property
    def concurrency(self) -> int:
        return self._options.concurrency

    @property
    def address(self) -> str:
        return (self._options.public_url or self._url) if self._url else ""

    async def start(self) -> None:
        command = await asyncio.to_thread(self._command)
        self._child = await Child.start(command)
        self._http = async_client(command.url, timeout_seconds=_ANSWER_SECONDS)
        try:
            await self._until_healthy(self._child)
            await self._first_answer(self._child)
        except BaseException:
            await self.stop()
            raise
        self._url = command.url

    async def stop(self) -> None:
        self._url = ""
        child, http, self._child, self._http = self._child, self._http, None, None
        if http is not None:
            await http.aclose()
        if child is not None:
            await child.stop(_STOP_GRACE_SECONDS)

    async def vitals(self) -> Vitals:
        answer = await self._exchange("GET", "/vitals")
        said = decode(_Vitals, answer.content, _SERVICE)
        return Vitals(said.running, said.waiting, said.silent_seconds)

    async def answer_canary(self) -> None:
        path, fields = _canary(self._spec)
        await self._exchange("POST", path, fields, _CANARY_SECONDS)

    async def ended(self) -> str:
        child, http = self._child, self._http
        if child is None or http is None:
            return "vLLM's server is not running"
        ending = asyncio.create_task(child.wait())
        try:
            while not ending.done():
                await asyncio.wait({ending}, timeout=_LOOK_SECONDS)
                with contextlib.suppress(httpx.HTTPError):  # slow is no end; a dead process is seen above
                    status = (await http.get("/health")).status_code
                    if status != httpx.codes.OK:
                        return f"vLLM says at /health that its engine is dead (HTTP {status})"
            return f"vLLM's server left with code {ending.result()}: {_last_words(child)}"
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    def _command(self) -> Command:
        options = self._options
        if not interpreter(options).is_file():
            where = ROOT.name
            reason = f"there is no {interpreter(options)}; run make vllm (CPU) or make vllm-gpu (CUDA) in {where}"
            raise InvalidSetting(setting=option_path(self._spec, "python"), reason=reason)
        weights = find_weights(self._spec, options.path, trust_remote_code=options.trust_remote_code)
        port = options.server_port or _free_port(self._spec.host)
        return command_for(self._spec, options, Path(weights).absolute(), port)

    async def _until_healthy(self, child: Child) -> None:
        ending = asyncio.create_task(child.wait())
        try:
            while not ending.done():
                await asyncio.wait({ending}, timeout=_LOOK_SECONDS)
                if await self._is_healthy():
                    return
            raise failure_to_start(self._spec, self._options, ending.result(), child.tail)
        finally:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    async def _is_healthy(self) -> bool:
        try:
            return self._http is not None and (await self._http.get("/health")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def _first_answer(self, child: Child) -> None:
        try:
            await self.answer_canary()
        except ChatchatError as failure:
            with contextlib.suppress(TimeoutError):  # a server that died of it says why
                async with asyncio.timeout(_ANSWER_SECONDS):
                    code = await child.wait()
                    raise failure_to_start(self._spec, self._options, code, child.tail) from failure
            raise EngineFailed(model=self._spec.model, reason=f"its first answer failed: {failure}") from failure

    async def _exchange(
        self,
        method: str,
        path: str,
        fields: Mapping[str, JsonValue] | None = None,
        timeout_seconds: float = _ANSWER_SECONDS,
    ) -> httpx.Response:
        http = self._http
        if http is None:
            raise EngineFailed(model=self._spec.model, reason="vLLM's server is not running")
        try:
            answer = await http.request(method, path, json=fields, timeout=timeout_seconds)
        except httpx.HTTPError as failure:
            raise unreachable(_SERVICE, str(http.base_url), timeout_seconds, failure) from failure
        if answer.is_error:
            raise decode_failure(answer.content, answer.status_code, _SERVICE)
        return answer


def _canary(spec: EngineSpec) -> tuple[str, dict[str, JsonValue]]:
    if spec.task == "embedding":
        return "/v1/embeddings", {"model": spec.model, "input": _CANARY}
    if spec.task == "rerank":
        return "/v1/rerank", {"model": spec.model, "query": _CANARY, "documents": [_CANARY]}
    return "/v1/completions", {"model": spec.model, "prompt": _CANARY, "max_tokens": 1}


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def _last_words(child: Child) -> str:
    return child.tail[-1] if child.tail else "it said nothing"
