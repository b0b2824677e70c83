"""What every VectorStore must do."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from services.api.domain.knowledge import ChunkId, EmbeddedChunk, KnowledgeBaseId, Vector
from services.api.domain.ports import VectorStore
from services.foundation.errors import EmbedderChanged

BASE = KnowledgeBaseId("a" * 32)
OTHER = KnowledgeBaseId("b" * 32)
DIMENSIONS = 8


def chunk_id(number: int) -> ChunkId:
    return ChunkId(f"{number:032x}")


def unit(seed: int, dimensions: int = DIMENSIONS) -> Vector:
    source = random.Random(seed)  # noqa: S311 - repeatable, not secret
    raw = [source.gauss(0, 1) for _ in range(dimensions)]
    length = math.hypot(*raw)
    return tuple(value / length for value in raw)


def make(numbers) -> list[EmbeddedChunk]:
    return [EmbeddedChunk(chunk_id(number), unit(number)) for number in numbers]


class VectorStoreContract:
    """Inherit it and supply the fixture `store`, started and empty of BASE and OTHER."""

    @pytest.fixture
    async def store(self) -> VectorStore:
        raise NotImplementedError

    async def test_the_nearest_comes_first(self, store):
        await store.upsert(BASE, make(range(50)))
        found = await store.search(BASE, unit(7), limit=5)
        assert found[0].id == chunk_id(7)
        assert found[0].similarity == pytest.approx(1, abs=1e-5)
        assert len(found) == 5
        assert [match.similarity for match in found] == sorted((match.similarity for match in found), reverse=True)

    @pytest.mark.parametrize("count", [0, 1, 5, 40, 1200])
    async def test_only_those_named_are_found(self, store, count):
        await store.upsert(BASE, make(range(1500)))
        among = frozenset(chunk_id(number) for number in range(1, 1 + count))
        found = await store.search(BASE, unit(7), limit=10, among=among)
        assert {match.id for match in found} <= among
        assert len(found) == min(10, count)
        if count >= 7:
            assert found[0].id == chunk_id(7)

    async def test_an_id_that_is_not_kept_is_not_found(self, store):
        await store.upsert(BASE, make(range(5)))
        found = await store.search(BASE, unit(1), limit=5, among=frozenset({chunk_id(1), chunk_id(99)}))
        assert [match.id for match in found] == [chunk_id(1)]

    async def test_similarity_is_the_cosine_clipped_at_zero(self, store):
        north, west, south = (1.0, 0.0), (0.6, 0.8), (-1.0, 0.0)
        directions = [EmbeddedChunk(chunk_id(n), vector) for n, vector in enumerate((north, west, south))]
        await store.upsert(BASE, directions)
        found = {match.id: match.similarity for match in await store.search(BASE, north, limit=3)}
        assert found == {
            chunk_id(0): pytest.approx(1, abs=1e-5),
            chunk_id(1): pytest.approx(0.6, abs=1e-5),
            chunk_id(2): 0,
        }

    async def test_upsert_twice_changes_nothing(self, store):
        for _ in range(2):
            await store.upsert(BASE, make(range(10)))
        assert await store.ids(BASE) == {chunk_id(number) for number in range(10)}
        found = await store.search(BASE, unit(3), limit=100)
        assert len({match.id for match in found}) == len(found) == 10

    async def test_upsert_replaces_the_vector(self, store):
        await store.upsert(BASE, make(range(10)))
        await store.upsert(BASE, [EmbeddedChunk(chunk_id(3), unit(999))])
        assert (await store.search(BASE, unit(999), limit=1))[0].id == chunk_id(3)
        assert (await store.search(BASE, unit(3), limit=1))[0].similarity < 0.999

    async def test_one_call_may_hold_an_id_twice(self, store):
        await store.upsert(BASE, [EmbeddedChunk(chunk_id(1), unit(1)), EmbeddedChunk(chunk_id(1), unit(2))])
        (found,) = await store.search(BASE, unit(2), limit=5)
        assert found.similarity == pytest.approx(1, abs=1e-5)

    async def test_what_is_removed_is_not_found(self, store):
        await store.upsert(BASE, make(range(10)))
        await store.remove(BASE, [chunk_id(3), chunk_id(4), chunk_id(777)])
        assert chunk_id(3) not in {match.id for match in await store.search(BASE, unit(3), limit=10)}
        assert len(await store.ids(BASE)) == 8
        await store.remove(BASE, [chunk_id(3)])
        await store.remove(OTHER, [chunk_id(3)])
        await store.remove(BASE, [])

    async def test_all_may_be_removed_and_come_back(self, store):
        await store.upsert(BASE, make(range(5)))
        await store.remove(BASE, [chunk_id(number) for number in range(5)])
        assert await store.search(BASE, unit(1), limit=5) == []
        assert await store.ids(BASE) == set()
        await store.upsert(BASE, make([1]))
        assert await store.ids(BASE) == {chunk_id(1)}

    async def test_one_base_does_not_see_another(self, store):
        await store.upsert(BASE, make(range(3)))
        await store.upsert(OTHER, make(range(2, 5)))
        await store.remove(BASE, [chunk_id(2), chunk_id(4)])
        assert await store.ids(OTHER) == {chunk_id(2), chunk_id(3), chunk_id(4)}
        assert {match.id for match in await store.search(BASE, unit(4), limit=9)} == {chunk_id(0), chunk_id(1)}

    async def test_a_dropped_base_is_empty_and_may_take_another_length(self, store):
        await store.upsert(BASE, make(range(3)))
        await store.upsert(OTHER, make(range(3)))
        await store.drop(BASE)
        assert await store.ids(BASE) == set()
        assert await store.search(BASE, unit(1), limit=3) == []
        await store.upsert(BASE, [EmbeddedChunk(chunk_id(1), unit(1, 16))])
        assert (await store.search(BASE, unit(1, 16), limit=3))[0].id == chunk_id(1)
        assert len(await store.ids(OTHER)) == 3
        await store.drop(KnowledgeBaseId("c" * 32))

    async def test_an_unknown_base_is_empty(self, store):
        assert await store.search(BASE, unit(1), limit=3) == []
        assert await store.ids(BASE) == set()
        await store.upsert(BASE, [])
        assert await store.ids(BASE) == set()

    async def test_it_names_the_bases_it_keeps_anything_of(self, store):
        assert await store.bases() == set()
        await store.upsert(BASE, make(range(3)))
        await store.upsert(OTHER, make(range(3)))
        await store.remove(OTHER, [chunk_id(number) for number in range(3)])
        assert await store.bases() == {BASE, OTHER}
        await store.drop(BASE)
        assert await store.bases() == {OTHER}

    async def test_another_length_is_refused_and_nothing_is_written(self, store):
        await store.upsert(BASE, make(range(3)))
        with pytest.raises(EmbedderChanged) as refused:
            await store.upsert(BASE, [*make([7]), EmbeddedChunk(chunk_id(8), unit(8, 16))])
        assert refused.value.facts == {"name": BASE, "model": "", "expected": DIMENSIONS, "actual": 16}
        with pytest.raises(EmbedderChanged):
            await store.search(BASE, unit(1, 16), limit=3)
        assert len(await store.ids(BASE)) == 3

    async def test_limits(self, store):
        await store.upsert(BASE, make(range(20)))
        assert await store.search(BASE, unit(1), limit=0) == []
        assert len(await store.search(BASE, unit(1), limit=7)) == 7
        assert len(await store.search(BASE, unit(1), limit=100_000)) == 20

    async def test_thousands(self, store):
        await store.upsert(BASE, make(range(2500)))
        assert len(await store.ids(BASE)) == 2500
        await store.remove(BASE, [chunk_id(number) for number in range(1, 2500)])
        assert await store.ids(BASE) == {chunk_id(0)}

    async def test_writers_and_readers_at_once(self, store):
        await store.upsert(BASE, make([10_000]))

        async def write(part: int) -> None:
            for batch in range(4):
                first = part * 100 + batch * 10
                await store.upsert(BASE, make(range(first, first + 10)))
                await store.remove(BASE, [chunk_id(first)])

        async def read() -> None:
            for _ in range(8):
                assert await store.search(BASE, unit(10_000), limit=1)

        await asyncio.gather(*(write(part) for part in range(4)), read(), read())
        assert len(await store.ids(BASE)) == 4 * 4 * 9 + 1
