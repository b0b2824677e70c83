"""OpenAIClient and ControllerClient against a scripted server on loopback: bodies, streams, failures, closing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import SecretStr

from services.clients.control import ControllerClient
from services.clients.openai import OpenAIClient
from services.foundation.errors import (
    ChatchatError,
    EngineFailed,
    Forbidden,
    NoWorker,
    ProviderFailed,
    ServiceUnreachable,
    TookTooLong,
)
from services.foundation.http import openai_body
from services.wire.control import HeartBeat, RegisterWorker, WorkerStatus
from services.wire.openai import ChatChunk, ChatCompletionRequest, ChatMessage, ChunkChoice, Delta, RerankRequest
from tests.live import free_port, serve

ASK = ChatCompletionRequest(model="m", messages=[ChatMessage(role="user", content="你好")])


class Scripted:
    """Answers every request with what it was given, and keeps what it was sent.

    `stream` items are sent one by one; an Event is waited for; `left` is set when the client goes away.
    """

    def __init__(self, body: bytes = b"{}", *, status: int = 200, stream: list[bytes | asyncio.Event] | None = None):
        self.body, self.status, self.pieces = body, status, stream
        self.asked: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.left = asyncio.Event()
        self.app = FastAPI()
        self.app.add_api_route("/{path:path}", self.answer, methods=["GET", "POST"])

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        self.asked.append((request.method, request.scope["path"], body, dict(request.headers)))
        if self.pieces is None:
            return Response(self.body, self.status, media_type="application/json")
        return StreamingResponse(self._stream(self.pieces), media_type="text/event-stream")

    async def _stream(self, pieces: list[bytes | asyncio.Event]) -> AsyncIterator[bytes]:
        try:
            for piece in pieces:
                if isinstance(piece, asyncio.Event):
                    await piece.wait()
                else:
                    yield piece
                    await asyncio.sleep(0.005)
        finally:
            self.left.set()


def event(content: str) -> bytes:
    chunk = ChatChunk(id="c", model="m", choices=[ChunkChoice(delta=Delta(content=content))])
    return f"data: {json.dumps(chunk.model_dump(), ensure_ascii=False)}\n\n".encode()


DONE = b"data: [DONE]\n\n"


async def chatted(scripted: Scripted) -> list[str]:
    async with serve(scripted.app) as url, OpenAIClient(url, timeout_seconds=5) as client:
        return [chunk.choices[0].delta.content or "" async for chunk in client.chat(ASK)]


async def test_chat_streams_what_the_server_sends():
    scripted = Scripted(stream=[b": ping\n\n", event("你"), event("好"), DONE])
    assert await chatted(scripted) == ["你", "好"]
    method, path, body, headers = scripted.asked[0]
    assert (method, path) == ("POST", "/v1/chat/completions")
    sent = json.loads(body)
    assert (sent["stream"], sent["stream_options"]) == (True, {"include_usage": True})
    assert "temperature" not in sent
    assert "x-api-key" not in headers


async def test_chat_reads_events_cut_anywhere():
    whole = event("一\u2028二\x85三") + event("四") + DONE
    pieces: list[bytes | asyncio.Event] = [whole[at : at + 7] for at in range(0, len(whole), 7)]
    assert await chatted(Scripted(stream=pieces)) == ["一\u2028二\x85三", "四"]


async def test_chat_raises_the_failure_named_before_the_stream():
    body = json.dumps(openai_body(NoWorker(model="m"), "r")).encode()
    with pytest.raises(NoWorker):
        await chatted(Scripted(body, status=503))


async def test_chat_raises_the_failure_named_in_the_stream():
    failed = f"data: {json.dumps(openai_body(EngineFailed(model='m', reason='boom'), 'r'))}\n\n".encode()
    with pytest.raises(EngineFailed, match="boom"):
        await chatted(Scripted(stream=[event("你"), failed]))


@pytest.mark.parametrize(
    "bad", [b"data: no json\n\n", b'data: {"error": {"message": "quota"}}\n\n', b"data: {}\n\n", b"data: 3\n\n"]
)
async def test_chat_names_an_event_it_cannot_read(bad: bytes):
    with pytest.raises(ProviderFailed):
        await chatted(Scripted(stream=[event("你"), bad, DONE]))


async def test_closing_the_chat_closes_the_connection():
    scripted = Scripted(stream=[event("你"), asyncio.Event()])
    async with serve(scripted.app) as url, OpenAIClient(url, timeout_seconds=30) as client:
        async with aclosing(client.chat(ASK)) as chunks:
            await anext(chunks)
            assert not scripted.left.is_set()
        await asyncio.wait_for(scripted.left.wait(), 1)


async def test_a_silent_server_took_too_long():
    scripted = Scripted(stream=[event("你"), asyncio.Event()])
    async with serve(scripted.app) as url, OpenAIClient(url, timeout_seconds=0.2) as client:
        chunks = client.chat(ASK)
        await anext(chunks)
        with pytest.raises(TookTooLong):
            await anext(chunks)


async def test_a_cut_connection_is_no_end():
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        data = event("你")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(data), data))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with OpenAIClient(url, timeout_seconds=5) as client:
            chunks = client.chat(ASK)
            await anext(chunks)
            with pytest.raises(ServiceUnreachable):
                await anext(chunks)


async def test_nothing_listening_is_unreachable():
    async with OpenAIClient(f"http://127.0.0.1:{free_port()}", timeout_seconds=5, service="gateway") as client:
        with pytest.raises(ServiceUnreachable, match="gateway"):
            await client.models()


async def test_embed_rerank_and_models():
    vectors = b'{"data": [{"index": 0, "embedding": [1.0], "unreadable_share": 0.5}], "model": "m", "usage": {}}'
    scripted = Scripted(vectors)
    async with serve(scripted.app) as url, OpenAIClient(url, timeout_seconds=5, key=SecretStr("hush")) as client:
        found = await client.embed("m", ["文"], input_type="query")
        assert found.data[0].unreadable_share == 0.5
        scripted.body = b'{"model": "m", "results": [{"index": 0, "relevance_score": 0.9}], "usage": {}}'
        ranked = await client.rerank(RerankRequest(model="m", query="q", documents=["d"]))
        assert ranked.results[0].relevance_score == 0.9
        scripted.body = b'{"data": [{"id": "m", "task": "chat"}]}'
        assert [card.id for card in (await client.models()).data] == ["m"]
    assert [(method, path) for method, path, _, _ in scripted.asked] == [
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/rerank"),
        ("GET", "/v1/models"),
    ]
    assert json.loads(scripted.asked[0][2])["input_type"] == "query"
    assert all(headers["x-api-key"] == "hush" for _, _, _, headers in scripted.asked)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": 3}'])
async def test_an_answer_that_cannot_be_read_is_named(body: bytes):
    scripted = Scripted(body)
    async with serve(scripted.app) as url:
        async with OpenAIClient(url, timeout_seconds=5) as client:
            with pytest.raises(ProviderFailed):
                await client.models()
        async with ControllerClient(url) as controller:
            with pytest.raises(ProviderFailed):
                await controller.leases()


async def test_the_controller_is_asked_on_its_own_wire():
    scripted = Scripted(b'{"exist": false}')
    async with serve(scripted.app) as url, ControllerClient(url, token=SecretStr("hush")) as controller:
        await controller.register(RegisterWorker(worker_name="http://w", worker_status=WorkerStatus(model_names=["m"])))
        assert await controller.renew(HeartBeat(worker_name="http://w", queue_length=3)) is False
        scripted.body = b'{"address": "http://w"}'
        found = await controller.address("m")
        assert (found.address, found.dialect) == ("http://w", "fastchat")
        scripted.body = b'{"models": ["a", "b"]}'
        assert await controller.models() == ["a", "b"]
        scripted.body = json.dumps(
            {"leases": [{"worker": "http://w", "status": {"model_names": ["m"]}, "expires_in_seconds": 3.5}]}
        ).encode()
        assert (await controller.leases()).leases[0].status.model_names == ["m"]
    assert [path for _, path, _, _ in scripted.asked] == [
        "/register_worker",
        "/receive_heart_beat",
        "/get_worker_address",
        "/list_models",
        "/leases",
    ]
    assert json.loads(scripted.asked[1][2]) == {"worker_name": "http://w", "queue_length": 3}
    assert scripted.asked[0][3]["x-api-key"] == "hush"


async def test_the_controllers_failure_comes_back():
    refused = Forbidden(what="The worker address", reason="it is not allowed")
    body = JSONResponse(openai_body(refused, "r")).body
    async with serve(Scripted(bytes(body), status=403).app) as url, ControllerClient(url) as controller:
        with pytest.raises(Forbidden) as caught:
            await controller.register(RegisterWorker(worker_name="http://w"))
    assert caught.value.facts == refused.facts


async def test_a_controller_that_is_gone_is_named():
    async with ControllerClient(f"http://127.0.0.1:{free_port()}") as controller:
        with pytest.raises(ChatchatError) as caught:
            await controller.models()
    assert type(caught.value) is ServiceUnreachable
    assert caught.value.facts["service"] == "controller"
