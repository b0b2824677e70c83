"""Asks a chat model for one JSON object through the API; the generator and the judge do."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import JsonValue

from services.clients.chatchat import AnswerPiece, ChatchatClient
from services.wire.chatchat import ChatRequest


def ask_for_object(client: ChatchatClient, model: str | None, prompt: str) -> Mapping[str, JsonValue] | None:
    """The first JSON object in the model's answer, which may stand in a fence or a sentence; None where there is none.

    Raises:
        ChatchatError: the failure the API named.
    """
    request = ChatRequest(query=prompt, temperature=0)
    if model is not None:
        request = request.model_copy(update={"model_name": model})
        request.model_fields_set.add("model_name")
    text = "".join(event.text for event in client.answer(request) if isinstance(event, AnswerPiece))
    return first_object(text)


def first_object(text: str) -> Mapping[str, JsonValue] | None:
    """The first JSON object in a text."""
    start = text.find("{")
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
