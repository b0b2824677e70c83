"""What waits for a model's thread, and which texts go together next. `batching.py` does the waiting."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

PayloadT = TypeVar("PayloadT")
ResultT = TypeVar("ResultT")

PATIENCE = 3
"""The oldest request is passed over this many times; the next batch is then its."""
_SHORT_TOKENS = 32
"""Texts shorter than this cost no more than one of this length: what a batch costs in itself outweighs them."""


@dataclass(frozen=True, slots=True)
class Work(Generic[PayloadT]):
    """One text, or one pair of texts.

    Attributes:
        payload: what the model's thread is handed.
        tokens: about how long it is.
    """

    payload: PayloadT
    tokens: int


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes into one batch: so many texts, and so many tokens when all are padded to the longest."""

    texts: int
    tokens: int


class Ticket(Generic[PayloadT, ResultT]):
    """One request: its texts that wait, shortest first, and the results so far.

    Attributes:
        kind: only texts of one kind share a batch.
        outcome: the results in the order of the texts, or the failure; cancelled when the caller has left.
        tokens: of all texts.
        tokens_left: of the texts that wait.
    """

    def __init__(self, kind: str, works: Sequence[Work[PayloadT]]) -> None:
        self.kind = kind
        self.outcome: Future[list[ResultT]] = Future()
        self.tokens = self.tokens_left = sum(work.tokens for work in works)
        self._results: list[ResultT | None] = [None] * len(works)
        self._unsettled = len(works)
        shortest_first = sorted(range(len(works)), key=lambda place: works[place].tokens)
        self._waiting = [Piece(self, place, works[place]) for place in shortest_first]

    @property
    def is_wanted(self) -> bool:
        """Whether anyone still waits for it."""
        return not self.outcome.done()

    @property
    def has_waiting(self) -> bool:
        """Whether some of its texts are in no batch yet."""
        return bool(self._waiting)

    def give(self, batch: Batch[PayloadT, ResultT]) -> None:
        """Put what fits into the batch, nearest to its lengths from below."""
        start = bisect_left(self._waiting, batch.shortest_fitting, key=lambda piece: piece.work.tokens)
        stop = start
        while stop < len(self._waiting) and batch.accepts(self._waiting[stop].work.tokens):
            batch.add(self._waiting[stop])
            self.tokens_left -= self._waiting[stop].work.tokens
            stop += 1
        del self._waiting[start:stop]

    def settle(self, place: int, result: ResultT) -> None:
        """Take in the result of one text."""
        self._results[place] = result
        self._unsettled -= 1
        if not self._unsettled:
            with suppress(InvalidStateError):  # the caller has just left
                self.outcome.set_result(cast("list[ResultT]", self._results))

    def fail(self, failure: BaseException) -> None:
        """End the whole request."""
        with suppress(InvalidStateError):
            self.outcome.set_exception(failure)


@dataclass(frozen=True, slots=True)
class Piece(Generic[PayloadT, ResultT]):
    """One text of a request."""

    ticket: Ticket[PayloadT, ResultT]
    place: int
    work: Work[PayloadT]


class Batch(Generic[PayloadT, ResultT]):
    """Texts of like length, as many as the limits allow; a first one that is too long alone goes alone."""

    def __init__(self, limits: BatchLimits) -> None:
        self.pieces: list[Piece[PayloadT, ResultT]] = []
        self._limits = limits
        self._shortest = self._longest = 0

    @property
    def shortest_fitting(self) -> int:
        """The least length that may join."""
        return 0 if self._longest <= 2 * _SHORT_TOKENS else -(-self._longest // 2)

    def accepts(self, tokens: int) -> bool:
        """Whether a text of that length may join."""
        if not self.pieces:
            return True
        longest = max(self._longest, tokens)
        count = len(self.pieces) + 1
        is_alike = longest <= 2 * max(min(self._shortest, tokens), _SHORT_TOKENS)
        return is_alike and count <= self._limits.texts and count * longest <= self._limits.tokens

    def add(self, piece: Piece[PayloadT, ResultT]) -> None:
        """Let it join."""
        tokens = piece.work.tokens
        self._shortest = min(self._shortest, tokens) if self.pieces else tokens
        self._longest = max(self._longest, tokens)
        self.pieces.append(piece)


class WorkQueue(Generic[PayloadT, ResultT]):
    """Requests in the order of their arrival.

    The request with the least left to do goes first, so that a question overtakes an upload; after `PATIENCE` batches
    the oldest one has its turn, so that nobody starves. What else is of like length fills the batch up; but a batch
    led by a small request takes in small ones only, or the question would wait for the upload after all.
    """

    def __init__(self) -> None:
        self._tickets: list[Ticket[PayloadT, ResultT]] = []
        self._passed_over = 0

    def put(self, ticket: Ticket[PayloadT, ResultT]) -> None:
        """Let it wait."""
        self._tickets.append(ticket)

    def take(self, limits: BatchLimits) -> list[Piece[PayloadT, ResultT]]:
        """The next batch; empty when nothing waits. Requests whose callers have left are dropped."""
        self._tickets = [ticket for ticket in self._tickets if ticket.is_wanted and ticket.has_waiting]
        if not self._tickets:
            return []
        leader, others = self._leader()
        is_small = leader.tokens <= limits.tokens
        batch = Batch[PayloadT, ResultT](limits)
        leader.give(batch)
        for ticket in others:
            if ticket.kind == leader.kind and (ticket.tokens <= limits.tokens or not is_small):
                ticket.give(batch)
        return batch.pieces

    def drain(self) -> list[Ticket[PayloadT, ResultT]]:
        """Every request with texts that wait; the queue is empty afterwards."""
        waiting = [ticket for ticket in self._tickets if ticket.has_waiting]
        self._tickets = []
        return waiting

    def _leader(self) -> tuple[Ticket[PayloadT, ResultT], list[Ticket[PayloadT, ResultT]]]:
        oldest = self._tickets[0]
        order = sorted(self._tickets, key=lambda ticket: ticket.tokens_left)
        leader = oldest if self._passed_over >= PATIENCE else order[0]
        self._passed_over = 0 if leader is oldest else self._passed_over + 1
        return leader, [ticket for ticket in order if ticket is not leader]
