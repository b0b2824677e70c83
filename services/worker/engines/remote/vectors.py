"""Embeddings and rankings in the bodies that providers use for them. Used by `openai_compatible`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import AliasChoices, AliasPath, BaseModel, Field, JsonValue

from services.wire.openai import EmbeddingRequest, RerankRequest, Usage
from services.worker.engines.remote.failures import AnswerReader
from services.worker.engines.text import count_tokens

Payload = dict[str, JsonValue]
_OURS = ("input_type", "skip_unreadable_above")  # a provider may refuse what it does not know


class _Vector(BaseModel):
    index: int
    embedding: list[float]


class Embeddings(BaseModel):
    """A provider's embeddings; not all report usage."""

    vectors: list[_Vector] = Field(alias="data")
    usage: Usage | None = None


class MiniMaxEmbeddings(BaseModel):
    """MiniMax's: bare vectors, in order."""

    vectors: list[list[float]]
    total_tokens: int = 0


class Relevance(BaseModel):
    """One document's place in a ranking."""

    index: int
    relevance: float = Field(validation_alias=AliasChoices("relevance_score", "score"))


class Ranking(BaseModel):
    """A provider's ranking; DashScope's own stands inside `output`."""

    results: list[Relevance] = Field(validation_alias=AliasChoices("results", AliasPath("output", "results")))


def embedding_payload(request: EmbeddingRequest, texts: Sequence[str], shape: str) -> Payload:
    """The request for some of the texts."""
    if shape == "minimax":
        return {"texts": list(texts), "type": "query" if request.input_type == "query" else "db"}
    fields: Payload = request.model_dump(exclude_unset=True, exclude=set(_OURS))
    return {**fields, "input": list(texts), "encoding_format": "float"}


def read_vectors(
    body: bytes, texts: Sequence[str], shape: str, reader: AnswerReader
) -> tuple[list[list[float]], Usage]:
    """The L2-normalised vectors in the texts' order, and what they cost.

    Raises:
        ProviderFailed: there is not one usable vector a text.
    """
    if shape == "minimax":
        minimax = reader.parse(body, MiniMaxEmbeddings)
        vectors, tokens = minimax.vectors, minimax.total_tokens
        usage = Usage(prompt_tokens=tokens, total_tokens=tokens) if tokens else None
    else:
        answer = reader.parse(body, Embeddings)
        ordered = sorted(answer.vectors, key=lambda item: item.index)
        vectors = (
            [item.embedding for item in ordered] if [item.index for item in ordered] == [*range(len(texts))] else []
        )
        usage = answer.usage
    if len(vectors) != len(texts):
        raise reader.failed(f"it did not send one vector for each of the {len(texts)} texts")
    return [_unit(vector, reader) for vector in vectors], usage or counted(texts)


def _unit(vector: Sequence[float], reader: AnswerReader) -> list[float]:
    length = math.sqrt(sum(number * number for number in vector))
    if not length or not math.isfinite(length):
        raise reader.failed("a vector is empty, zero or not finite")
    return [number / length for number in vector]


def rerank_payload(request: RerankRequest, shape: str) -> Payload:
    """The request for a ranking of all documents."""
    top_n = len(request.documents)
    if shape == "dashscope":
        texts: JsonValue = list(request.documents)
        return {
            "input": {"query": request.query, "documents": texts},
            "parameters": {"return_documents": False, "top_n": top_n},
        }
    fields: Payload = request.model_dump(exclude_unset=True)
    return {**fields, "return_documents": False, "top_n": top_n}


def read_ranking(body: bytes, documents: int, reader: AnswerReader) -> list[Relevance]:
    """The ranking, best first, every relevance in [0, 1].

    Raises:
        ProviderFailed: it names a document that was not given.
    """
    results = reader.parse(body, Ranking).results
    if any(not 0 <= result.index < documents for result in results):
        raise reader.failed("it ranked a document that was not given")
    if any(not 0 <= result.relevance <= 1 for result in results):
        results = [each.model_copy(update={"relevance": _logistic(each.relevance)}) for each in results]
    return sorted(results, key=lambda result: result.relevance, reverse=True)


def _logistic(number: float) -> float:
    return 1 / (1 + math.exp(-max(-700.0, min(700.0, number))))


def counted(texts: Sequence[str]) -> Usage:
    """Usage where a provider reports none."""
    tokens = sum(count_tokens(text) for text in texts)
    return Usage(prompt_tokens=tokens, total_tokens=tokens)
