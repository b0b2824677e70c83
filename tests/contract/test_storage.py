"""The storage contract, run against SQLite, PostgreSQL and the fake."""

from __future__ import annotations

import pytest

from services.api.storage.database import SqlStorage
from tests.contract.job_storage import JobStorageContract
from tests.contract.portable_storage import PortableStorageContract
from tests.contract.storage import StorageContract
from tests.contract.summary_storage import SummaryStorageContract
from tests.contract.temporary_storage import TemporaryStorageContract
from tests.fakes.storage import MemoryStorage


class Everything(
    StorageContract, PortableStorageContract, JobStorageContract, SummaryStorageContract, TemporaryStorageContract
):
    __test__ = False


class TestSqlite(Everything):
    __test__ = True

    @pytest.fixture
    async def storage(self, tmp_path):
        opened = SqlStorage(f"sqlite+aiosqlite:///{tmp_path / 'info.db'}")
        await opened.start()
        yield opened
        await opened.stop()


class TestPostgres(Everything):
    __test__ = True

    @pytest.fixture
    async def storage(self, postgres_url):
        opened = SqlStorage(postgres_url)
        await opened.start()
        yield opened
        await opened.stop()


class TestMemory(Everything):
    __test__ = True

    @pytest.fixture
    async def storage(self):
        return MemoryStorage()
