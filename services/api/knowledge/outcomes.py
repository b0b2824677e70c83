"""What became of files that were asked for together: a sentence for each that failed. Used by the routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from pydantic import JsonValue

from services.api.domain.knowledge import FileState, KnowledgeFile
from services.api.knowledge.render import failure_sentence
from services.foundation.errors import ChatchatError
from services.foundation.http import sentence

log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[KnowledgeFile | None]]


async def failures(work: Sequence[tuple[str, Work]], language: str) -> dict[str, JsonValue]:
    """Do the work for every file at once, of one name in the order given; a sentence for each file that failed."""

    async def outcome(name: str, do: Work) -> str | None:
        try:
            file = await do()
        except ChatchatError as failure:
            return sentence(failure, language)
        except Exception as failure:
            log.exception("file %r failed", name)
            return sentence(ChatchatError(reason=type(failure).__name__), language)
        if file is not None and file.state is FileState.FAILED:
            return failure_sentence(file, language)
        return None

    async def outcomes(name: str) -> list[str]:
        said = [await outcome(name, do) for other, do in work if other == name]
        return [sentence for sentence in said if sentence is not None]

    names = list(dict.fromkeys(name for name, _ in work))
    found = await asyncio.gather(*(outcomes(name) for name in names))
    return {name: " ".join(sentences) for name, sentences in zip(names, found, strict=True) if sentences}
