"""Lite's vector search without a walk over every key: what it finds is the same (docs/decisions/0010).

Lite puts all keys of a collection into a dictionary at each search, to leave out rows that a later write replaced or
deleted; at 100,000 rows that is nearly all of a search's time. Here those rows are found by set operations.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any, Final, TypedDict, Unpack

import numpy as np
from milvus_lite.engine import collection as engine
from milvus_lite.index.brute_force import BruteForceIndex
from milvus_lite.search.executor_indexed import execute_search_with_index as walking_search
from milvus_lite.storage.segment import Segment

Hits = list[dict[str, Any]]
"""Of one query: `id`, `distance` (smaller is nearer) and `entity`, nearest first."""


class Search(TypedDict, total=False):
    """What Lite asks its executor for; the meaning is in milvus_lite.search.executor_indexed."""

    query_vectors: np.ndarray
    segments: Iterable[Segment]
    memtable: Any
    delta_index: Any
    top_k: int
    metric_type: str
    pk_field: str
    vector_field: str
    partition_names: Sequence[str] | None
    compiled_filter: object | None
    output_fields: Sequence[str] | None
    indexed_filter_plan: object | None
    project_record_fn: Callable[[dict[str, Any]], dict[str, Any]]
    search_params: dict[str, Any] | None


log = logging.getLogger(__name__)
READ_IN: Final = "3.2.2"
_NARROWED: Final = ("partition_names", "compiled_filter", "indexed_filter_plan")


def install(release: str = version("milvus-lite")) -> None:
    """Let every collection of this process be searched by `search`, if `release` is the one whose inside is known."""
    if release != READ_IN:
        log.warning("Milvus Lite %s searches large bases slowly: only %s is known from within", release, READ_IN)
        return
    engine.execute_search_with_index = search


def search(**asked: Unpack[Search]) -> list[Hits]:
    """The nearest rows for each query. What is filtered, or not flushed yet, is left to Lite's own search."""
    segments = [segment for segment in asked["segments"] if segment.num_rows]
    walked = any(asked.get(name) for name in _NARROWED) or asked["memtable"].size()
    if walked or any(len(segment.pk_to_row) != segment.num_rows for segment in segments):
        found: list[Hits] = walking_search(**{**asked, "segments": segments})
        return found
    queries = np.atleast_2d(np.asarray(asked["query_vectors"], dtype=np.float32))
    hidden = hidden_rows(segments, asked["delta_index"].snapshot)
    ranked: list[list[tuple[float, int, int]]] = [[] for _ in queries]
    for at, segment in enumerate(segments):
        rows, distances = _nearest(segment, hidden[at], queries, asked)
        for query, row in zip(*np.nonzero(rows >= 0), strict=True):
            ranked[query].append((float(distances[query, row]), at, int(rows[query, row])))
    return [[_hit(segments[at], row, far, asked) for far, at, row in sorted(of)[: asked["top_k"]]] for of in ranked]


def hidden_rows(segments: Sequence[Segment], deleted: dict[str, int]) -> list[list[int]]:
    """For each segment the rows that do not count: replaced in another segment, or deleted later.

    Args:
        segments: each has a key once.
        deleted: key → sequence number of its last deletion; rows written before that are gone.
    """
    hidden: list[list[int]] = [[] for _ in segments]
    if not segments:
        return hidden
    for key in _repeated(segments):
        rows = _rows(segments, key)
        newest = max(written for _, _, written in rows)
        for at, row, written in rows:
            if written != newest:
                hidden[at].append(row)
    for key, gone in deleted.items():
        for at, row, written in _rows(segments, key):
            if written < gone:
                hidden[at].append(row)
    return hidden


def _repeated(segments: Sequence[Segment]) -> set[str]:
    """Keys that more than one segment has; those of the largest, mostly the only one, are not copied."""
    seen: set[str] = set()
    repeated: set[str] = set()
    *smaller, largest = sorted(segments, key=lambda segment: len(segment.pk_to_row))
    for segment in smaller:
        repeated |= seen & segment.pk_to_row.keys()
        seen |= segment.pk_to_row.keys()
    return repeated.union(seen & largest.pk_to_row.keys())


def _rows(segments: Sequence[Segment], key: str) -> list[tuple[int, int, int]]:
    """(segment, row, sequence number) wherever the key is."""
    found = ((at, segment.pk_to_row.get(key)) for at, segment in enumerate(segments))
    return [(at, row, int(segments[at].seqs[row])) for at, row in found if row is not None]


def _nearest(
    segment: Segment, hidden: Sequence[int], queries: np.ndarray, asked: Search
) -> tuple[np.ndarray, np.ndarray]:
    """The segment's nearest rows and their distances, a line for each query; row -1: there is none."""
    vectors, valid = segment.vector_data(asked["vector_field"])
    if hidden:
        valid = np.ones(segment.num_rows, dtype=bool) if valid is None else valid.copy()
        valid[hidden] = False
    index = segment.indexes.get(asked["vector_field"])
    if index is None:
        index = BruteForceIndex.build(vectors, asked["metric_type"])
    found: tuple[np.ndarray, np.ndarray] = index.search(
        queries, asked["top_k"], valid_mask=valid, params=asked.get("search_params")
    )
    return found


def _hit(segment: Segment, row: int, distance: float, asked: Search) -> dict[str, Any]:
    record = segment.row_to_dict(row)
    return {"id": segment.pks[row], "distance": distance, "entity": asked["project_record_fn"](record)}
