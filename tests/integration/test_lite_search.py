"""Lite's search without a walk over every key finds what Lite's own finds, whatever was written in whatever order."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from milvus_lite.db import MilvusLite
from milvus_lite.engine import collection as engine
from milvus_lite.engine.collection import Collection
from milvus_lite.schema.types import CollectionSchema, DataType, FieldSchema
from milvus_lite.search.executor_indexed import execute_search_with_index as walking_search

from services.api.knowledge.vector_stores.milvus import lite_search

WIDTH = 8
SCHEMA = CollectionSchema(
    fields=[
        FieldSchema(name="id", dtype=DataType.VARCHAR, is_primary=True, max_length=32),
        FieldSchema(name="vector", dtype=DataType.FLOAT_VECTOR, dim=WIDTH),
    ]
)
HNSW = {"index_type": "HNSW", "metric_type": "COSINE", "params": {"M": 16, "efConstruction": 64}}
KEYS = st.lists(st.integers(0, 30), min_size=1, max_size=12, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), KEYS), st.tuples(st.just("delete"), KEYS), st.tuples(st.just("flush"), st.just([]))
    ),
    min_size=1,
    max_size=14,
)


@contextmanager
def collection(*, indexed: bool) -> Iterator[Collection]:
    with tempfile.TemporaryDirectory() as folder:
        database = MilvusLite(str(Path(folder) / "milvus.db"))
        made = database.create_collection("kb", SCHEMA)
        if indexed:
            made.create_index("vector", HNSW)
        made.load()
        try:
            yield made
        finally:
            database.close()


def both(collection: Collection, monkeypatch: pytest.MonkeyPatch, query: list[float]) -> list[list[dict[str, Any]]]:
    found = []
    for executor in (walking_search, lite_search.search):
        with monkeypatch.context() as patch:
            patch.setattr(engine, "execute_search_with_index", executor)
            found += collection.search([query], 10, "COSINE", output_fields=["id"], search_params={"ef": 64})
    return found


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, indexed=st.booleans(), seed=st.integers(0, 1000))
def test_it_finds_what_lites_own_finds(steps: list[tuple[str, list[int]]], *, indexed: bool, seed: int) -> None:
    numbers = np.random.default_rng(seed)
    with collection(indexed=indexed) as made, pytest.MonkeyPatch.context() as monkeypatch:
        alive: set[str] = set()
        for step, keys in [*steps, ("flush", [])]:
            names = [f"{key:032x}" for key in keys]
            if step == "upsert":
                made.insert([{"id": name, "vector": numbers.normal(size=WIDTH).tolist()} for name in names])
                alive |= set(names)
            elif step == "delete":
                made.delete(names)
                alive -= set(names)
            else:
                made.flush()
            walked, found = both(made, monkeypatch, numbers.normal(size=WIDTH).tolist())
            # Lite may index a segment in the background between the two searches: the last digit differs then.
            assert [hit["id"] for hit in found] == [hit["id"] for hit in walked]
            assert [hit["distance"] for hit in found] == pytest.approx([hit["distance"] for hit in walked], abs=1e-5)
            assert {hit["id"] for hit in found} <= alive
            assert len(found) == min(10, len(alive))


def test_it_takes_the_place_of_lites_own_in_the_release_it_was_read_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert version("milvus-lite") == lite_search.READ_IN
    monkeypatch.setattr(engine, "execute_search_with_index", walking_search)
    lite_search.install()
    with collection(indexed=True) as made:
        made.insert([{"id": f"{key:032x}", "vector": np.eye(WIDTH)[key].tolist()} for key in range(WIDTH)])
        made.flush()
        assert engine.execute_search_with_index is lite_search.search
        ((nearest, *_),) = made.search([np.eye(WIDTH)[3].tolist()], 3, "COSINE")
    assert nearest["id"] == f"{3:032x}"


def test_another_release_is_searched_by_its_own_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(engine, "execute_search_with_index", walking_search)
    lite_search.install("0.0.0")
    assert engine.execute_search_with_index is walking_search
    assert "searches large bases slowly" in caplog.text
