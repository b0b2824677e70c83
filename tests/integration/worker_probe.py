"""What the worker's tests say to it, ask of it and wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import openai


async def until(fact: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await fact():
            await asyncio.sleep(0.01)


def said(text: str) -> list[openai.types.chat.ChatCompletionUserMessageParam]:
    return [{"role": "user", "content": text}]


async def queue_length(url: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        length: int = (await http.post(f"{url}/worker_get_status")).json()["queue_length"]
        return length
