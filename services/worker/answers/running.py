"""One request against an engine: holds its slot, stops the work when the client goes. Used by the routes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack
from typing import TypeVar

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from services.foundation.http import while_connected
from services.worker.slots import Slots

T = TypeVar("T")


async def answer(request: Request, slots: Slots, work: Callable[[], Coroutine[None, None, T]]) -> T:
    """Do `work` in a slot, unless the client goes away first."""

    async def in_slot() -> T:
        async with slots.hold():
            return await work()

    return await while_connected(request, in_slot())


async def stream(
    request: Request,
    slots: Slots,
    items: AsyncGenerator[T, None],
    respond: Callable[[AsyncGenerator[T, None]], Response],
) -> Response:
    """Take a slot, wait for the first item, and let `respond` stream them all.

    A failure before the first item is raised here and gets its true status. Slot and iterator are released when the
    response is over, however it ends: even when the client goes before the first byte is written.
    """
    held = AsyncExitStack()

    async def opened() -> list[T]:
        await held.enter_async_context(slots.hold())
        held.push_async_callback(items.aclose)
        async for item in items:
            return [item]
        return []

    async def replayed(first: list[T]) -> AsyncGenerator[T, None]:
        for item in first:
            yield item
        async for item in slots.watch(items):
            yield item

    async with AsyncExitStack() as unless_answered:
        unless_answered.push_async_exit(held)
        first = await while_connected(request, opened())
        unless_answered.pop_all()
    return _Releasing(respond(replayed(first)), held)


class _Releasing(Response):
    """A response that releases what it holds when it is over."""

    def __init__(self, inner: Response, held: AsyncExitStack) -> None:
        super().__init__(status_code=inner.status_code)
        self._inner = inner
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await self._inner(scope, receive, send)
