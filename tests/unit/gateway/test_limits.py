"""What a call may ask for: every refusal names its field."""

from __future__ import annotations

import pytest

from services.foundation.errors import InvalidRequest
from services.gateway.bodies import Call
from services.gateway.limits import check

USER = [{"role": "user", "content": "hello"}]
CHAT, TEXT, EMBED, RERANK = "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank"
RESPONSES, TOKENIZE = "/v1/responses", "/tokenize"


def call(path: str, **fields) -> Call:
    return Call(path, "m", b"", {"model": "m", **fields}, "id")


def refused(path: str, **fields) -> str:
    with pytest.raises(InvalidRequest) as failure:
        check(call(path, **fields))
    return str(failure.value.facts["field"])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("max_tokens", [-1, 0, 10**9, 1.5, "100", True, [1], 1e300]),
        ("max_completion_tokens", [-1, 0, 10**9]),
        ("min_tokens", [-1, 10**9]),
        ("n", [0, 17, 1000, "2", 1.5, False]),
        ("best_of", [0, 17, 1000]),
        ("top_logprobs", [-1, 21, 10**6]),
        ("prompt_logprobs", [-1, 21]),
        ("logprobs", [-1, 21, 10**6, "5"]),
        ("temperature", [-0.1, 2.1, float("nan"), float("inf"), "1", True]),
        ("top_p", [-0.1, 1.1, float("nan")]),
        ("min_p", [-0.1, 1.1]),
        ("top_k", [-2, 1.5]),
        ("presence_penalty", [-2.1, 2.1]),
        ("frequency_penalty", [-2.1, 2.1]),
        ("repetition_penalty", [-0.1, 11]),
        ("seed", [1.5, "1", True, 2**63, -(2**63) - 1, 1e20]),
        ("stream", ["False", 1, []]),
        ("stop", [["x"] * 17, ["x"] * 100_000, "x" * 513, ["x", "y" * 513], 3, [3], {"a": 1}]),
        ("stop_token_ids", [list(range(257))]),
        ("logit_bias", [{str(number): 1 for number in range(1025)}]),
        ("messages", [[], None, "hello", [{"role": "system", "content": "x"}], USER * 4097]),
        ("messages.0", [["hello"]]),
        ("messages.0.content", [[{"role": "user", "content": 3}], [{"role": "user", "content": [{}] * 1025}]]),
        ("messages.0.content.0", [[{"role": "user", "content": [3]}]]),
    ],
)
def test_what_a_chat_may_not_ask_for(name, values):
    field = name.partition(".")[0]
    for value in values:
        assert refused(CHAT, **{"messages": USER, field: value}) == name, value


@pytest.mark.parametrize(
    "name",
    [
        "prompt_embeds",
        "chat_template",
        "chat_template_kwargs",
        "mm_processor_kwargs",
        "logits_processors",
        "request_id",
    ],
)
def test_fields_that_reach_into_the_engine_are_refused(name):
    assert refused(CHAT, messages=USER, **{name: None}) == name


@pytest.mark.parametrize("name", ["guided_json", "guided_regex", "guided_choice", "guided_grammar"])
def test_fields_no_engine_heeds_name_their_replacement(name):
    with pytest.raises(InvalidRequest, match="structured_outputs") as failure:
        check(call(CHAT, messages=USER, **{name: "x"}))
    assert failure.value.facts["field"] == name


@pytest.mark.parametrize(
    "part",
    [
        {"type": "video_url", "video_url": {"url": "http://169.254.169.254/"}},
        {"type": "text", "text": "x", "audio_url": {"url": "http://a/"}},
        {"input_audio": {"data": "AA==", "format": "wav"}},
        {"image_embeds": "AAAA"},
        {"type": "file", "file": {"file_id": "f"}},
    ],
)
def test_other_media_are_refused_whatever_the_type_says(part):
    named = next(name for name in part if name not in {"type", "text"})
    assert refused(CHAT, messages=[{"role": "user", "content": [part]}]) == f"messages.0.content.0.{named}"


@pytest.mark.parametrize(
    ("path", "field", "values"),
    [
        (TEXT, "prompt", ["", None, [], [""], ["x"] * 65, [[1]] * 65, 3, [1, "x"], [-1], [True], [[]]]),
        (EMBED, "input", ["", None, [], [""], ["x"] * 2049, {"a": 1}]),
        (RERANK, "query", ["", None, ["x"]]),
        (RERANK, "documents", [None, [], "x", ["x"] * 1001]),
        (RESPONSES, "input", ["", None, [], [{"role": "user"}] * 4097]),
        (TOKENIZE, "prompt", [None, 3]),
    ],
)
def test_what_the_other_calls_may_not_ask_for(path, field, values):
    good = {"query": "q", "documents": ["d"]} if path == RERANK else {}
    for value in values:
        assert refused(path, **{**good, field: value}) == field, value


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (CHAT, {"messages": USER, "max_tokens": None, "n": None, "stop": None, "stream": None, "logprobs": None}),
        (CHAT, {"messages": USER, "max_tokens": 64.0, "n": 16, "top_k": -1, "seed": -(2**63), "temperature": 0}),
        (CHAT, {"messages": USER, "logprobs": True, "top_logprobs": 20, "stop": ["x"] * 16, "stream": False}),
        (CHAT, {"messages": [{"role": "assistant", "content": None, "tool_calls": []}, *USER]}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "x-unknown": object()}),
        (TEXT, {"prompt": "x", "logprobs": 5, "echo": True}),
        (TEXT, {"prompt": ["x"] * 64}),
        (TEXT, {"prompt": list(range(100_000))}),
        (TEXT, {"prompt": [[1, 2], [3]]}),
        (EMBED, {"input": ["x"] * 2048}),
        (EMBED, {"messages": USER}),
        (RERANK, {"query": "q", "documents": ["d"], "top_n": 1}),
        (RESPONSES, {"input": "x", "max_output_tokens": 5}),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]}),
        (TOKENIZE, {"prompt": ""}),
        (TOKENIZE, {"messages": USER}),
        ("/detokenize", {"tokens": [1, 2]}),
    ],
)
def test_what_is_asked_in_earnest_passes(path, fields):
    check(call(path, **fields))
