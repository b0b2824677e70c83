"""The search test: /knowledge_base/search_docs and explain_search. The chat goes the same way to its passages."""

from __future__ import annotations

from services.api.domain.knowledge import KnowledgeBase, Passage, Place
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.ports import Retriever
from services.api.domain.retrieval import Filter, Query, Retrieved, SearchMode
from services.api.knowledge.render import (
    found_document,
    like_pattern,
    listed_document,
    place_facts,
    similarity_floor,
    why_body,
)
from services.api.knowledge.service import KnowledgeService
from services.foundation.errors import InvalidRequest, KnowledgeBaseNotFound
from services.wire.chatchat import Envelope, ExplainedSearch, FoundDocument, SearchRequest


class SearchRoutes:
    """Endpoints that search."""

    def __init__(self, service: KnowledgeService, retriever: Retriever, min_similarity: float) -> None:
        self._service = service
        self._retriever = retriever
        self._min_similarity = min_similarity

    async def search_docs(self, body: SearchRequest) -> list[FoundDocument]:
        """Passages for a query, best first; without one, those of the files or metadata named, in order.

        An unknown base gives an empty list, as 0.2.10 did.
        """
        name = KnowledgeBaseName.parse(body.knowledge_base_name)
        try:
            if not body.query.strip():
                return await self._listed(name, body)
            base = await self._service.get(name)
        except KnowledgeBaseNotFound:
            return []
        bases = await self._service.with_others(base, body.more_knowledge_bases)
        return _documents(await self._searched(bases, body), bases)

    async def explain_search(self, body: SearchRequest) -> Envelope:
        """What search_docs gives for a query, and why: what each arm found, the order, what was cut, the time."""
        if not body.query.strip():
            raise InvalidRequest(field="query", reason="the query is empty")
        base = await self._service.get(KnowledgeBaseName.parse(body.knowledge_base_name))
        bases = await self._service.with_others(base, body.more_knowledge_bases)
        retrieved = await self._searched(bases, body)
        found = ExplainedSearch(documents=_documents(retrieved, bases), why=why_body(retrieved.explanation))
        return Envelope(data=found.model_dump())

    async def _searched(self, bases: tuple[KnowledgeBase, ...], body: SearchRequest) -> Retrieved:
        asked = "score_threshold" in body.model_fields_set
        floor = similarity_floor(body.score_threshold) if asked else self._min_similarity
        mode = SearchMode(body.search_mode)
        return await self._retriever.retrieve(Query(body.query, bases, body.top_k, floor, _filter(body), mode=mode))

    async def _listed(self, name: KnowledgeBaseName, body: SearchRequest) -> list[FoundDocument]:
        wanted = _filter(body)
        if wanted is None:
            return []
        chunks = await self._service.chunks(name, wanted.file)
        return [
            listed_document(chunk.file_name, Passage(chunk.text, chunk.place), chunk.id)
            for chunk in chunks
            if wanted.place is None or wanted.place(chunk.place)
        ]


def _filter(body: SearchRequest) -> Filter | None:
    """What the file name's pattern and the metadata leave; None when neither is given."""
    if not body.file_name and not body.metadata:
        return None
    pattern = like_pattern(body.file_name or "%")
    facts = {key: value for key, value in body.metadata.items() if key != "source"}

    def is_named(file: FileName) -> bool:
        return pattern.fullmatch(file.value) is not None and body.metadata.get("source", file.value) == file.value

    def is_there(place: Place) -> bool:
        known = place_facts(place)
        return all(known.get(key) == value for key, value in facts.items())

    return Filter(is_named, is_there if facts else None)


def _documents(retrieved: Retrieved, bases: tuple[KnowledgeBase, ...]) -> list[FoundDocument]:
    """The hits; where several bases were searched, each says which it is of."""
    names = {base.id: base.name for base in bases}
    return [
        found_document(hit, names[hit.chunk.knowledge_base_id] if len(bases) > 1 else None) for hit in retrieved.hits
    ]
