"""The ingest process checks by itself when the last check is long ago, over real SQLite."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.api.backstage import create_ingest_app
from services.api.bootstrap import Replacements
from services.api.domain.knowledge import ChunkId, EmbeddedChunk, FileId, FileState, KnowledgeBaseId
from services.api.knowledge.schedule import MARKER
from services.api.storage.database import SqlStorage
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.vector_store import MemoryStore
from tests.integration.api_bench import api_bench, settings_for

GONE = KnowledgeBaseId("e" * 32)


async def test_the_first_ingest_process_checks_when_it_is_time(tmp_path: Path):
    settings, vectors = settings_for(tmp_path, check_hours=1), MemoryStore()
    async with api_bench(settings, sqlite=True) as bench:  # its vectors are another store's, and lost with it
        await bench.filled()
    (tmp_path / MARKER).write_text((datetime.now(UTC) - timedelta(hours=2)).isoformat(), encoding="ascii")
    await vectors.upsert(GONE, [EmbeddedChunk(ChunkId("0" * 32), (1.0, 0.0))])
    storage = SqlStorage(settings.database_url)
    await storage.start()
    async with storage.begin() as work:
        (base,) = await work.knowledge_bases.all()
        (first, _) = await work.files.of_base(base.id)
        await work.files.save(dataclasses.replace(first, state=FileState.PENDING))

    async def states() -> dict[FileId, FileState]:
        async with storage.begin() as work:
            return {file.id: file.state for file in await work.files.of_base(base.id)}

    app = create_ingest_app(settings, replace=Replacements(vectors=vectors, embedder=FakeEmbedder()))
    async with app.router.lifespan_context(app), asyncio.timeout(30):
        while await vectors.bases() != {base.id} or set((await states()).values()) != {FileState.INDEXED}:
            await asyncio.sleep(0.05)
    async with storage.begin() as work:
        assert await vectors.ids(base.id) == await work.chunks.ids_of_base(base.id)
    await storage.stop()
