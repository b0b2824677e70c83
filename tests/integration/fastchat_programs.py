"""FastChat's own programs as processes: controller, model worker, vLLM worker, OpenAI server. For tests and benches.

fschat 0.2.36 stands in `.venv-vllm` beside transformers 5, pydantic 2 and a vLLM that are all younger than it. What
breaks between them is mended from outside, in launchers written next to the logs; nothing of ours depends on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live import free_port

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm" / "bin" / "python"
CONTEXT_TOKENS = 1024
# None of FastChat's templates is the tiny model's own; this one needs no token the model lacks.
CONVERSATION = "vicuna_v1.1"
_START_SECONDS = 180.0
_STOP_SECONDS = 3.0  # FastChat's worker does not end while a request is pending
_QUIET = {
    "LOGDIR": "",  # else every program writes its log into the working folder
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "NO_PROXY": "localhost,127.0.0.1",
    "no_proxy": "localhost,127.0.0.1",
}
_VLLM = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "FASTCHAT_WORKER_API_TIMEOUT": "100",
}

# transformers 5 gives every config a `rope_scaling` without the `factor` that FastChat reads.
_MODEL_WORKER = """
import runpy

import fastchat.utils


def get_context_length(config):
    found = (getattr(config, key, None) for key in fastchat.utils.SEQUENCE_LENGTH_KEYS)
    return next((int(length) for length in found if length is not None), 2048)


fastchat.utils.get_context_length = get_context_length
runpy.run_module("fastchat.serve.model_worker", run_name="__main__", alter_sys=True)
"""

# pydantic 2 takes no `ensure_ascii` in `.json()`, which every streamed event goes through.
_OPENAI_SERVER = """
import json
import runpy

import pydantic
from fastchat.protocol import openai_api_protocol


def written(self, *, ensure_ascii=False, **options):
    return json.dumps(self.model_dump(mode="json", **options), ensure_ascii=ensure_ascii)


for found in list(vars(openai_api_protocol).values()):
    if isinstance(found, type) and issubclass(found, pydantic.BaseModel):
        found.json = written
runpy.run_module("fastchat.serve.openai_api_server", run_name="__main__", alter_sys=True)
"""

# Writes FastChat's vLLM worker anew with the lines changed that vLLM's present engine asks for.
_VLLM_WORKER = '''
import runpy
import sys
from pathlib import Path

import fastchat.serve

CHANGES = {
    "        self.tokenizer = llm_engine.engine.tokenizer\\n": "        self.tokenizer = llm_engine.get_tokenizer()\\n",
    """        if hasattr(self.tokenizer, "tokenizer"):
            self.tokenizer = llm_engine.engine.tokenizer.tokenizer
        self.context_len = get_context_length(llm_engine.engine.model_config.hf_config)
""": "        self.context_len = llm_engine.model_config.max_model_len\\n",
    'params.get("top_k", -1.0)': 'int(params.get("top_k", -1))',
    "            use_beam_search=use_beam_search,\\n": "",
    "            best_of=best_of,\\n": "",
    "parser = argparse.ArgumentParser()": "parser = FlexibleArgumentParser()",
    "from vllm.utils import random_uuid": """from vllm.utils import random_uuid
from vllm.utils.argparse_utils import FlexibleArgumentParser""",
}
source = (Path(fastchat.serve.__path__[0]) / "vllm_worker.py").read_text()
for old, new in CHANGES.items():
    assert source.count(old) == 1, old
    source = source.replace(old, new)
fixed = Path(__file__).with_name("fixed_vllm_worker.py")
fixed.write_text(source)
runpy.run_path(str(fixed), run_name="__main__")
'''


@dataclass(frozen=True)
class Program:
    """A running program.

    Attributes:
        url: where it listens.
        log: what it says.
    """

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid


@dataclass(frozen=True)
class FastChatStack:
    """FastChat's own path from an OpenAI client to a model."""

    controller: Program
    worker: Program
    server: Program

    @property
    def base_url(self) -> str:
        """What an OpenAI client is given."""
        return f"{self.server.url}/v1"

    @property
    def pids(self) -> dict[str, int]:
        return {program.name: program.pid for program in (self.controller, self.worker, self.server)}


