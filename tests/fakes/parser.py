"""InlineParser: reads and cuts in a thread of this process, by whatever loaders and splitters a test gives it."""

from __future__ import annotations

import asyncio

from services.api.domain.knowledge import Parsed, SourceFile, SplitterChoice
from services.api.domain.ports import Loader, Splitter
from services.foundation.errors import EmptyFile
from services.foundation.registry import Registry


class InlineParser:
    """No limits, no processes; the rest of the `Parser` contract. `read`: the names of the files it was given."""

    def __init__(self, loaders: Registry[Loader], splitters: Registry[Splitter]) -> None:
        self._loaders = loaders
        self._splitters = splitters
        self.read: list[str] = []

    async def parse(self, file: SourceFile, splitter: SplitterChoice) -> Parsed:
        self.read.append(file.name.value)
        return await asyncio.to_thread(self._parse, file, splitter)

    async def stop(self) -> None:
        """Nothing is kept."""

    def _parse(self, file: SourceFile, choice: SplitterChoice) -> Parsed:
        loader = self._loaders.build(file.name.extension)
        document = loader.load(file)
        splitter = self._splitters.build(choice.name, **choice.options)
        passages = splitter.split(document)
        if not passages:
            raise EmptyFile(file=file.name.value, reason="no text was found in it")
        return Parsed(tuple(passages), document.warnings, type(loader).__name__, type(splitter).__name__)
