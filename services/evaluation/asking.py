"""Asks the API one question: the search, the answer, how long each took; a failure is put on record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from services.clients.chatchat import AnswerPiece, AnswerSources, ChatchatClient
from services.evaluation.metrics.citations import Refusing
from services.evaluation.metrics.measuring import answer_metrics, search_metrics
from services.evaluation.questions import SetQuestion
from services.evaluation.records import Failed, FoundPassage, GivenAnswer, Record, Source
from services.foundation.errors import ChatchatError
from services.wire.chatchat import FoundDocument, HistoryItem, KnowledgeBaseChatRequest, SearchRequest


@dataclass(frozen=True, slots=True)
class Asking:
    """How questions are asked; None for a number or a model: the API's own.

    Attributes:
        base: the knowledge base.
        searches: whether the search is measured.
        answers: whether answers are.
        top_k: passages asked of the search.
        answer_top_k: passages given to the chat model.
        model: the chat model.
        refusing: what counts as a refusal.
    """

    base: str
    searches: bool = True
    answers: bool = True
    top_k: int = 30
    answer_top_k: int | None = None
    model: str | None = None
    refusing: Refusing = field(default_factory=Refusing)


class Asker:
    """Asks through a client; safe to share between threads, as the client is."""

    def __init__(self, client: ChatchatClient, asking: Asking) -> None:
        self._client = client
        self._asking = asking

    def ask(self, question: SetQuestion) -> Record:
        """Do what is to be measured. A failure ends its step, not the other."""
        record = Record(question)
        if self._asking.searches:
            record = _tried("search", record, self._searched)
        if self._asking.answers:
            record = _tried("answer", record, self._answered)
        return record

    def _searched(self, record: Record) -> Record:
        asking = self._asking
        wanted = SearchRequest(query=record.question.text, knowledge_base_name=asking.base, top_k=asking.top_k)
        began = time.perf_counter()
        passages = self._client.search(wanted)
        took = _ms(began)
        found = tuple(_found(passage) for passage in passages)
        measured = search_metrics(record.question, found)
        return replace(record, found=found, metrics={**record.metrics, **measured, "search_ms": took})

    def _answered(self, record: Record) -> Record:
        began = time.perf_counter()
        pieces: list[str] = []
        sources = AnswerSources((), "")
        times: dict[str, float] = {}
        for event in self._client.answer(self._request(record.question)):
            match event:
                case AnswerPiece(text):
                    times.setdefault("first_text_ms", _ms(began))
                    pieces.append(text)
                case AnswerSources():
                    sources = event
        times["answer_ms"] = _ms(began)
        cited = tuple(Source(citation.number, citation.file_name) for citation in sources.citations)
        answer = GivenAnswer("".join(pieces), sources.query, cited)
        measured = answer_metrics(record.question, answer, self._asking.refusing)
        return replace(record, answer=answer, metrics={**record.metrics, **measured, **times})

    def _request(self, question: SetQuestion) -> KnowledgeBaseChatRequest:
        """Only what is set is sent. Temperature 0, so that two runs differ by what was changed and not by chance."""
        request = KnowledgeBaseChatRequest(
            query=question.text,
            knowledge_base_name=self._asking.base,
            history=[HistoryItem(role=earlier.role, content=earlier.content) for earlier in question.history],
            temperature=0,
        )
        chosen = {"top_k": self._asking.answer_top_k, "model_name": self._asking.model}
        return request.model_copy(update={name: value for name, value in chosen.items() if value is not None})


def failed(record: Record, step: str, failure: ChatchatError) -> Record:
    """The record with a failure more."""
    return replace(record, failures=(*record.failures, Failed(step, failure.code, str(failure))))


def _tried(step: str, record: Record, do: Callable[[Record], Record]) -> Record:
    try:
        return do(record)
    except ChatchatError as failure:
        return failed(record, step, failure)


def _found(passage: FoundDocument) -> FoundPassage:
    relevance = passage.metadata.get("relevance")
    source = str(passage.metadata.get("source", ""))
    return FoundPassage(source, passage.id, relevance if isinstance(relevance, float | int) else None)


def _ms(began: float) -> float:
    return round(1000 * (time.perf_counter() - began), 3)
