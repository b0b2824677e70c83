"""Whatever was put into which bases, named alike or deleted: a search finds all that it may find, and only that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.api.domain.knowledge import Chunk, ChunkId, EmbeddedChunk, FileId, KnowledgeBase, KnowledgeBaseId, Place
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.retrieval import Fate, Filter, Query, Retrieved
from services.api.knowledge.ingest import Indexes
from services.api.knowledge.retrieval.hybrid import HybridRetriever
from services.api.knowledge.retrieval.light import LightReranker
from services.foundation.settings.tree import Retrieval
from tests.contract.storage import make_file
from tests.fakes.embedder import FakeEmbedder
from tests.fakes.storage import MemoryStorage
from tests.fakes.text_index import MemoryTextIndex
from tests.fakes.vector_store import MemoryStore

QUESTION = "pump pressure"
BASES = tuple(
    KnowledgeBase(
        KnowledgeBaseId(letter * 32),
        KnowledgeBaseName(f"base {letter}"),
        "",
        "m",
        "memory",
        datetime(2026, 1, 1, tzinfo=UTC),
        64,
    )
    for letter in "abc"
)


@dataclass(frozen=True)
class Written:
    """A passage as a test asks for it; `is_deleted`: the database has forgotten it, the indexes have not yet."""

    base: int
    file: str
    text: str
    page: int
    is_deleted: bool


PASSAGES = st.lists(
    st.builds(
        Written,
        base=st.integers(0, 2),
        file=st.sampled_from(["report.pdf", "notes.md", "report 2.pdf"]),
        text=st.lists(st.sampled_from(["pump", "pressure", "valve", "the"]), min_size=1, max_size=5).map(" ".join),
        page=st.integers(1, 3),
        is_deleted=st.booleans(),
    ),
    max_size=14,
)


async def search(
    passages: Sequence[Written], asked: Sequence[int], wanted: Filter | None = None, top_k: int = 50
) -> tuple[Retrieved, dict[ChunkId, Written]]:
    storage, keywords, vectors, embedder = MemoryStorage(), MemoryTextIndex(), MemoryStore(), FakeEmbedder()
    written: dict[ChunkId, Written] = {}
    async with storage.begin() as work:
        for base in BASES:
            await work.knowledge_bases.add(base)
        for at, base in enumerate(BASES):
            for digit, name in enumerate(sorted({one.file for one in passages if one.base == at})):
                file = make_file(base, name, str(digit))
                await work.files.save(file)
                chunks = []
                for number, one in enumerate(passages):
                    if (one.base, one.file) != (at, name):
                        continue
                    id_ = ChunkId(f"{number:032x}")
                    place = Place(page=one.page)
                    chunk = Chunk(id_, base.id, FileId(file.id), FileName(name), 1, number, one.text, place)
                    (vector,) = await embedder.embed_documents("m", [one.text])
                    assert vector is not None
                    await keywords.upsert([chunk])
                    await vectors.upsert(base.id, [EmbeddedChunk(id_, vector)])
                    written[id_] = one
                    if not one.is_deleted:
                        chunks.append(chunk)
                await work.chunks.replace(file, chunks)
    retriever = HybridRetriever(
        Indexes(storage, vectors, keywords), embedder, Retrieval(candidates=50), LightReranker(keywords)
    )
    query = Query(QUESTION, tuple(BASES[number] for number in asked), top_k, filter=wanted)
    return await retriever.retrieve(query), written


ASKED = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)


@given(passages=PASSAGES, asked=ASKED)
async def test_all_that_the_asked_bases_hold_is_found_and_nothing_else(passages: list[Written], asked: list[int]):
    retrieved, written = await search(passages, asked)
    found = [hit.chunk.id for hit in retrieved.hits]
    assert sorted(found) == sorted(id_ for id_, one in written.items() if one.base in asked and not one.is_deleted)
    assert all(hit.chunk.knowledge_base_id == BASES[written[hit.chunk.id].base].id for hit in retrieved.hits)


@given(passages=PASSAGES, asked=ASKED, name=st.sampled_from(["report", "notes"]), page=st.none() | st.integers(1, 4))
async def test_a_filter_leaves_exactly_what_passes_it(
    passages: list[Written], asked: list[int], name: str, page: int | None
):
    wanted = Filter(
        lambda file: file.value.startswith(name), None if page is None else lambda place: place.page == page
    )
    retrieved, written = await search(passages, asked, wanted)

    def passes(one: Written) -> bool:
        return one.file.startswith(name) and page in (None, one.page) and one.base in asked and not one.is_deleted

    assert sorted(hit.chunk.id for hit in retrieved.hits) == sorted(id_ for id_, one in written.items() if passes(one))


@given(passages=PASSAGES, asked=ASKED, top_k=st.integers(1, 5))
async def test_the_explanation_tells_what_became_of_each_candidate(
    passages: list[Written], asked: list[int], top_k: int
):
    retrieved, written = await search(passages, asked, top_k=top_k)
    candidates = {candidate.id: candidate for candidate in retrieved.explanation.candidates}
    assert set(candidates) == {id_ for id_, one in written.items() if one.base in asked}
    for id_, candidate in candidates.items():
        assert (candidate.fate is Fate.UNKNOWN) is written[id_].is_deleted
        assert (candidate.file_name is None) is written[id_].is_deleted
        assert candidate.keyword_rank is not None or candidate.dense_rank is not None
    used = sorted((one for one in candidates.values() if one.fate is Fate.USED), key=lambda one: one.final_rank or 0)
    assert [one.id for one in used] == [hit.chunk.id for hit in retrieved.hits]
    assert [one.final_rank for one in used] == list(range(1, len(used) + 1))
    assert [one.relevance for one in used] == [hit.relevance for hit in retrieved.hits]
    assert len(retrieved.explanation.arms) == 2 * len(asked)
    assert {"keyword", "embed", "dense", "fetch", "rerank"} == set(retrieved.explanation.milliseconds)
