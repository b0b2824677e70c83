"""MilvusStore over the real thing: restarts, death in mid-write, second processes, and a server by URI."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest

from services.api.domain.knowledge import KnowledgeBaseId
from services.api.knowledge.vector_stores.milvus.store import MilvusStore
from services.foundation.errors import InvalidSetting, StoreFailed
from tests.contract.vector_store import BASE, OTHER, VectorStoreContract, chunk_id, make, unit
from tests.live import free_port

_WRITER = """
import asyncio, sys
from pathlib import Path
from services.api.knowledge.vector_stores.milvus.store import MilvusStore
from tests.contract.vector_store import BASE, make

async def main():
    store = MilvusStore(Path(sys.argv[1]), {})
    await store.start()
    print("ready", flush=True)
    for batch in range(int(sys.argv[2]), 10_000):
        await store.upsert(BASE, make(range(batch * 20, batch * 20 + 20)))
        print(batch, flush=True)

asyncio.run(main())
"""


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "vectors.milvus"


@asynccontextmanager
async def opened(folder, **options):
    store = MilvusStore(folder, options)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@asynccontextmanager
async def writer(folder, first: int):
    """A process that writes batch after batch and says so after each."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(folder), str(first), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_what_was_written_is_there_after_a_restart_in_the_same_process(folder):
    async with opened(folder) as store:
        await store.upsert(BASE, make(range(300)))
        await store.remove(BASE, [chunk_id(5)])
        await store.upsert(OTHER, make(range(2)))
        await store.drop(OTHER)
    for _ in range(2):
        async with opened(folder) as store:
            assert len(await store.ids(BASE)) == 299
            assert (await store.search(BASE, unit(9), limit=1))[0].id == chunk_id(9)
            assert await store.ids(OTHER) == set()


async def test_four_writers_and_two_readers_lose_nothing(folder):
    async with opened(folder) as store:
        await store.upsert(BASE, make([100_000]))

        async def write(part: int) -> None:
            for batch in range(15):
                first = part * 1000 + batch * 50
                await store.upsert(BASE, make(range(first, first + 50)))
                assert (await store.search(BASE, unit(first), limit=1))[0].id == chunk_id(first)

        async def read() -> None:
            for _ in range(40):
                assert (await store.search(BASE, unit(100_000), limit=1))[0].id == chunk_id(100_000)

        await asyncio.gather(*(write(part) for part in range(4)), read(), read())
        assert len(await store.ids(BASE)) == 4 * 15 * 50 + 1


async def test_every_acknowledged_batch_survives_kill_9(folder):
    acknowledged: set[int] = set()
    for round_ in range(3):
        async with writer(folder, round_ * 1000) as process:
            while len(acknowledged) < (round_ + 1) * 12:
                acknowledged.add(int(await process.stdout.readline()))
            await asyncio.sleep(0.01 * round_)
            process.kill()
            rest = await process.stdout.read()
            acknowledged |= {int(line) for line in rest.split(b"\n")[:-1]}
        async with opened(folder) as store:
            kept = await store.ids(BASE)
            missing = [b for b in acknowledged if not kept >= {chunk_id(n) for n in range(b * 20, b * 20 + 20)}]
            assert missing == []
            assert len(kept) % 20 == 0
            some = max(acknowledged) * 20
            assert (await store.search(BASE, unit(some), limit=1))[0].id == chunk_id(some)


async def test_a_torn_index_file_is_built_anew(folder):
    async with opened(folder) as store:
        await store.upsert(BASE, make(range(50)))
    async with opened(folder) as store:  # Lite writes the index file when it loads what has none
        assert len(await store.ids(BASE)) == 50
    files = list(folder.rglob("*.idx"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    async with opened(folder) as store:
        assert len(await store.ids(BASE)) == 50
        assert (await store.search(BASE, unit(7), limit=1))[0].id == chunk_id(7)


async def test_a_second_process_is_told_who_holds_the_folder(folder):
    async with writer(folder, 0):
        with pytest.raises(StoreFailed, match=r"'vectors\.milvus' is in use by another process"):
            await MilvusStore(folder, {}).start()
    async with opened(folder) as store:
        assert isinstance(await store.ids(BASE), set)


async def test_a_cancelled_write_is_finished_and_hurts_no_other(folder):
    async with opened(folder) as store:
        await store.upsert(BASE, make(range(10)))
        task = asyncio.create_task(store.upsert(BASE, make(range(1000, 2000))))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, store.upsert(BASE, make(range(10, 20))), return_exceptions=True)
        await store.upsert(BASE, make(range(20, 30)))
        assert len(await store.ids(BASE)) in {30, 1030}


async def test_only_a_generated_id_becomes_a_collection(folder):
    async with opened(folder) as store:
        with pytest.raises(StoreFailed, match="not a generated one"):
            await store.ids(KnowledgeBaseId("名字"))


async def test_a_store_that_was_not_started_says_so(folder):
    with pytest.raises(StoreFailed, match="not been started"):
        await MilvusStore(folder, {}).ids(BASE)


@pytest.mark.parametrize("options", [{"m": 1}, {"index": "NONSENSE"}, {"uri": "file.db"}, {"consistency": "Strong"}])
def test_a_wrong_option_is_named(folder, options):
    with pytest.raises(InvalidSetting, match=rf"knowledge\.vector_store\.options\.{next(iter(options))}"):
        MilvusStore(folder, options)


async def test_a_proxy_in_the_environment_is_not_asked(folder, monkeypatch):
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with opened(folder) as store:
        await store.upsert(BASE, make([1]))
        assert await store.ids(BASE) == {chunk_id(1)}


async def test_a_server_that_is_absent_is_reported(folder):
    with pytest.raises(StoreFailed, match="connecting"):
        await MilvusStore(folder, {"uri": f"http://127.0.0.1:{free_port()}", "timeout_seconds": 1}).start()


class TestServer(VectorStoreContract):
    """The contract over a Milvus reached by URI: Lite's own server as a process of its own."""

    @pytest.fixture
    async def store(self, tmp_path):
        port = free_port()
        program = "from milvus_lite.cmdline import main; main()"
        arguments = ("server", "--data-dir", str(tmp_path), "--host", "127.0.0.1", "--port", str(port))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program,
            *arguments,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        store = MilvusStore(tmp_path / "unused", {"uri": f"http://127.0.0.1:{port}"})
        await store.start()
        yield store
        await store.stop()
        process.kill()
        await process.wait()
