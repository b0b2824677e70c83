"""What a request may ask of the transformers engine, and what is refused with a remedy."""

from __future__ import annotations

import pytest

from services.foundation.errors import InvalidRequest
from services.wire.openai import ChatCompletionRequest
from services.worker.engines.local.transformers.asking import Asked, read_asked
from services.worker.engines.local.transformers.sampling import sampling_of

TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}


def request(**fields: object) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("response_format", {"type": "json_schema", "json_schema": {"schema": {}}}),
        ("response_format", {"type": "json_object"}),
        ("tool_choice", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "clock"}}),
        ("structured_outputs", {"regex": "a+"}),
        ("guided_json", {"type": "object"}),
        ("chat_template", "{{ messages }}"),
        ("chat_template_kwargs", {"enable_thinking": False}),
        ("prompt_embeds", "AAAA"),
        ("use_beam_search", True),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(name: str, value: object):
    with pytest.raises(InvalidRequest) as refused:
        read_asked(request(**{name: value}))

    assert refused.value.facts["field"] == name
    if name not in {"chat_template", "chat_template_kwargs", "prompt_embeds"}:
        assert "vllm engine" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("top_logprobs", 21),
        ("presence_penalty", 3),
        ("repetition_penalty", 0),
        ("min_p", 2),
        ("logprobs", "many"),
        ("tools", "clock"),
        ("min_tokens", -1),
    ],
)
def test_a_value_out_of_range_is_named(name: str, value: object):
    with pytest.raises(InvalidRequest) as refused:
        read_asked(request(**{name: value}))

    assert refused.value.facts["field"] == name


def test_what_says_nothing_is_no_reason_to_refuse():
    fields = {"response_format": {"type": "text"}, "tool_choice": None, "guided_json": None, "use_beam_search": False}

    assert read_asked(request(**fields, user="u", unheard_of=1)) == Asked()


def test_tools_are_used_unless_the_request_says_none():
    assert read_asked(request(tools=[TOOL])).with_tools
    assert not read_asked(request(tools=[TOOL], tool_choice="none")).with_tools
    assert not read_asked(request()).with_tools


class Recommended:
    """A generation_config.json."""

    temperature = 0.6
    top_p = 0.95
    top_k = 20
    repetition_penalty = None


def test_what_a_request_leaves_open_the_models_makers_recommend():
    asked = request(top_p=0.5, top_k=3, seed=5)

    chosen = sampling_of(asked, read_asked(asked), Recommended())  # type: ignore[arg-type]

    assert (chosen.temperature, chosen.top_p, chosen.top_k, chosen.repetition_penalty) == (0.6, 0.5, 3, 1.0)
    assert chosen.seed == 5


def test_without_a_recommendation_openais_defaults_hold():
    chosen = sampling_of(request(), read_asked(request()), None)

    assert (chosen.temperature, chosen.top_p, chosen.top_k, chosen.min_p) == (1.0, 1.0, 0, 0.0)


def test_temperature_zero_is_taken_at_its_word():
    asked = request(temperature=0)

    assert sampling_of(asked, read_asked(asked), Recommended()).temperature == 0  # type: ignore[arg-type]
