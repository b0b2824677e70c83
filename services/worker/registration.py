"""Keeps the worker's lease with the controller: registers and renews in the background, for ever, never asserting."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from services.clients.control import ControllerClient
from services.foundation.errors import ChatchatError
from services.wire.control import HeartBeat, RegisterWorker, WorkerStatus

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS = 5.0


class Registration:
    """The lease of one worker. Speaks to our controller and to a stock FastChat one.

    The status goes with each registration, so that the controller never calls back.

    Args:
        controller: where the lease is held.
        address: asked before each message: base URL under which others reach this worker, or its model's own server.
        status: asked before each message; a worker that names no models does not register.
        heartbeat_seconds: pause between renewals; doubled up to five seconds while the controller is away.
    """

    def __init__(
        self,
        controller: ControllerClient,
        *,
        address: Callable[[], str],
        status: Callable[[], WorkerStatus],
        heartbeat_seconds: float,
    ) -> None:
        self._controller = controller
        self._address = address
        self._status = status
        self._heartbeat_seconds = heartbeat_seconds
        self._leased: list[str] = []
        self._leased_address = ""
        self._misses = 0
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Do not wait for the next heartbeat: the models have changed."""
        self._changed.set()

    async def run(self) -> None:
        """Register and renew until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._beat()
            except (ChatchatError, ValueError) as failure:  # ValueError: an answer that is not a controller's
                self._missed(failure)
            else:
                self._misses = 0
            await self._pause()

    async def withdraw(self) -> None:
        """Give the lease back (FastChat's wire: register without models)."""
        if not self._leased:
            return
        try:
            await self._give_back()
        except ChatchatError as failure:
            log.warning("the lease at the controller could not be given back: %s", failure)

    async def _give_back(self) -> None:
        message = RegisterWorker(
            worker_name=self._leased_address, worker_status=WorkerStatus(model_names=[], dialect="openai")
        )
        await self._controller.register(message)
        self._leased = []

    async def _beat(self) -> None:
        status = self._status()
        address = self._address() if status.model_names else ""
        if self._leased and address != self._leased_address:
            await self._give_back()
        if not status.model_names:
            return
        if status.model_names == self._leased:
            known = await self._controller.renew(HeartBeat(worker_name=address, queue_length=status.queue_length))
            if known:
                self._found("the controller is back")
                return
            log.info("the controller does not know this worker (any more): registering again")
        await self._controller.register(RegisterWorker(worker_name=address, worker_status=status))
        self._found("the controller is back")
        if status.model_names != self._leased:
            log.info("registered as %s: %s", address, ", ".join(status.model_names))
        self._leased, self._leased_address = status.model_names, address

    def _missed(self, failure: Exception) -> None:
        self._misses += 1
        if self._misses == 1:
            log.warning("the controller is lost, trying on: %s", failure)

    def _found(self, sentence: str) -> None:
        if self._misses:
            log.info(sentence)

    async def _pause(self) -> None:
        seconds = self._heartbeat_seconds
        if self._misses:
            seconds = min(seconds * 2 ** min(self._misses, 8), max(seconds, LONGEST_PAUSE_SECONDS))
        try:
            async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):  # noqa: S311 - jitter, no secret
                await self._changed.wait()
        except TimeoutError:
            return
