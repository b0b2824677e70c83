"""What the tests of the transformers engine share: requests, and engines over a model that is loaded once."""

from __future__ import annotations

from pathlib import Path

from services.wire.openai import ChatChunk, ChatCompletionRequest
from services.worker.engines.local.transformers.engine import TransformersEngine
from services.worker.engines.local.transformers.loading import Loaded, load_model
from services.worker.engines.local.transformers.options import read_transformers_options
from tests.contract.engine import MODEL, spec

SEED = {"seed": 7, "temperature": 1.0}
"""Random weights choose one token for ever; drawn at random from their probabilities the tokens differ."""


def load(folder: Path, **options: object) -> Loaded:
    chosen = spec(path=str(folder), dtype="float32", **options)
    return load_model(chosen, read_transformers_options(chosen))


async def started(loaded: Loaded, **options: object) -> TransformersEngine:
    """An engine that need not load anew what other tests have loaded."""
    engine = TransformersEngine(spec(path="loaded", **options), load=lambda *_: loaded)
    await engine.start()
    return engine


def asking(content: object = "What lies in the north?", **fields: object) -> ChatCompletionRequest:
    messages = [{"role": "user", "content": content}]
    return ChatCompletionRequest.model_validate({"model": MODEL, "messages": messages, **SEED, **fields})


def usage_of(chunks: list[ChatChunk]) -> tuple[int, int]:
    usage = chunks[-1].usage
    assert usage is not None
    return usage.prompt_tokens, usage.completion_tokens


def user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}
