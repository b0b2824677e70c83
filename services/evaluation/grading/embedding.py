"""Grades by meaning: the cosine of an answer's embedding and a right answer's, from the gateway's /v1/embeddings."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydantic import SecretStr

from services.clients.openai import OpenAIClient
from services.evaluation.asking import failed
from services.evaluation.grading import is_gradable
from services.evaluation.metrics.citations import without_citations
from services.evaluation.records import Record
from services.foundation.errors import ChatchatError

_MOST_UNREADABLE = 0.3


@dataclass(frozen=True, slots=True)
class EmbeddingsAddress:
    """Where embeddings come from."""

    url: str
    timeout_seconds: float
    key: SecretStr | None = None


class EmbeddingGrader:
    """An answer is right from a cosine of `threshold` on, the best over the right answers.

    A text of which the model knows less than seven tokens in ten has no embedding: such an answer has no verdict.
    """

    name = "embedding"

    def __init__(self, gateway: EmbeddingsAddress, model: str, threshold: float) -> None:
        self._gateway = gateway
        self.model: str | None = model
        self._named = model
        self.threshold: float | None = threshold
        self._least = threshold

    def grade(self, records: Sequence[Record]) -> list[Record]:
        return asyncio.run(self._all(records))

    async def _all(self, records: Sequence[Record]) -> list[Record]:
        reach = self._gateway
        async with OpenAIClient(
            reach.url, timeout_seconds=reach.timeout_seconds, key=reach.key, service="gateway"
        ) as client:
            return [await self._graded(client, record) if is_gradable(record) else record for record in records]

    async def _graded(self, client: OpenAIClient, record: Record) -> Record:
        given = without_citations(record.answer.text if record.answer else "")
        if not given:
            return replace(record, ungraded="the answer is empty")
        texts = [given, *(", ".join(parts) for parts in record.question.answers)]
        try:
            answer = await client.embed(self._named, texts, skip_unreadable_above=_MOST_UNREADABLE)
        except ChatchatError as failure:
            return failed(record, "grade", failure)
        ordered = sorted(answer.data, key=lambda item: item.index)
        vectors = [np.asarray(item.embedding if isinstance(item.embedding, list) else []) for item in ordered]
        cosines = [_cosine(vectors[0], other) for other in vectors[1:] if other.size and vectors[0].size]
        if not cosines:
            return replace(record, ungraded="the embedding model cannot read the answer or the right answers")
        best = max(cosines)
        graded = {"embedding_similarity": best, "embedding_correct": float(best >= self._least)}
        return replace(record, metrics={**record.metrics, **graded})


def _cosine(first: np.ndarray, second: np.ndarray) -> float:
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else 0.0
