import logging
from collections.abc import Sequence

import pytest

from services.foundation.errors import ServiceUnreachable
from services.wire.openai import EmbeddingItem, EmbeddingResponse, Usage
from services.worker.engines.extractive.similarity import GatewayEmbed, cosines


class Gateway:
    """Answers with one axis a text; can be made unreachable or unable to read."""

    def __init__(self, *, unreadable_share: float = 0.0) -> None:
        self.unreadable_share = unreadable_share
        self.reachable = True
        self.asked: list[list[str]] = []

    async def embed(self, model: str, texts: Sequence[str], *, input_type: str | None = None) -> EmbeddingResponse:
        self.asked.append(list(texts))
        if not self.reachable:
            raise ServiceUnreachable(service="gateway", url="http://127.0.0.1:9", reason="ConnectError")
        items = [
            EmbeddingItem(
                index=place,
                embedding=[1.0, 0.0] if "same" in text else [0.6, 0.8],
                unreadable_share=self.unreadable_share,
            )
            for place, text in enumerate(texts)
        ]
        return EmbeddingResponse(data=items[::-1], model=model, usage=Usage())


async def test_cosines_in_order() -> None:
    assert await cosines(GatewayEmbed(Gateway(), "m", 0.3), "same", ["same", "other"]) == [1.0, 0.6]


async def test_unreadable_questions_send_no_passages() -> None:
    gateway = Gateway(unreadable_share=0.5)
    assert await cosines(GatewayEmbed(gateway, "m", 0.3), "问题", ["a", "b"]) is None
    assert gateway.asked == [["问题"]]


async def test_an_unreachable_gateway_is_logged_once_a_change(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway()
    embed = GatewayEmbed(gateway, "minilm", 0.3)
    with caplog.at_level(logging.INFO, logger="services.worker.engines.extractive.similarity"):
        gateway.reachable = False
        assert await embed(["a"], "query") is None
        assert await embed(["a"], "query") is None
        gateway.reachable = True
        assert await embed(["same"], "query") == [[1.0, 0.0]]
        gateway.reachable = False
        assert await embed(["a"], "query") is None
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
    assert "minilm" in caplog.records[0].message
    assert "words alone" in caplog.records[0].message
