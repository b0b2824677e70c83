"""What the chatchat API answers with: values, failures, and streams of events. Used by `ChatchatClient`."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx
from pydantic import JsonValue, TypeAdapter, ValidationError

from services.clients.transport import failure_in, unreachable
from services.foundation.errors import ChatchatError
from services.foundation.sse import read_events_sync, split_lines_sync
from services.wire.chatchat import AnsweringBody, CitationBody, SummaryBody, SummaryEvent, SupportBody, WhyBody

SERVICE = "Chatchat API"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AnswerPiece:
    """A piece of an answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerSources:
    """The passages an answer cites, and the stand-alone query that found them.

    Attributes:
        answering: how the passages were read; None where all were read at once.
        why: why these were found; given when the request says `explain`, as is `support`.
        support: the answer's sentences and how far the passages say the same.
    """

    citations: tuple[CitationBody, ...]
    query: str
    answering: AnsweringBody | None = None
    why: WhyBody | None = None
    support: tuple[SupportBody, ...] = ()


AnswerEvent = AnswerPiece | AnswerSources


@dataclass(frozen=True, slots=True)
class FileSummarised:
    """A file whose summary was asked for. `failure`: why there is no new one, with the API's sentence as its note."""

    file: str
    summary: SummaryBody | None = None
    failure: ChatchatError | None = None
    finished: int = 1
    total: int = 1


class EventStream(Generic[_T]):
    """Events on their way: iterate it once. `close` ends it from any thread, even while the next one is awaited.

    `read` makes what is iterated of the text of one event.
    """

    def __init__(
        self,
        http: httpx.Client,
        request: httpx.Request,
        timeout_seconds: float,
        read: Callable[[str], Iterator[_T]],
    ) -> None:
        self._read = read
        self._http = http
        self._request = request
        self._timeout = timeout_seconds
        self._lock = threading.Lock()
        self._closed = False
        self._socket: socket.socket | None = None

    def __iter__(self) -> Iterator[_T]:
        try:
            response = self._http.send(self._request, stream=True)
            with contextlib.closing(response):
                if self._adopt(response):
                    yield from self._events(response)
                self._release()
        except httpx.HTTPError as failure:
            self._release()
            if not self._closed:
                raise unreachable(SERVICE, str(self._http.base_url), self._timeout, failure) from failure

    def close(self) -> None:
        """End the stream: the API sees the disconnect at once, and the iterator ends without a failure."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                # A plain close would not wake the thread that waits for the next byte.
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _adopt(self, response: httpx.Response) -> bool:
        with self._lock:
            self._socket = response.extensions["network_stream"].get_extra_info("socket")
            return not self._closed

    def _release(self) -> None:
        """Forget the socket before it goes back to the pool, where another request may get it."""
        with self._lock:
            self._socket = None

    def _events(self, response: httpx.Response) -> Iterator[_T]:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            response.read()
            decoded(response)
            raise ChatchatError(reason="the API answered a question with something that is no stream of events")
        for text in read_events_sync(split_lines_sync(response.iter_bytes())):
            yield from self._read(text)


class AnswerStream(EventStream[AnswerEvent]):
    """An answer on its way."""

    def __init__(self, http: httpx.Client, request: httpx.Request, timeout_seconds: float) -> None:
        super().__init__(http, request, timeout_seconds, answer_events)


def said(failure: ChatchatError) -> str | None:
    """The sentence the API gave with a failure, in the asked language; None when the failure is not the API's."""
    notes: list[str] = getattr(failure, "__notes__", [])
    return notes[0] if notes else None


def _event(text: str) -> JsonValue:
    try:
        event: JsonValue = json.loads(text)
    except ValueError as failure:
        raise ChatchatError(reason="an event of the answer is not JSON") from failure
    return event


def summary_events(text: str) -> Iterator[FileSummarised]:
    """A file's failure is its outcome; one that names no file is raised."""
    event = _event(text)
    failed = failure_of(event, 200)
    file = event.get("doc") if isinstance(event, Mapping) else None
    if not isinstance(event, Mapping) or not isinstance(file, str):
        if failed is not None:
            raise failed
        return
    if failed is not None:
        yield FileSummarised(file, failure=failed)
        return
    told = shaped(TypeAdapter(SummaryEvent), event)
    yield FileSummarised(file, told.summary, None, told.finished, told.total)


def answer_events(text: str) -> Iterator[AnswerEvent]:
    """What an event of an answer says. Raises the failure it holds."""
    event = _event(text)
    failed = failure_of(event, 200)
    if failed is not None:
        raise failed
    if not isinstance(event, Mapping):
        return
    piece = event.get("answer", event.get("text"))
    if isinstance(piece, str) and piece:
        yield AnswerPiece(piece)
    if "citations" in event:
        yield shaped(TypeAdapter(AnswerSources), {"query": "", **event})


def decoded(answer: httpx.Response) -> JsonValue:
    """The JSON of an answer that is no failure."""
    try:
        parsed: JsonValue = json.loads(answer.content)
    except ValueError:
        parsed = None
    failure = failure_of(parsed, answer.status_code)
    if failure is not None:
        raise failure
    return parsed


def failure_of(parsed: JsonValue, status: int) -> ChatchatError | None:
    """The failure that a body holds, with the API's sentence as its note; None when it holds none."""
    body = parsed if isinstance(parsed, Mapping) else {}
    code, sentence = body.get("code", 200), body.get("msg")
    if code == 200 and status < 400 and "error" not in body:
        return None
    failure = failure_in(parsed) or ChatchatError(reason=str(sentence or body.get("detail") or f"HTTP {status}"))
    if isinstance(sentence, str) and sentence:
        failure.add_note(sentence)
    return failure


def shaped(shape: TypeAdapter[_T], value: JsonValue) -> _T:
    """A value of the API as what it is to be. Raises ChatchatError when it is something else."""
    try:
        return shape.validate_python(value)
    except ValidationError as failure:
        raise ChatchatError(reason="the API's answer has an unexpected shape; is it of another version?") from failure
