"""A knowledge base, hits and a retriever to answer from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from services.api.chat.condensing import RuleCondenser
from services.api.chat.prompts import FilePrompts
from services.api.chat.speaking import Speaker
from services.api.domain.conversation import Message, Role
from services.api.domain.knowledge import Chunk, ChunkId, FileId, Hit, KnowledgeBase, KnowledgeBaseId, Place
from services.api.domain.names import FileName, KnowledgeBaseName
from services.api.domain.retrieval import Explanation, Query, Retrieved
from tests.fakes.chat_model import FakeChatModel

PROMPTS = FilePrompts(Path(__file__).resolve().parents[4] / "configs" / "prompts")
BASE = KnowledgeBase(
    id=KnowledgeBaseId("b" * 32),
    name=KnowledgeBaseName.parse("产品 手册"),
    description="",
    embedding_model="m",
    vector_store="memory",
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
)


def hit(text: str, *, file: str = "说明 书.pdf", place: Place | None = None, similarity: float = 0.91234) -> Hit:
    chunk = Chunk(
        id=ChunkId("c" * 32),
        knowledge_base_id=BASE.id,
        file_id=FileId("f" * 32),
        file_name=FileName.parse(file),
        version=1,
        position=0,
        text=text,
        place=place or Place(page=3),
    )
    return Hit(chunk, similarity)


class ListRetriever:
    """A `Retriever` that always finds the same, and keeps what it was asked."""

    def __init__(self, *hits: Hit) -> None:
        self._hits = hits
        self.queries: list[Query] = []

    async def retrieve(self, query: Query) -> Retrieved:
        self.queries.append(query)
        return Retrieved(self._hits, Explanation(query.text, (), (), {}))


def speaker(model: FakeChatModel) -> Speaker:
    return Speaker(model, PROMPTS, RuleCondenser())


def said(*texts: str) -> tuple[Message, ...]:
    """A history: the user begins, then they take turns."""
    roles: Sequence[Role] = ("user", "assistant")
    return tuple(Message(roles[number % 2], text) for number, text in enumerate(texts))
