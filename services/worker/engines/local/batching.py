"""MicroBatcher: texts of many requests, run by one thread in shared batches. Used by the embedder and the reranker."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from services.foundation.errors import NoWorker, OutOfMemory
from services.worker.engines.local.work_queue import BatchLimits, PayloadT, Piece, ResultT, Ticket, Work, WorkQueue

log = logging.getLogger(__name__)
T = TypeVar("T")

CALLERS = 64
"""Requests an engine with a batcher admits at a time: enough to fill batches."""
_BYTES_PER_TOKEN = 3


def estimated_tokens(text: str, limit: int) -> int:
    """About how many tokens a text has: batches are put together before anything is tokenised.

    A Chinese character is three bytes and about a token, four or five bytes of English are one: rather too many.
    """
    return min(limit, len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN + 2)


class MicroBatcher(Generic[PayloadT, ResultT]):
    """Runs a model in one thread of its own. A batch starts as soon as the thread is free, with what waits by then.

    A batch that does not fit into memory is halved and tried again; the next ones stay smaller for a while.

    Args:
        model: its name, for failures and the thread.
        run: results of a batch of one kind, in order. Raises OutOfMemory when the batch is too large.
        limits: how much goes into a batch.
    """

    def __init__(
        self, model: str, run: Callable[[str, Sequence[PayloadT]], Sequence[ResultT]], limits: BatchLimits
    ) -> None:
        self._model = model
        self._run = run
        self._limits = limits
        self._tokens_limit = limits.tokens
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"model-{model}")
        self._lock = threading.Lock()
        self._queue = WorkQueue[PayloadT, ResultT]()
        self._is_draining = False
        self._is_stopped = False

    def set_limits(self, limits: BatchLimits) -> None:
        """Other ones from the next batch on."""
        self._limits, self._tokens_limit = limits, limits.tokens

    async def call(self, work: Callable[[], T]) -> T:
        """Do something else in the model's thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def submit(self, works: Sequence[Work[PayloadT]], *, kind: str = "") -> list[ResultT]:
        """The results, in order. When the caller is cancelled, what has not begun is dropped.

        Raises:
            NoWorker: it has been stopped.
            OutOfMemory: a text does not fit even alone.
        """
        if not works:
            return []
        ticket = Ticket[PayloadT, ResultT](kind, works)
        with self._lock:
            if self._is_stopped:
                raise NoWorker(model=self._model)
            self._queue.put(ticket)
            was_idle, self._is_draining = not self._is_draining, True
        if was_idle:
            self._thread.submit(self._drain)
        return await asyncio.wrap_future(ticket.outcome)

    def stop(self) -> None:
        """Fail what waits; the batch in progress ends by itself."""
        with self._lock:
            self._is_stopped = True
            waiting = self._queue.drain()
        for ticket in waiting:
            ticket.fail(NoWorker(model=self._model))
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _drain(self) -> None:
        while batch := self._next():
            self._serve(batch)

    def _next(self) -> list[Piece[PayloadT, ResultT]]:
        with self._lock:
            batch = self._queue.take(BatchLimits(self._limits.texts, self._tokens_limit))
            self._is_draining = bool(batch)
            return batch

    def _serve(self, batch: list[Piece[PayloadT, ResultT]]) -> None:
        wanted = [piece for piece in batch if piece.ticket.is_wanted]
        if not wanted:
            return
        try:
            results = self._run(wanted[0].ticket.kind, [piece.work.payload for piece in wanted])
            settled = list(zip(wanted, results, strict=True))
        except OutOfMemory as failure:
            if len(wanted) == 1:
                wanted[0].ticket.fail(failure)
                return
        except Exception as failure:  # noqa: BLE001 - raised again by `submit`, for every request that was part of it
            for piece in wanted:
                piece.ticket.fail(failure)
            return
        else:
            self._tokens_limit = min(self._limits.tokens, self._tokens_limit + self._tokens_limit // 8 + 1)
            for piece, result in settled:
                piece.ticket.settle(piece.place, result)
            return
        self._halve(wanted)

    def _halve(self, batch: list[Piece[PayloadT, ResultT]]) -> None:
        longest = max(piece.work.tokens for piece in batch)
        self._tokens_limit = max(1, min(self._tokens_limit, longest * len(batch)) // 2)
        log.warning(
            "%s: %d texts of up to %d tokens did not fit into memory; trying half of them",
            self._model,
            len(batch),
            longest,
        )
        middle = len(batch) // 2
        self._serve(batch[:middle])
        self._serve(batch[middle:])