@asynccontextmanager
async def running(
    name: str, command: Sequence[str], folder: Path, port: int, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Program]:
    """Run a program until the block ends; it has begun when it listens on `port`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{name}-{port}.log"
    env = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder), **_QUIET, **(environment or {})}  # noqa: TID251 - a child's
    with log.open("wb") as written:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdout=written, stderr=subprocess.STDOUT, start_new_session=True
        )
    program = Program(name, f"http://127.0.0.1:{port}", process, log)
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(port):
                assert process.poll() is None, f"{name} has ended:\n{log.read_text(errors='replace')[-4000:]}"
                await asyncio.sleep(0.1)
        yield program
    finally:
        await _end(process)


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and whatever it started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(process.wait, _STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # its own session: nobody else is in the group
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.to_thread(process.wait)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def _python() -> str:
    assert PYTHON.exists(), "FastChat's programs need .venv-vllm: run `make vllm`"
    return str(PYTHON)


def _launcher(folder: Path, name: str, source: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / f"{name}.py"
    script.write_text(source, encoding="utf-8")
    return [_python(), str(script)]


def _listen(port: int) -> list[str]:
    return ["--host", "127.0.0.1", "--port", str(port)]


def _join(port: int, controller: str, model: Path, name: str) -> list[str]:
    where = ["--worker-address", f"http://127.0.0.1:{port}", "--controller-address", controller]
    return [*where, "--model-path", str(model), "--model-names", name, "--conv-template", CONVERSATION]


@asynccontextmanager
async def fastchat_controller(folder: Path) -> AsyncIterator[Program]:
    """`fastchat.serve.controller`, as it is."""
    port = free_port()
    command = [_python(), "-m", "fastchat.serve.controller", *_listen(port)]
    async with running("fastchat-controller", command, folder, port) as program:
        yield program


@asynccontextmanager
async def fastchat_model_worker(
    folder: Path, controller: str, model: Path, *, name: str = "tiny", concurrency: int = 5
) -> AsyncIterator[Program]:
    """`fastchat.serve.model_worker` (transformers, CPU) over the model in a folder."""
    port = free_port()
    launcher = _launcher(folder, "model_worker_launcher", _MODEL_WORKER)
    more = ["--device", "cpu", "--limit-worker-concurrency", str(concurrency)]
    command = [*launcher, *_listen(port), *_join(port, controller, model, name), *more]
    async with running("fastchat-model-worker", command, folder, port) as program:
        yield program


@asynccontextmanager
async def fastchat_vllm_worker(
    folder: Path, controller: str, model: Path, *, name: str = "tiny"
) -> AsyncIterator[Program]:
    """`fastchat.serve.vllm_worker`, mended, on vLLM's CPU build: FastChat's fastest path."""
    port = free_port()
    launcher = _launcher(folder, "vllm_worker_launcher", _VLLM_WORKER)
    more = ["--distributed-executor-backend", "uni", "--enforce-eager", "--kv-cache-memory-bytes", "256M"]
    more += ["--max-model-len", str(CONTEXT_TOKENS)]
    command = [*launcher, *_listen(port), *_join(port, controller, model, name), *more]
    environment = {**_VLLM, "VLLM_CACHE_ROOT": str(folder / "vllm-cache")}
    async with running("fastchat-vllm-worker", command, folder, port, environment) as program:
        yield program


@asynccontextmanager
async def fastchat_openai_server(folder: Path, controller: str) -> AsyncIterator[Program]:
    """`fastchat.serve.openai_api_server`."""
    port = free_port()
    launcher = _launcher(folder, "openai_server_launcher", _OPENAI_SERVER)
    command = [*launcher, *_listen(port), "--controller-address", controller]
    async with running("fastchat-openai-server", command, folder, port) as program:
        yield program


@asynccontextmanager
async def fastchat_stack(folder: Path, model: Path, *, vllm: bool = False) -> AsyncIterator[FastChatStack]:
    """FastChat's whole path over the model in a folder: what ours is measured against. The model is named `tiny`."""
    async with AsyncExitStack() as opened:
        controller = await opened.enter_async_context(fastchat_controller(folder))
        chosen = fastchat_vllm_worker if vllm else fastchat_model_worker
        worker = await opened.enter_async_context(chosen(folder, controller.url, model))
        server = await opened.enter_async_context(fastchat_openai_server(folder, controller.url))
        yield FastChatStack(controller, worker, server)
