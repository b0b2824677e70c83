"""SupervisorClient: the processes of one machine, and models started and stopped at run time.

Used by the controller and by workers.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import TracebackType
from urllib.parse import quote

import httpx
from pydantic import BaseModel, SecretStr

from services.clients.transport import async_client, decode, decode_failure, failure_in, unreachable
from services.foundation.errors import ProviderFailed, ServiceUnreachable
from services.foundation.sse import read_events, split_lines
from services.wire.control import ProcessList, Progress, ReplaceModel

_SERVICE = "supervisor"


class SupervisorClient:
    """Talks to one supervisor.

    All methods raise `ServiceUnreachable`, `TookTooLong`, the failure the supervisor named, or `ProviderFailed` for an
    answer that cannot be read. What was begun goes on when the caller leaves.

    Args:
        base_url: the supervisor's control address.
        timeout_seconds: longest silence; it speaks about twice a second while it is at work.
        token: the worker token, where one is configured.
    """

    def __init__(self, base_url: str, *, timeout_seconds: float = 30.0, token: SecretStr | None = None) -> None:
        self._http = async_client(base_url, timeout_seconds=timeout_seconds, key=token)
        self._timeout = timeout_seconds

    async def __aenter__(self) -> SupervisorClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def processes(self) -> ProcessList:
        """Every process it keeps."""
        return decode(ProcessList, await self._ask("GET", "/processes", None), _SERVICE)

    def start(self, model: str) -> AsyncIterator[Progress]:
        """Start a configured model; done when its lease is there.

        Raises:
            UnknownModel: it is not configured.
            ModelRunning: it is running, or being started.
            EngineFailed: it could not be started; nothing of it is left running.
        """
        return self._follow(_path(model, "start"), None)

    def stop(self, model: str) -> AsyncIterator[Progress]:
        """Stop a model: no new requests, those that run may end, and it stays away.

        Raises:
            UnknownModel: it is not configured.
            NoWorker: it is not running.
        """
        return self._follow(_path(model, "stop"), None)

    def restart(self, model: str) -> AsyncIterator[Progress]:
        """Stop a model if it is running, and start it; raises as `start` does."""
        return self._follow(_path(model, "restart"), None)

    def replace(self, model: str, wanted: ReplaceModel) -> AsyncIterator[Progress]:
        """Start another model and stop this one, or the other way round; raises as both do."""
        return self._follow(_path(model, "replace"), wanted)

    async def begin_start(self, model: str) -> Progress:
        """`start` without waiting for what comes of it."""
        return await self._begin(model, "start", None)

    async def begin_stop(self, model: str) -> Progress:
        """`stop` without waiting for what comes of it."""
        return await self._begin(model, "stop", None)

    async def begin_replace(self, model: str, wanted: ReplaceModel) -> Progress:
        """`replace` without waiting for what comes of it."""
        return await self._begin(model, "replace", wanted)

    async def _begin(self, model: str, action: str, message: BaseModel | None) -> Progress:
        return decode(Progress, await self._ask("POST", f"{_path(model, action)}?wait=false", message), _SERVICE)

    async def _ask(self, method: str, path: str, message: BaseModel | None) -> bytes:
        try:
            answer = await self._http.request(method, path, json=_body(message))
        except httpx.HTTPError as failure:
            raise unreachable(_SERVICE, self._url, self._timeout, failure) from failure
        if answer.is_error:
            raise decode_failure(answer.content, answer.status_code, _SERVICE)
        return answer.content

    async def _follow(self, path: str, message: BaseModel | None) -> AsyncIterator[Progress]:
        try:
            async with self._http.stream("POST", path, json=_body(message)) as answer:
                if answer.is_error:
                    raise decode_failure(await answer.aread(), answer.status_code, _SERVICE)
                async for text in read_events(split_lines(answer.aiter_bytes())):
                    progress = _progress(text)
                    yield progress
                    if progress.state == "done":
                        return
        except httpx.HTTPError as failure:
            raise unreachable(_SERVICE, self._url, self._timeout, failure) from failure
        raise ServiceUnreachable(service=_SERVICE, url=self._url, reason="it ended before it was done")

    @property
    def _url(self) -> str:
        return str(self._http.base_url)


def _path(model: str, action: str) -> str:
    return f"/models/{quote(model, safe='')}/{action}"


def _body(message: BaseModel | None) -> dict[str, object] | None:
    return None if message is None else message.model_dump()


def _progress(text: str) -> Progress:
    try:
        failure = failure_in(json.loads(text))
    except ValueError as unreadable:
        raise ProviderFailed(model=_SERVICE, reason="an event is no JSON") from unreadable
    if failure is not None:
        raise failure
    return decode(Progress, text.encode(), _SERVICE)
