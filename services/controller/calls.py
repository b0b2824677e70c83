"""What the controller itself asks of workers, without blocking: their status, and FastChat's proxied stream."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping

import httpx
from pydantic import JsonValue, ValidationError

from services.clients.transport import async_client, unreachable
from services.foundation.errors import ChatchatError, InvalidRequest, ServiceUnreachable
from services.wire.control import WorkerStatus

log = logging.getLogger(__name__)
_STATUS_SECONDS = 5.0


class WorkerCalls:
    """The controller's HTTP client. Only addresses on the allow-list are handed to it.

    Args:
        stream_timeout_seconds: longest wait for the next byte of a proxied stream.
    """

    def __init__(self, stream_timeout_seconds: float) -> None:
        self._http = async_client("", timeout_seconds=stream_timeout_seconds)
        self._timeout = stream_timeout_seconds

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def status(self, address: str) -> WorkerStatus:
        """What the worker says of itself.

        Raises:
            ServiceUnreachable, TookTooLong: it does not answer.
            InvalidRequest: its answer is no status.
        """
        try:
            answer = await self._http.post(f"{address}/worker_get_status", timeout=_STATUS_SECONDS)
        except httpx.HTTPError as failure:
            raise unreachable("worker", address, _STATUS_SECONDS, failure) from failure
        if answer.is_error:
            raise ServiceUnreachable(service="worker", url=address, reason=f"HTTP {answer.status_code}")
        try:
            return WorkerStatus.model_validate_json(answer.content)
        except ValidationError as failure:
            reason = "the worker's answer to /worker_get_status is no status"
            raise InvalidRequest(field="worker_status", reason=reason) from failure

    async def stream(self, address: str, parameters: Mapping[str, JsonValue]) -> AsyncIterator[bytes]:
        """FastChat's NUL-terminated messages from the worker, whole ones only.

        Raises:
            ServiceUnreachable, TookTooLong: at any point.
        """
        pending = b""
        try:
            async with self._http.stream("POST", f"{address}/worker_generate_stream", json=parameters) as answer:
                if answer.is_error:
                    raise ServiceUnreachable(service="worker", url=address, reason=f"HTTP {answer.status_code}")
                async for piece in answer.aiter_raw():
                    whole, end, pending = (pending + piece).rpartition(b"\0")
                    if end:
                        yield whole + end
        except httpx.HTTPError as failure:
            raise self._unreachable(address, failure) from failure

    def _unreachable(self, address: str, failure: httpx.HTTPError) -> ChatchatError:
        return unreachable("worker", address, self._timeout, failure)
