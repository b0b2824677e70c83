"""Work for a client, given up at once when the client leaves. Used by the inference routes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from starlette.types import Receive


async def until_gone(receive: Receive, work: Coroutine[None, None, None]) -> None:
    """Do `work`; when the client leaves first, cancel it and return. What it raises is raised here.

    Args:
        receive: of a request whose body has been read.
        work: what the client waits for.
    """
    working = asyncio.ensure_future(work)
    watch = asyncio.create_task(_client_gone(receive))
    watch.add_done_callback(lambda _: working.cancel())
    try:
        await working
    except asyncio.CancelledError:
        left = watch.done() and not watch.cancelled()
        if not left:
            working.cancel()
            raise
    finally:
        watch.cancel()


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
