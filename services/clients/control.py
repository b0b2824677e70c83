"""ControllerClient: register, renew, look up, switch models. Used by workers, gateway, api and supervisor."""

from __future__ import annotations

from types import TracebackType

import httpx
from pydantic import BaseModel, SecretStr

from services.clients.transport import CONNECT_SECONDS, async_client, decode, decode_failure, unreachable
from services.wire.control import (
    DrainWorker,
    HeartBeat,
    HeartBeatAnswer,
    LeaseList,
    ModelNames,
    ModelQuery,
    RegisterWorker,
    ReleaseAnswer,
    ReleaseWorker,
    WorkerAddress,
)

_SERVICE = "controller"


class ControllerClient:
    """Talks to a controller: ours, or a stock FastChat one (which lacks `leases`, `drain` and `release`).

    All methods raise `ServiceUnreachable`, `TookTooLong`, the failure the controller named, or `ProviderFailed` for an
    answer that cannot be read.
    """

    def __init__(self, base_url: str, *, timeout_seconds: float = 10.0, token: SecretStr | None = None) -> None:
        self._http = async_client(base_url, timeout_seconds=timeout_seconds, key=token)
        self._timeout = timeout_seconds

    async def __aenter__(self) -> ControllerClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def register(self, worker: RegisterWorker) -> None:
        """Ask for a lease. With an empty list of models: give it back."""
        await self._post("/register_worker", worker)

    async def renew(self, beat: HeartBeat) -> bool:
        """Renew the lease; False when the controller does not know the worker."""
        return decode(HeartBeatAnswer, await self._post("/receive_heart_beat", beat), _SERVICE).exist

    async def address(self, model: str) -> WorkerAddress:
        """Where the model is served; an empty address when nowhere."""
        return decode(WorkerAddress, await self._post("/get_worker_address", ModelQuery(model=model)), _SERVICE)

    async def models(self) -> list[str]:
        """Every model with a live lease."""
        return decode(ModelNames, await self._post("/list_models", None), _SERVICE).models

    async def leases(self) -> LeaseList:
        """Every live lease."""
        return decode(LeaseList, await self._send("GET", "/leases", None), _SERVICE)

    async def drain(self, worker: str) -> bool:
        """Have a worker routed to no more until it registers anew; False when the controller does not know it."""
        message = DrainWorker(worker_name=worker)
        return decode(HeartBeatAnswer, await self._post("/drain_worker", message), _SERVICE).exist

    async def release(self, wanted: ReleaseWorker) -> ReleaseAnswer:
        """Stop a model, or replace it; waits as long as the supervisor takes, which for large weights is minutes.

        A failure of the switch itself is in the answer, as in 0.2.10; `code` is 200 or 500.
        """
        patient = httpx.Timeout(None, connect=CONNECT_SECONDS)
        return decode(ReleaseAnswer, await self._send("POST", "/release_worker", wanted, patient), _SERVICE)

    async def _post(self, path: str, message: BaseModel | None) -> bytes:
        return await self._send("POST", path, message)

    async def _send(
        self, method: str, path: str, message: BaseModel | None, timeout: httpx.Timeout | None = None
    ) -> bytes:
        body = None if message is None else message.model_dump()
        try:
            answer = await self._http.request(method, path, json=body, timeout=timeout or self._http.timeout)
        except httpx.HTTPError as failure:
            raise unreachable(_SERVICE, str(self._http.base_url), self._timeout, failure) from failure
        if answer.is_error:
            raise decode_failure(answer.content, answer.status_code, _SERVICE)
        return answer.content
