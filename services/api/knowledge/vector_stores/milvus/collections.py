"""The blocking side of the Milvus store: one collection per knowledge base. Called by the store, on its threads."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence, Set

from pymilvus import DataType, MilvusClient
from pymilvus.exceptions import MilvusException

from services.api.domain.knowledge import ChunkId, EmbeddedChunk, KnowledgeBaseId, Match, Vector
from services.api.knowledge.vector_stores.milvus.connection import MilvusConnection
from services.api.knowledge.vector_stores.milvus.failures import STORE
from services.api.knowledge.vector_stores.milvus.options import Options
from services.foundation.errors import EmbedderChanged, StoreFailed

_GENERATED_ID = re.compile(r"[0-9a-f]{32}")
_PREFIX = "kb_"
_ROWS_PER_CALL = 1000
_IDS_PER_PAGE = 5000
_SEARCH_LIMIT = 16_384
_LISTED_IDS = 1000


class Collections:
    """Reads are safe from several threads at once; writes must come from one."""

    def __init__(self, connection: MilvusConnection, options: Options) -> None:
        self._client = connection.client
        self._flushes = connection.is_lite
        self._options = options
        # Without a limit of its own, a call to a server that has gone is tried again for minutes.
        self._wait = {"timeout": options.timeout_seconds}
        self._dimensions: dict[KnowledgeBaseId, int] = {}
        self._opening = threading.Lock()

    def load_all(self) -> None:
        """Load what was there before, and index what a process that died had not."""
        for name in self._client.list_collections(**self._wait):
            if name.startswith(_PREFIX):
                self._known_dimensions(KnowledgeBaseId(name.removeprefix(_PREFIX)))

    def upsert(self, base: KnowledgeBaseId, chunks: Sequence[EmbeddedChunk]) -> None:
        try:
            self._upsert(base, chunks)
        except MilvusException:
            if not self._is_gone(base):
                raise
            self._dimensions.pop(base, None)  # dropped by another process
            self._upsert(base, chunks)

    def _upsert(self, base: KnowledgeBaseId, chunks: Sequence[EmbeddedChunk]) -> None:
        known = self._known_dimensions(base)
        if known is not None and len(chunks[0].vector) != known:
            known = self._look_again(base)
        expected = known or len(chunks[0].vector)
        for chunk in chunks:
            _check_length(base, expected, chunk.vector)
        if known is None:
            self._create(base, expected)
            self._known_dimensions(base)
        newest = {chunk.id: chunk.vector for chunk in chunks}
        rows = [{"id": id_, "vector": list(vector)} for id_, vector in newest.items()]
        for at in range(0, len(rows), _ROWS_PER_CALL):
            self._client.upsert(_collection(base), rows[at : at + _ROWS_PER_CALL], **self._wait)
        self._flush(base)

    def remove(self, base: KnowledgeBaseId, ids: Sequence[ChunkId]) -> None:
        if self._known_dimensions(base) is None:
            return
        try:
            for at in range(0, len(ids), _ROWS_PER_CALL):
                self._client.delete(_collection(base), ids=list(ids[at : at + _ROWS_PER_CALL]), **self._wait)
            self._flush(base)
        except MilvusException:
            if not self._is_gone(base):
                raise

    def drop(self, base: KnowledgeBaseId) -> None:
        self._client.drop_collection(_collection(base), **self._wait)
        self._dimensions.pop(base, None)

    def search(
        self, base: KnowledgeBaseId, vector: Vector, limit: int, among: Set[ChunkId] | None = None
    ) -> list[Match]:
        known = self._known_dimensions(base)
        if known is None or limit < 1 or (among is not None and not among):
            return []
        if len(vector) != known:  # another process may have made the base's collection anew
            known = self._look_again(base)
        if known is None:
            return []
        _check_length(base, known, vector)
        limit = min(limit, _SEARCH_LIMIT)
        try:
            if among is None:
                return self._nearest(base, vector, limit)
            if len(among) <= _LISTED_IDS:
                return self._nearest(base, vector, limit, f"id in {json.dumps(sorted(among))}")
            return self._widened(base, vector, limit, among)
        except MilvusException:
            if self._is_gone(base):
                return []
            raise

    def _nearest(self, base: KnowledgeBaseId, vector: Vector, limit: int, condition: str = "") -> list[Match]:
        (hits,) = self._client.search(
            _collection(base),
            [list(vector)],
            filter=condition,
            limit=limit,
            output_fields=["id"],
            search_params={"metric_type": "COSINE", "params": {"ef": max(self._options.ef_search, limit)}},
            consistency_level=self._options.consistency,
            **self._wait,
        )
        return [Match(ChunkId(hit["id"]), min(1.0, max(0.0, float(hit["distance"])))) for hit in hits]

    def _widened(self, base: KnowledgeBaseId, vector: Vector, limit: int, among: Set[ChunkId]) -> list[Match]:
        """The nearest of many ids: ever more are asked for until enough of them are among these, or there are no more.

        A condition that lists them all would be longer than a server takes.
        """
        asked = limit
        while True:
            asked = min(4 * asked, _SEARCH_LIMIT)
            found = self._nearest(base, vector, asked)
            kept = [match for match in found if match.id in among][:limit]
            if len(kept) == limit or len(found) < asked or asked == _SEARCH_LIMIT:
                return kept

    def ids(self, base: KnowledgeBaseId) -> set[ChunkId]:
        if self._known_dimensions(base) is None:
            return set()
        try:
            return self._page_through(base)
        except MilvusException:
            if self._is_gone(base):
                return set()
            raise

    def bases(self) -> set[KnowledgeBaseId]:
        names = self._client.list_collections(**self._wait)
        found = {name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)}
        return {KnowledgeBaseId(name) for name in found if _GENERATED_ID.fullmatch(name)}

    def _page_through(self, base: KnowledgeBaseId) -> set[ChunkId]:
        pages = self._client.query_iterator(
            _collection(base),
            batch_size=_IDS_PER_PAGE,
            output_fields=["id"],
            consistency_level=self._options.consistency,
            **self._wait,
        )
        found: set[ChunkId] = set()
        while page := pages.next():
            found.update(ChunkId(row["id"]) for row in page)
        pages.close()
        return found

    def _known_dimensions(self, base: KnowledgeBaseId) -> int | None:
        """The length of the base's vectors, its collection loaded; None when it has none yet."""
        name = _collection(base)
        with self._opening:
            if base not in self._dimensions and self._client.has_collection(name, **self._wait):
                fields = self._client.describe_collection(name, **self._wait)["fields"]
                self._make_searchable(name)
                self._dimensions[base] = next(
                    int(field["params"]["dim"]) for field in fields if field["name"] == "vector"
                )
            return self._dimensions.get(base)

    def _look_again(self, base: KnowledgeBaseId) -> int | None:
        self._dimensions.pop(base, None)
        return self._known_dimensions(base)

    def _make_searchable(self, name: str) -> None:
        """Index and load. A process that died between making and indexing a collection left this to do."""
        if not self._client.list_indexes(name):
            index = self._client.prepare_index_params()
            params = {"M": self._options.m, "efConstruction": self._options.ef_construction}
            index.add_index("vector", index_type="HNSW", metric_type="COSINE", params=params)
            self._client.create_index(name, index, sync=False, **self._wait)
        self._client.load_collection(name, **self._wait)

    def _create(self, base: KnowledgeBaseId, dimensions: int) -> None:
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=32)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimensions)
        level = self._options.consistency
        self._client.create_collection(_collection(base), schema=schema, consistency_level=level, **self._wait)

    def _flush(self, base: KnowledgeBaseId) -> None:
        """Lite searches what is not flushed by brute force; a server flushes itself and limits who asks it to."""
        if self._flushes:
            self._client.flush(_collection(base), **self._wait)

    def _is_gone(self, base: KnowledgeBaseId) -> bool:
        """Whether the base was dropped meanwhile, by this process or another."""
        return not self._client.has_collection(_collection(base), **self._wait)


def _collection(base: KnowledgeBaseId) -> str:
    """The base's collection. Only a generated id makes a name: Lite would take any."""
    if not _GENERATED_ID.fullmatch(base):
        raise StoreFailed(store=STORE, reason="the knowledge base's id is not a generated one")
    return f"{_PREFIX}{base}"


def _check_length(base: KnowledgeBaseId, expected: int, vector: Vector) -> None:
    if len(vector) != expected:
        raise EmbedderChanged(name=base, model="", expected=expected, actual=len(vector))
