"""Line: HTTP to one provider. Retries within a budget, time limits, a size limit, no redirects. Used by the engines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from pydantic import JsonValue
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from services.clients.transport import unreachable
from services.foundation.errors import ChatchatError, InvalidSetting, NoWorker, ProviderFailed, TookTooLong, WorkerBusy
from services.foundation.sse import closing
from services.worker.engines.remote.reach import Reach

log = logging.getLogger(__name__)

_PASSING_STATUS = frozenset({500, 502, 503, 504})  # and 429, unless it speaks of credit
_REFUSAL_BYTES = 64_000


class _Passing(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, failure: ChatchatError, after_seconds: float | None = None) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.after_seconds = after_seconds


@dataclass(slots=True)
class _Answer:
    """A good answer whose body has not been read, and until when its first byte must have come."""

    response: httpx.Response
    deadline: float


class Line:
    """The connections to a provider.

    Both ways of asking raise what `AnswerReader.refusal` makes of an error status, `ServiceUnreachable`, `TookTooLong`,
    and `ProviderFailed` for an answer that is too large.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._http: httpx.AsyncClient | None = None
        self._growing = wait_random_exponential(multiplier=reach.provider.retries.first_wait_seconds)

    async def open(self) -> None:
        """Make the client; nothing is sent.

        Raises:
            InvalidSetting: the key is missing, or cannot be sent.
        """
        reach = self._reach
        if reach.unusable_key:
            raise InvalidSetting(setting=f"models.served.{reach.model}.provider", reason=reach.unusable_key)
        proxy = reach.provider.proxy
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=reach.provider.timeouts.connect_seconds),
            trust_env=False,
            proxy=None if proxy is None else proxy.get_secret_value(),
            auth=reach.login,
            follow_redirects=False,
            limits=httpx.Limits(keepalive_expiry=3.0, max_connections=None, max_keepalive_connections=50),
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()

    async def exchange(self, path: str, payload: Mapping[str, JsonValue]) -> bytes:
        """Ask, and read the whole answer."""
        async with self.stream(path, payload) as chunks:
            return b"".join([chunk async for chunk in chunks])

    @asynccontextmanager
    async def stream(
        self, path: str, payload: Mapping[str, JsonValue], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Ask, and read the answer as it comes. The connection is closed with the block."""
        answer = await self._answer(path, payload, headers)
        try:
            async with closing(self._chunks(answer)) as chunks:
                yield chunks
        finally:
            await answer.response.aclose()

    async def _answer(self, path: str, payload: Mapping[str, JsonValue], headers: Mapping[str, str] | None) -> _Answer:
        retries = self._reach.provider.retries
        retrying = AsyncRetrying(  # one a request: it keeps state
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(1 + retries.count) | stop_before_delay(retries.budget_seconds),
            wait=self._wait,
            before_sleep=_say,
            reraise=True,
        )
        try:
            return await retrying(self._attempt, path, payload, headers or self._key_headers())
        except _Passing as last:
            raise last.failure from last.__cause__

    async def _attempt(self, path: str, payload: Mapping[str, JsonValue], headers: Mapping[str, str]) -> _Answer:
        if self._http is None:
            raise NoWorker(model=self._reach.model)
        url = self._reach.base_url.join(path)
        query = self._reach.provider.query or None
        request = self._http.build_request("POST", url, json=payload, params=query, headers=headers)
        deadline = asyncio.get_running_loop().time() + self._reach.first_byte_seconds
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._http.send(request, stream=True)
                if response.is_success:
                    return _Answer(response, deadline)
                raise await self._refusal(response)
        except TimeoutError:
            raise self._too_slow(self._reach.first_byte_seconds) from None
        except httpx.HTTPError as failure:
            raise _Passing(self._unreachable(failure)) from failure

    async def _refusal(self, response: httpx.Response) -> Exception:
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _REFUSAL_BYTES:
                    break
        finally:
            await response.aclose()
        after = _seconds(response.headers)
        failure = self._reach.reader.refusal(response.status_code, bytes(body[:_REFUSAL_BYTES]), after)
        is_passing = isinstance(failure, WorkerBusy) or (
            response.status_code in _PASSING_STATUS and isinstance(failure, ProviderFailed)
        )
        return _Passing(failure, after) if is_passing else failure

    async def _chunks(self, answer: _Answer) -> AsyncGenerator[bytes, None]:
        """The body, bounded in time and size."""
        received, limit = 0, self._reach.provider.answer_limit_bytes
        wait, deadline = self._reach.first_byte_seconds, answer.deadline
        body = answer.response.aiter_bytes()
        try:
            while True:
                async with asyncio.timeout_at(deadline):
                    chunk = await anext(body, None)
                if chunk is None:
                    return
                received += len(chunk)
                if received > limit:
                    raise self._reach.reader.failed(f"its answer is larger than {limit} bytes")
                yield chunk
                wait = self._reach.between_bytes_seconds
                deadline = asyncio.get_running_loop().time() + wait
        except TimeoutError:
            raise self._too_slow(wait) from None
        except httpx.HTTPError as failure:
            raise self._unreachable(failure) from failure

    def _wait(self, state: RetryCallState) -> float:
        """As long as the provider asks for, else longer each time, with jitter."""
        failed = state.outcome.exception() if state.outcome is not None else None
        asked = failed.after_seconds if isinstance(failed, _Passing) else None
        return self._growing(state) if asked is None else asked

    def _key_headers(self) -> dict[str, str]:
        if self._reach.key is None:
            return {}
        parts = [part.get_secret_value() for part in (self._reach.key, self._reach.secret) if part is not None]
        if self._reach.provider.authentication == "api_key_header":
            return {"api-key": parts[0]}
        return {"authorization": f"Bearer {':'.join(parts)}"}

    @property
    def _service(self) -> str:
        return f"provider of the model {self._reach.model!r}"

    def _too_slow(self, seconds: float) -> ChatchatError:
        return TookTooLong(service=self._service, timeout_seconds=seconds)

    def _unreachable(self, failure: httpx.HTTPError) -> ChatchatError:
        return unreachable(self._service, self._reach.origin, self._reach.provider.timeouts.connect_seconds, failure)


def _say(state: RetryCallState) -> None:
    failed = state.outcome.exception() if state.outcome is not None else None
    log.warning("attempt %d failed, again in %.1f s: %s", state.attempt_number, state.upcoming_sleep, failed)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for, in seconds. Its form with a date is ignored: clocks differ."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None
