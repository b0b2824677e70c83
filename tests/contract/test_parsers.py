"""The parser of the product and the fake, by one contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.api.knowledge.loaders import LOADERS
from services.api.knowledge.parsing.pool import ParserPool, ParsingLimits
from services.api.knowledge.splitters import SPLITTERS
from tests.contract.parser import ParserContract
from tests.fakes.parser import InlineParser


class TestParserPool(ParserContract):
    @pytest.fixture
    async def parser(self, tmp_path: Path) -> AsyncIterator[ParserPool]:
        pool = ParserPool(ParsingLimits(30.0, 60.0, 1_000_000_000), tmp_path / "scratch")
        yield pool
        await pool.stop()


class TestInlineParser(ParserContract):
    @pytest.fixture
    def parser(self) -> InlineParser:
        return InlineParser(LOADERS, SPLITTERS)
