"""Asking the real API, as a 0.2.10 client does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx


def events(api: httpx.Client, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The server-sent events of a POST, each received chunk read as 0.2.10's bundled client reads it."""
    with api.stream("POST", path, json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.read()
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line[6:])


def ask(api: httpx.Client, base: str, query: str, **more: Any) -> dict[str, Any]:
    """A whole answer: {"answer", "docs", "citations", "query"}."""
    body = {"query": query, "knowledge_base_name": base, "stream": True, **more}
    pieces, last = [], {}
    for event in events(api, "/chat/knowledge_base_chat", body):
        assert event.get("code", 200) == 200, event
        pieces.append(event.get("answer", ""))
        if "docs" in event:
            last = event
    return {**last, "answer": "".join(pieces)}
