"""What vendors say when a request is too long, and what they say when something else is wrong."""

from __future__ import annotations

import pytest

from services.worker.engines.remote.wording import Excess, excess_in


@pytest.mark.parametrize(
    ("sentence", "tokens", "limit"),
    [
        ("This model's maximum context length is 8192 tokens. Your messages resulted in 9001 tokens.", 9001, 8192),
        (
            "maximum context length is 65536 tokens. However, you requested 190402 tokens (182402 in the messages)",
            190402,
            65536,
        ),
        (
            "maximum context length is 1024 tokens. However, your prompt contains at least 1025 input tokens",
            1025,
            1024,
        ),
        (
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
            300000,
            272000,
        ),
        ("Invalid request: Your request exceeded model token limit: 262144 (requested: 274613)", 274613, 262144),
        ("Invalid request: Your request exceeded model token limit: 8192", None, 8192),
        ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]", None, 129024),
        ("The input token count (2845475) exceeds the maximum number of tokens allowed (1048576).", 2845475, 1048576),
        ("The input token count exceeds the maximum number of tokens allowed 1048576", None, 1048576),
        ("request (5000 tokens) exceeds the available context size (4096 tokens), try increasing it", 5000, 4096),
        ("the request exceeds the available context size, try increasing it", None, None),
        ("The model is loaded with context length of only 4096 tokens, which is not enough", None, 4096),
        ("The input (300000 tokens) is longer than the model's context length (262,144 tokens).", 300000, 262144),
        ("Input length 40000 exceeds the maximum length 32768", 40000, 32768),
        ("invalid params, context window exceeds limit (2013)", None, None),
        ("Total tokens of image and text exceed max message tokens. Request id: 0217", None, None),
        ("the input length exceeds the context length", None, None),
        ("Input token length too long", None, None),
        ("Prompt tokens too long", None, None),
        ("Prompt exceeds max length", None, None),
        ("Prompt 超长", None, None),
        ("输入内容过长，请缩短", None, None),
    ],
)  # fmt: skip
def test_a_request_that_is_too_long(sentence: str, tokens: int | None, limit: int | None):
    assert excess_in(sentence) == Excess(tokens, limit)


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        "Range of max_tokens should be [1, 65536]",
        "Rate limit reached for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000.",
        "The model `gpt-9` does not exist",
        "tool_choice is too long a word",
        "模型不存在，请检查模型代码",
    ],
)
def test_something_else(sentence: str):
    assert excess_in(sentence) is None
