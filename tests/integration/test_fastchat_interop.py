"""With FastChat's own programs: its worker joins our controller, our control wire works against its controller.

The worker is FastChat's: BaseModelWorker, its heart beat and its routes. Only the model is scripted, since the
Hugging Face worker of fschat 0.2.36 does not start with transformers 5.
"""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from services.clients.control import ControllerClient
from services.controller.app import create_app as create_controller
from services.foundation.errors import ProviderFailed
from services.foundation.settings.tree import Endpoint, Models, Server, Settings
from services.gateway.app import create_app as create_gateway
from services.wire.control import HeartBeat, RegisterWorker, WorkerStatus
from tests.live import free_port, serve

ROOT = Path(__file__).resolve().parents[2]
WORKER = '''
import json, sys, time
import uvicorn
import fastchat.serve.base_model_worker as stock
from fastchat.conversation import get_conv_template


class Tokens:
    """One token a character."""

    def __call__(self, text):
        self.input_ids = list(text)
        return self


class Scripted(stock.BaseModelWorker):
    def make_conv_template(self, conv_template=None, model_path=None):
        return get_conv_template(conv_template)

    def generate_stream_gate(self, params):
        prompt = params["prompt"]
        asked = prompt.partition("USER: ")[2].partition(" ASSISTANT:")[0] or prompt
        answer = f"<{asked}> 你好"
        usage = {"prompt_tokens": len(prompt), "completion_tokens": len(answer)}
        usage["total_tokens"] = len(prompt) + len(answer)
        for end in range(1, len(answer) + 1):
            text = answer[:end] + ("\\ufffd" if end == len(answer) - 1 else "")
            yield json.dumps({"text": text, "error_code": 0, "usage": usage, "finish_reason": None}).encode() + b"\\0"
            time.sleep(0.3 if asked == "slow" else 0.001)
            if asked == "fail" and end == 3:
                yield json.dumps({"text": "out of memory", "error_code": 50002}).encode() + b"\\0"
                return
        yield json.dumps({"text": answer, "error_code": 0, "usage": usage, "finish_reason": "stop"}).encode() + b"\\0"

    def get_embeddings(self, params):
        return {"embedding": [[float(len(text)), 0.5] for text in params["input"]], "token_num": len(params["input"])}


controller, port = sys.argv[1], int(sys.argv[2])
worker = Scripted(controller, f"http://127.0.0.1:{port}", "w", "stock-model", None, 4, conv_template="vicuna_v1.1")
worker.tokenizer, worker.context_len = Tokens(), 400
worker.init_heart_beat()
uvicorn.run(stock.app, host="127.0.0.1", port=port, log_level="warning")
'''


