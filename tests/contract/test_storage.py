"""The storage contract, run against SQLite and against the fake."""

from __future__ import annotations

import pytest

from services.api.storage.database import SqlStorage
from tests.contract.job_storage import JobStorageContract
from tests.contract.storage import StorageContract
from tests.contract.summary_storage import SummaryStorageContract
from tests.contract.temporary_storage import TemporaryStorageContract
from tests.fakes.storage import MemoryStorage


class TestSqlite(StorageContract, JobStorageContract, SummaryStorageContract, TemporaryStorageContract):
    @pytest.fixture
    async def storage(self, tmp_path):
        opened = SqlStorage(f"sqlite+aiosqlite:///{tmp_path / 'info.db'}")
        await opened.start()
        yield opened
        await opened.stop()


class TestMemory(StorageContract, JobStorageContract, SummaryStorageContract, TemporaryStorageContract):
    @pytest.fixture
    async def storage(self):
        return MemoryStorage()
