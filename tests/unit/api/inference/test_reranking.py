"""A rerank model behind the gateway: what it is asked, and that an answer that does not fit is a failure."""

from __future__ import annotations

import pytest

from services.api.domain.knowledge import Hit
from services.api.domain.ports import Reranker
from services.api.inference.reranking import GatewayReranker
from services.clients.openai import OpenAIClient
from services.foundation.errors import ProviderFailed
from services.wire.openai import RerankRequest, RerankResponse, RerankResult, Usage
from tests.contract.text_index import make_chunk


class Judge(OpenAIClient):
    """Gives the documents these relevances, by their index."""

    def __init__(self, relevances: dict[int, float]) -> None:
        super().__init__("http://nowhere", timeout_seconds=1)
        self._relevances = relevances
        self.asked: list[RerankRequest] = []

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        self.asked.append(request)
        results = [RerankResult(index=index, relevance_score=score) for index, score in self._relevances.items()]
        return RerankResponse(model=request.model, results=results, usage=Usage())


PORT: Reranker = GatewayReranker(Judge({}), "m")
"""Checked by mypy: it is the port it claims to be."""


def hits(*texts: str) -> list[Hit]:
    return [Hit(make_chunk(number, text), similarity=0.5) for number, text in enumerate(texts)]


async def test_the_hits_come_in_the_order_of_their_relevance():
    judge = Judge({1: 0.9, 0: 0.2, 2: 0.4})
    found = await GatewayReranker(judge, "bge-reranker").rerank("问题", hits("甲", "乙", "丙"), limit=2)
    assert [(hit.chunk.text, hit.relevance) for hit in found] == [("乙", 0.9), ("丙", 0.4)]
    (asked,) = judge.asked
    assert (asked.model, asked.query, asked.documents) == ("bge-reranker", "问题", ["甲", "乙", "丙"])


async def test_nothing_found_asks_nobody():
    judge = Judge({})
    assert await GatewayReranker(judge, "m").rerank("问题", [], limit=3) == []
    assert judge.asked == []


@pytest.mark.parametrize("judged", [{0: 0.5}, {0: 0.5, 2: 0.4}, {0: 0.1, 1: 0.2, 2: 0.3}])
async def test_an_answer_that_does_not_fit_the_passages_is_a_failure(judged: dict[int, float]):
    with pytest.raises(ProviderFailed, match="it judged"):
        await GatewayReranker(Judge(judged), "m").rerank("问题", hits("甲", "乙"), limit=2)
