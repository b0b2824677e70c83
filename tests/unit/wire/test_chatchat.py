"""0.2.10's request bodies: names, defaults and limits as its OpenAPI document has them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from services.wire.chatchat import (
    ChatRequest,
    Envelope,
    FoundDocument,
    HistoryItem,
    KnowledgeBaseChatRequest,
    OpenConversation,
    SearchRequest,
)


@pytest.mark.parametrize(
    ("role", "known"),
    [("user", "user"), ("human", "user"), ("assistant", "assistant"), ("ai", "assistant"), ("system", "system")],
)
def test_old_names_of_roles(role: str, known: str):
    assert HistoryItem(role=role, content="x").known_role == known


def test_defaults_of_chat():
    body = ChatRequest.model_validate({"query": "q"})
    ours = {"memory": None, "preset": None, "repetition_penalty": None}
    assert body.model_dump() == {
        **ours,
        "query": "q",
        "conversation_id": "",
        "history_len": -1,
        "history": [],
        "stream": False,
        "model_name": None,
        "temperature": 0.7,
        "max_tokens": None,
        "prompt_name": "default",
    }


def test_defaults_of_knowledge_base_chat():
    body = KnowledgeBaseChatRequest.model_validate({"query": "q", "knowledge_base_name": "k"})
    assert (body.top_k, body.score_threshold, body.temperature, body.stream) == (3, 1.0, 0.7, False)
    assert body.model_fields_set == {"query", "knowledge_base_name"}


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (ChatRequest, {}),
        (ChatRequest, {"query": "q", "temperature": 2.1}),
        (ChatRequest, {"query": "q", "history": [["user", "x"]]}),
        (ChatRequest, {"query": "q", "history": [{"role": "user"}]}),
        (KnowledgeBaseChatRequest, {"query": "q"}),
        (KnowledgeBaseChatRequest, {"query": "q", "knowledge_base_name": "k", "temperature": 1.1}),
        (KnowledgeBaseChatRequest, {"query": "q", "knowledge_base_name": "k", "score_threshold": 2.1}),
        (KnowledgeBaseChatRequest, {"query": "q", "knowledge_base_name": "k", "top_k": 0}),
        (SearchRequest, {"query": "q"}),
        (OpenConversation, {"owner": "short"}),
        (OpenConversation, {"owner": "x" * 20 + "/"}),
        (OpenConversation, {"owner": "x" * 65}),
    ],
)
def test_refused(model: type[BaseModel], body: dict[str, Any]):
    with pytest.raises(ValidationError):
        model.model_validate(body)


def test_unknown_fields_are_ignored():
    body = ChatRequest.model_validate({"query": "q", "local_doc_url": True})
    assert "local_doc_url" not in body.model_dump()


def test_an_envelope_is_0_2_10s():
    assert Envelope().model_dump_json() == '{"code":200,"msg":"success","data":null}'


def test_a_found_document_is_0_2_10s():
    assert FoundDocument(page_content="x", metadata={"source": "f"}).model_dump_json() == (
        '{"page_content":"x","metadata":{"source":"f"},"type":"Document","id":null,"score":3.0}'
    )


def test_half_of_a_surrogate_pair_is_no_text():
    with pytest.raises(ValidationError, match="no text"):
        ChatRequest.model_validate({"query": "\ud800"})
