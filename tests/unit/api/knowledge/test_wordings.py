"""One search in several wordings."""

from __future__ import annotations

from services.api.domain.knowledge import ChunkId, Hit
from services.api.domain.names import FileName
from services.api.domain.retrieval import Candidate, Explanation, Fate, Query, Retrieved, Wording
from services.api.knowledge.retrieval.wordings import search_all
from tests.contract.storage import make_base, make_chunks, make_file

BASE = make_base()
CHUNKS = dict(zip("abcdef", make_chunks(make_file(BASE), 6), strict=True))
FOUND = {"谁": "abc", "学院 谁": "dba", "大学 谁": "ed"}


class Searcher:
    """Finds what FOUND says, and remembers how it was asked."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    async def search(self, query: Query) -> Retrieved:
        self.queries.append(query)
        letters = FOUND[query.text]
        hits = tuple(Hit(CHUNKS[letter], 1 / rank) for rank, letter in enumerate(letters, 1))
        candidates = tuple(
            Candidate(hit.chunk.id, rank, Fate.USED, final_rank=rank, file_name=FileName("a.txt"))
            for rank, hit in enumerate(hits, 1)
        )
        unseen = Candidate(ChunkId("f" * 32), 9, Fate.UNSIMILAR)
        took = {"dense": float(len(letters)), query.text: 1.0}
        return Retrieved(hits, Explanation(query.text, (), (*candidates, unseen), took))


async def searched(*wordings: Wording, top_k: int = 3) -> tuple[str, Retrieved, Searcher]:
    searcher = Searcher()
    query = Query("谁", (BASE,), top_k, wordings=wordings, widen_chars=500)
    found = await search_all(query, searcher.search, constant=10)
    letters = {chunk.id: letter for letter, chunk in CHUNKS.items()}
    return "".join(letters[hit.chunk.id] for hit in found.hits), found, searcher


async def test_what_several_wordings_share_wins():
    order, _, searcher = await searched(Wording("学院 谁", 1), Wording("大学 谁", 1), top_k=9)
    assert order[0] in "ad"
    assert set(order) == set("abcde")
    assert {query.text for query in searcher.queries} == set(FOUND)
    assert {(query.wordings, query.widen_chars, query.top_k) for query in searcher.queries} == {((), 0, 10)}


async def test_weights_decide():
    assert (await searched(Wording("大学 谁", 100)))[0] == "eda"
    assert (await searched(Wording("大学 谁", 0)))[0] == "abc"


async def test_a_hit_is_as_the_question_itself_found_it():
    _, found, _ = await searched(Wording("学院 谁", 100))
    assert {hit.chunk.id: hit.similarity for hit in found.hits}[CHUNKS["a"].id] == 1


async def test_the_question_in_its_own_words_again_is_not_searched_twice():
    order, _, searcher = await searched(Wording("谁", 5))
    assert order == "abc"
    assert len(searcher.queries) == 1


async def test_it_is_told_what_was_searched_and_what_became_of_all():
    _, found, _ = await searched(Wording("大学 谁", 1), top_k=2)
    told = found.explanation
    assert (told.query, told.wordings) == ("谁", ("大学 谁",))
    assert told.milliseconds == {"dense": 3.0, "谁": 1.0, "大学 谁": 1.0}
    fates = {candidate.id: (candidate.fate, candidate.final_rank) for candidate in told.candidates}
    assert {CHUNKS[letter].id for letter in "abced"} | {ChunkId("f" * 32)} == set(fates)
    used = [id_ for id_, (fate, _) in fates.items() if fate is Fate.USED]
    assert set(used) == {hit.chunk.id for hit in found.hits}
    assert sorted(rank for _, rank in fates.values() if rank is not None) == [1, 2, 3, 4, 5]
    assert fates[ChunkId("f" * 32)] == (Fate.UNSIMILAR, None)
