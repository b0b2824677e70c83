"""vLLM alone, through the gateway, through FastChat's own path, in one run. `python -m tests.bench.serving [--write]`.

The model is the tests' tiny one, so that the fronts are seen and not the engine. FastChat's path is its own
openai_api_server and its vllm_worker, mended to start at all (tests/integration/fastchat_programs.py), on its own vLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import httpx
import uvloop
import yaml

from tests.bench.report import publish
from tests.bench.serving import cells
from tests.bench.serving.engines import FIELDS, TOKENS
from tests.bench.serving.load import Ask
from tests.bench.serving.load import Path as Way
from tests.bench.serving.processes import Plane
from tests.integration.fastchat_programs import fastchat_stack
from tests.stack import ROOT
from tests.tiny_models import CONTEXT_TOKENS, make_chat_model

PROMPT = "Tell me about the sea, the wind and the stars."


def served(weights: Path) -> dict[str, Any]:
    """The tiny model by vLLM, in the profile for machines without a GPU that the product ships."""
    shipped = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    options = {**shipped["profiles"]["cpu"]["vllm"], "path": str(weights)}
    return {"tiny": {"task": "chat", "engine": "vllm", "context_tokens": CONTEXT_TOKENS, "options": options}}


def _engine_address(plane: Plane) -> str:
    leases = httpx.get(f"{plane.url('controller')}/leases", trust_env=False).json()["leases"]
    return str(next(lease["worker"] for lease in leases if "tiny" in lease["status"]["model_names"]))


async def _measured(plane: Plane, weights: Path, plan: cells.Rounds, *, default_worker: bool) -> list[list[cells.Cell]]:
    engine = plane.pids["tiny"]
    gateway = {"engine": [engine], "gateway": [plane.pids["gateway"]], "controller": [plane.pids["controller"]]}
    folder = weights.with_name("fastchat")
    folder.mkdir()
    async with fastchat_stack(folder, weights, vllm=not default_worker) as fastchat:
        ways = [
            Way("engine alone", _engine_address(plane), "tiny", {"engine": [engine]}),
            Way("through the gateway", plane.url("gateway"), "tiny", gateway),
            Way(
                "FastChat's own" + (", model_worker" * default_worker),
                fastchat.server.url,
                "tiny",
                {name: [pid] for name, pid in fastchat.pids.items()},
            ),
        ]
        return await cells.rounds(ways, Ask(PROMPT, FIELDS), plan)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--default-worker", action="store_true", help="FastChat's path by its model_worker, which batches nothing"
    )
    parser.add_argument("--write", action="store_true", help="append the figures to docs/benchmarks.md")
    arguments = parser.parse_args()
    plan = cells.Rounds(arguments.streams, arguments.rounds, arguments.seconds)
    with tempfile.TemporaryDirectory() as folder:
        weights = make_chat_model(Path(folder) / "tiny")
        settings = Path(folder) / "plane"
        settings.mkdir()
        with (
            Plane(settings, served(weights)).running() as plane,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            found = runner.run(_measured(plane, weights, plan, default_worker=arguments.default_worker))
    publish(
        f"vLLM and its fronts: streams of {TOKENS} tokens",
        "python -m tests.bench.serving",
        cells.report(found),
        write=arguments.write,
    )


if __name__ == "__main__":
    main()
