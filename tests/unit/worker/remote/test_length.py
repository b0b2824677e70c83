"""How long a request is at least: what a provider might take is not refused here."""

from __future__ import annotations

import pytest

from services.foundation.errors import ContextTooLong
from services.wire.openai import ChatCompletionRequest
from services.worker.engines.remote.length import checked_length, least_tokens


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("two words", 2), ("中", 1), ("中文四字", 1), ("中文五个字", 2), ("用GPT-4写，并检查", 5), ("=====", 0)],
)
def test_the_lower_bound(text: str, tokens: int):
    assert least_tokens(text) == tokens


def request(text: str) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({"model": "m", "messages": [{"role": "user", "content": text}]})


def test_ideographs_that_may_fit_are_left_to_the_provider():
    assert checked_length(request("知识" * 100), 100) == 200
    with pytest.raises(ContextTooLong):
        checked_length(request("知识" * 300), 100)


def test_words_that_cannot_fit_are_refused():
    with pytest.raises(ContextTooLong) as refused:
        checked_length(request("word " * 101), 100)
    assert (refused.value.facts["tokens"], refused.value.facts["limit"]) == (101, 100)
