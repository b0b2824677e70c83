"""The vector store contract, run against every variant on the shelf and against the fake."""

from __future__ import annotations

import pytest

from services.api.knowledge.vector_stores import VECTOR_STORES
from tests.contract.vector_store import BASE, OTHER, VectorStoreContract
from tests.fakes.vector_store import MemoryStore


@pytest.mark.enable_socket
class TestMilvusLite(VectorStoreContract):
    @pytest.fixture
    async def store(self, tmp_path):
        made = VECTOR_STORES.build("milvus", tmp_path / "vectors.milvus", {})
        await made.start()
        yield made
        for base in (BASE, OTHER):
            await made.drop(base)
        await made.stop()


class TestMemory(VectorStoreContract):
    @pytest.fixture
    async def store(self):
        return MemoryStore()
