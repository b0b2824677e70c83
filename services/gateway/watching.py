"""Work for a client, given up at once when the client leaves. Used by the inference routes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import cast

from starlette.types import Receive


async def until_gone(receive: Receive, work: Coroutine[None, None, None]) -> None:
    """Do `work`; when the client leaves first, cancel it and return. What it raises is raised here.

    Args:
        receive: of a request whose body has been read.
        work: what the client waits for; it is done in the task that calls.
    """
    working = cast("asyncio.Task[None]", asyncio.current_task())  # what a server runs is run by a task
    watch = asyncio.create_task(_cancel_when_gone(receive, working))
    try:
        await work
    except asyncio.CancelledError:
        left = watch.done() and not watch.cancelled()
        if not left or working.uncancel():  # the server wants to stop, too
            raise
    finally:
        watch.cancel()


async def _cancel_when_gone(receive: Receive, working: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    working.cancel()