@asynccontextmanager
async def program(folder: Path, port: int, *command: str, **environment: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run a Python program until the block ends; it has begun when it listens on `port`."""
    log = folder / f"{port}.log"
    env = {"LOGDIR": "", "HOME": str(folder), **environment}
    with log.open("wb") as written:
        process = subprocess.Popen([sys.executable, *command], cwd=folder, stdout=written, stderr=written, env=env)
    try:
        async with asyncio.timeout(60):
            while not await _listens(port):
                assert process.poll() is None, log.read_text()
                await asyncio.sleep(0.05)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.to_thread(process.wait, 5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def stock_worker(folder: Path, controller: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    script = folder / "stock_worker.py"
    script.write_text(WORKER, encoding="utf-8")
    port = free_port()
    async with program(folder, port, str(script), controller, str(port)) as process:
        yield process


@asynccontextmanager
async def stock_controller(folder: Path) -> AsyncIterator[str]:
    port = free_port()
    command = ("-m", "fastchat.serve.controller", "--host", "127.0.0.1", "--port", str(port))
    async with program(folder, port, *command):
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def our_worker(folder: Path, controller: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """`python -m services.worker` with an echo model for each task."""
    configs = folder / "configs"
    configs.mkdir()
    served = {
        "echo": {"task": "chat", "engine": "echo", "options": {"pieces": 200, "delay_seconds": 0.01}},
        "echo-e": {"task": "embedding", "engine": "echo"},
    }
    models = {"default_chat": "echo", "default_embedding": "echo-e", "served": served}
    (configs / "models.yaml").write_text(json.dumps(models), encoding="utf-8")
    (configs / "server.yaml").write_text(json.dumps({"heartbeat_seconds": 0.2}), encoding="utf-8")
    port = free_port()
    flags = ("--models", *served, "--port", str(port), "--controller", controller)
    environment = {"PYTHONPATH": str(ROOT), "CHATCHAT_CONFIG_DIR": str(configs)}
    async with program(folder, port, "-m", "services.worker", *flags, **environment) as process:
        yield process


async def listed(client: openai.AsyncOpenAI, *models: str) -> None:
    """Wait until the gateway lists exactly these."""
    async with asyncio.timeout(10):
        while [model.id for model in (await client.models.list()).data] != list(models):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def gateway(controller: str) -> AsyncIterator[openai.AsyncOpenAI]:
    endpoint = Endpoint(port=1, public_url=controller)
    async with (
        serve(create_gateway(Settings(server=Server(controller=endpoint), models=Models(served={})))) as url,
        openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=10) as client,
    ):
        yield client


async def _drain(events: AsyncIterator[object]) -> None:
    async for _ in events:
        pass


def question(content: str) -> dict[str, Any]:
    return {"model": "stock-model", "messages": [{"role": "user", "content": content}]}


async def test_a_stock_worker_behind_our_controller_answers_through_our_gateway(tmp_path):
    async with (
        serve(create_controller(Server())) as controller,
        stock_worker(tmp_path, controller),
        gateway(controller) as client,
    ):
        assert [model.id for model in (await client.models.list()).data] == ["stock-model"]

        whole = await client.chat.completions.create(**question("hi"))
        assert whole.choices[0].message.content == "<hi> 你好"
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + len("<hi> 你好")

        options: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
        events = [event async for event in await client.chat.completions.create(**question("hi"), **options)]
        pieces = [event.choices[0].delta.content for event in events if event.choices]
        assert "".join(piece or "" for piece in pieces) == "<hi> 你好"
        assert len([piece for piece in pieces if piece]) > 3
        assert events[0].choices[0].delta.role == "assistant"
        assert events[-2].choices[0].finish_reason == "stop"
        assert events[-1].usage == whole.usage

        text = await client.completions.create(model="stock-model", prompt="raw")
        assert text.choices[0].text == "<raw> 你好"

        texts = ["a", "bb", "ccc", "dddd", "eeeee"]
        plain = await client.embeddings.create(model="stock-model", input=texts, encoding_format="float")
        assert [item.embedding for item in plain.data] == [[float(n), 0.5] for n in range(1, 6)]
        assert plain.usage.total_tokens == 5
        coded = await client.embeddings.with_raw_response.create(
            model="stock-model", input="a", encoding_format="base64"
        )
        packed = coded.http_response.json()["data"][0]["embedding"]
        assert struct.unpack("<2f", base64.b64decode(packed)) == (1.0, 0.5)

    assert {path.name for path in tmp_path.iterdir()} <= {"stock_worker.py", *(p.name for p in tmp_path.glob("*.log"))}


async def test_failures_of_a_stock_worker_are_named(tmp_path):
    async with (
        serve(create_controller(Server())) as controller,
        stock_worker(tmp_path, controller) as process,
        gateway(controller) as client,
    ):
        with pytest.raises(openai.BadRequestError) as long:
            await client.chat.completions.create(**question("x" * 500))
        assert long.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError) as tools:
            await client.chat.completions.create(
                **question("x"), tools=[{"type": "function", "function": {"name": "f"}}]
            )
        assert tools.value.param == "tools"
        with pytest.raises(openai.InternalServerError, match="out of memory"):
            await client.chat.completions.create(**question("fail"))
        stream = await client.chat.completions.create(**question("fail"), stream=True)
        with pytest.raises(openai.APIError, match="out of memory"):
            _ = [event async for event in stream]

        events = aiter(await client.chat.completions.create(**question("slow"), stream=True))
        assert [(await anext(events)).choices[0].delta.content for _ in range(2)] == ["", "<"]
        process.kill()
        with pytest.raises(openai.APIError, match="was lost while it answered"):
            await asyncio.wait_for(_drain(events), 5)
        with pytest.raises(openai.InternalServerError) as gone:
            await client.chat.completions.create(**question("hi"))
        assert (gone.value.status_code, gone.value.code) == (503, "service.unreachable")


async def test_our_control_wire_works_against_the_stock_controller(tmp_path):
    worker = RegisterWorker(
        worker_name="http://127.0.0.1:9",
        worker_status=WorkerStatus(model_names=["ours"], dialect="openai", tasks={"ours": "chat"}),
    )
    async with stock_controller(tmp_path) as controller, ControllerClient(controller) as client:
        assert not await client.renew(HeartBeat(worker_name=worker.worker_name))
        await client.register(worker)
        assert await client.renew(HeartBeat(worker_name=worker.worker_name, queue_length=2))
        assert await client.models() == ["ours"]
        found = await client.address("ours")
        assert (found.address, found.dialect) == ("http://127.0.0.1:9", "fastchat")
        assert (await client.address("absent")).address == ""
        with pytest.raises(ProviderFailed):
            await client.leases()
        await client.register(worker.model_copy(update={"worker_status": WorkerStatus(model_names=[])}))
        assert await client.models() == []


async def test_our_gateway_works_in_front_of_the_stock_controller_and_worker(tmp_path):
    async with (
        stock_controller(tmp_path) as controller,
        stock_worker(tmp_path, controller),
        gateway(controller) as client,
    ):
        assert [model.id for model in (await client.models.list()).data] == ["stock-model"]
        answer = await client.chat.completions.create(**question("hi"))
        assert answer.choices[0].message.content == "<hi> 你好"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(**question("hi") | {"model": "absent"})


async def test_the_stock_controllers_words_are_ours(tmp_path):
    """The same calls to both controllers get the same answers (ours may add fields)."""
    status = {"model_names": ["m"], "speed": 1, "queue_length": 0}
    calls = [
        ("/register_worker", {"worker_name": "http://127.0.0.1:9", "check_heart_beat": True, "worker_status": status}),
        ("/list_models", None),
        ("/list_language_models", None),
        ("/list_multimodal_models", None),
        ("/get_worker_address", {"model": "m"}),
        ("/get_worker_address", {"model": "absent"}),
        ("/receive_heart_beat", {"worker_name": "http://127.0.0.1:9", "queue_length": 0}),
        ("/receive_heart_beat", {"worker_name": "http://127.0.0.1:8", "queue_length": 0}),
    ]
    async with (
        serve(create_controller(Server())) as ours,
        stock_controller(tmp_path) as stock,
        httpx.AsyncClient() as http,
    ):
        for path, body in calls:
            expected = (await http.post(stock + path, json=body)).json()
            answered = (await http.post(ours + path, json=body)).json()
            if isinstance(expected, dict):
                answered = {name: answered[name] for name in expected}
            assert answered == expected, path
        assert (await http.get(f"{ours}/test_connection")).json() == (await http.get(f"{stock}/test_connection")).json()


@pytest.mark.parametrize("stock", [False, True], ids=["our controller", "stock controller"])
async def test_our_worker_answers_alike_behind_either_controller(tmp_path, stock):
    """Behind ours it is reached over OpenAI's wire, behind FastChat's (which keeps no dialect) over FastChat's."""
    ours_or_stock = stock_controller(tmp_path) if stock else serve(create_controller(Server()))
    async with ours_or_stock as controller, our_worker(tmp_path, controller) as worker, gateway(controller) as client:
        await listed(client, "echo", "echo-e")
        asked: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "你好 world"}]}
        whole = await client.chat.completions.create(**asked)
        assert whole.choices[0].message.content == "你好 world"
        stream = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        events = [event async for event in stream]
        assert "".join(event.choices[0].delta.content or "" for event in events if event.choices) == "你好 world"
        assert events[-1].usage == whole.usage
        vectors = (await client.embeddings.create(model="echo-e", input=["a", "b", "a"])).data
        assert vectors[0].embedding == vectors[2].embedding != vectors[1].embedding

        asked["messages"] = [{"role": "user", "content": "x" * 200}]
        events = aiter(await client.chat.completions.create(**asked, stream=True))
        await anext(events)
        await anext(events)
        worker.kill()
        with pytest.raises(openai.APIError, match="was lost while it answered"):
            await asyncio.wait_for(_drain(events), 5)


async def test_leaving_a_stream_frees_the_slot_of_our_worker(tmp_path):
    async with (
        serve(create_controller(Server())) as controller,
        our_worker(tmp_path, controller),
        gateway(controller) as client,
        ControllerClient(controller) as control,
        httpx.AsyncClient() as http,
    ):
        await listed(client, "echo", "echo-e")
        address = (await control.address("echo")).address
        asked: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "x" * 200}]}
        stream = await client.chat.completions.create(**asked, stream=True)
        await anext(aiter(stream))

        async def queue() -> int:
            length: int = (await http.post(f"{address}/worker_get_status")).json()["queue_length"]
            return length

        assert await queue() == 1
        await stream.close()
        async with asyncio.timeout(1):
            while await queue():
                await asyncio.sleep(0.01)
