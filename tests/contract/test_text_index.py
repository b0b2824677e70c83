"""The text index contract, run against every variant on the shelf and against the fake."""

from __future__ import annotations

import pytest

from services.api.knowledge.text_index import TEXT_INDEXES
from services.api.knowledge.text_index.postgres.index import PostgresIndex
from services.api.knowledge.text_index.site import Site
from services.api.knowledge.text_index.sqlite_fts import SqliteFtsIndex
from tests.contract.text_index import TextIndexContract
from tests.fakes.text_index import MemoryTextIndex


@pytest.fixture(scope="module")
def loaded_tokenizer():
    """One dictionary for all tests: it takes most of a second to read."""
    from services.api.knowledge.text_index.tokens import Tokenizer

    tokenizer = Tokenizer()
    tokenizer.load()
    return tokenizer


class TestSqliteFts(TextIndexContract):
    @pytest.fixture
    async def index(self, tmp_path, loaded_tokenizer):
        made = TEXT_INDEXES.build("sqlite_fts", Site(tmp_path, ""), loaded_tokenizer)
        await made.start()
        yield made
        await made.stop()


class TestSqliteFtsOfALargeBase(TextIndexContract):
    """Where the rarest words of a question look for the chunks."""

    @pytest.fixture
    async def index(self, tmp_path, loaded_tokenizer):
        made = SqliteFtsIndex(Site(tmp_path, ""), loaded_tokenizer, weighed_chunks=1)
        await made.start()
        yield made
        await made.stop()


class TestPostgres(TextIndexContract):
    @pytest.fixture
    async def index(self, tmp_path, postgres_url, loaded_tokenizer):
        made = TEXT_INDEXES.build("postgres", Site(tmp_path, postgres_url), loaded_tokenizer)
        await made.start()
        yield made
        await made.stop()


class TestPostgresOfALargeBase(TextIndexContract):
    """Where the rarest words of a question look for the chunks."""

    @pytest.fixture
    async def index(self, tmp_path, postgres_url, loaded_tokenizer):
        made = PostgresIndex(Site(tmp_path, postgres_url), loaded_tokenizer, weighed_chunks=1)
        await made.start()
        yield made
        await made.stop()


class TestMemory(TextIndexContract):
    @pytest.fixture
    async def index(self):
        return MemoryTextIndex()
