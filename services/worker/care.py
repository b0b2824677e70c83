"""Health that means it: a model is well while it answers a tiny request and gets on with others. Used by hosting."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import cast

from services.foundation.errors import ChatchatError
from services.foundation.sse import closing
from services.wire.openai import ChatCompletionRequest, ChatMessage, EmbeddingRequest, RerankRequest
from services.worker.engines.base import ChatEngine, EmbeddingEngine, Engine, RerankEngine, ServerEngine, Vitals
from services.worker.hosted import HostedModel

_CANARY = "ping"
_PATIENCE_WITH_BATCHES = 10  # thousands of texts are one request, which shows nothing until all are embedded


@dataclass(frozen=True, slots=True)
class CareRules:
    """When a model counts as sick.

    Attributes:
        canary_seconds: an idle model is asked a tiny question this often; 0: never.
        canary_timeout_seconds: it must have answered by then.
        stall_seconds: a busy model must get on with something in this time, and a server must say how it is.
        look_seconds: how often it is looked at.
    """

    canary_seconds: float = 30.0
    canary_timeout_seconds: float = 60.0
    stall_seconds: float = 120.0
    look_seconds: float = 1.0


async def sickness(model: HostedModel, rules: CareRules) -> str:
    """Watch a started model until it is sick; the sentence says of what."""
    watches = [asyncio.create_task(_watch(model, rules))]
    if isinstance(model.engine, ServerEngine):
        watches.append(asyncio.create_task(model.engine.ended()))
    try:
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)


async def _watch(model: HostedModel, rules: CareRules) -> str:
    looked = active = time.monotonic()
    while True:
        await asyncio.sleep(rules.look_seconds)
        try:
            vitals = await model.look()
        except ChatchatError as failure:
            if time.monotonic() - looked > rules.stall_seconds:
                return f"it has not said how it is for {rules.stall_seconds:g} seconds: {failure}"
            continue
        looked = time.monotonic()
        if _is_stalled(model, vitals, rules):
            return (
                f"{vitals.running} requests were running without any progress for {vitals.silent_seconds:.0f} seconds"
            )
        if vitals.running or vitals.waiting:
            active = looked
        elif rules.canary_seconds and model.is_local and looked - active >= rules.canary_seconds:
            failed = await _canary(model, rules)
            if failed:
                return failed
            active = time.monotonic()


def _is_stalled(model: HostedModel, vitals: Vitals, rules: CareRules) -> bool:
    patience = 1 if model.task == "chat" or isinstance(model.engine, ServerEngine) else _PATIENCE_WITH_BATCHES
    return bool(vitals.running) and vitals.silent_seconds > rules.stall_seconds * patience


async def _canary(model: HostedModel, rules: CareRules) -> str:
    """Empty when the model answered."""
    try:
        async with asyncio.timeout(rules.canary_timeout_seconds):
            await _ask(model.name, model.task, model.engine)
    except TimeoutError:
        return f"it did not answer a tiny request within {rules.canary_timeout_seconds:g} seconds"
    except Exception as failure:  # noqa: BLE001 - whatever it is, the model cannot answer; the caller logs it
        return f"it could not answer a tiny request: {type(failure).__name__}: {failure}"
    return ""


async def _ask(name: str, task: str, engine: Engine) -> None:
    if isinstance(engine, ServerEngine):
        await engine.answer_canary()
    elif task == "embedding":
        await cast("EmbeddingEngine", engine).embed(EmbeddingRequest(model=name, input=_CANARY))
    elif task == "rerank":
        await cast("RerankEngine", engine).rerank(RerankRequest(model=name, query=_CANARY, documents=[_CANARY]))
    else:
        asked = ChatCompletionRequest(model=name, messages=[ChatMessage(role="user", content=_CANARY)], max_tokens=1)
        chunks = cast("ChatEngine", engine).chat(asked)
        async with closing(chunks):
            async for _ in chunks:
                pass
