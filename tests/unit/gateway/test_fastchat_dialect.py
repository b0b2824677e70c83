"""The pure parts of the translation: prompts, parameters, pieces, refusals."""

from __future__ import annotations

import base64
import json
import struct

import pytest
from fastchat.conversation import SeparatorStyle, conv_templates

from services.foundation.errors import EngineFailed, InvalidRequest, ProviderFailed, WorkerBusy
from services.gateway.bodies import Call
from services.gateway.fastchat_dialect import (
    ChatShape,
    Ending,
    Piece,
    TextShape,
    deltas,
    encoded,
    generation_parameters,
    messages,
    parsed,
)
from services.gateway.fastchat_prompt import Template, render
from services.wire.openai import ChatCompletionRequest, ChatMessage, CompletionRequest, Usage

LEFT_OUT = {SeparatorStyle.DOLLY, SeparatorStyle.RWKV, SeparatorStyle.METAMATH, SeparatorStyle.YUAN2}
LOCAL = {name: conv for name, conv in conv_templates.items() if conv.sep_style is not None}  # the others are vendors'
SUPPORTED = sorted(name for name, conv in LOCAL.items() if conv.sep_style not in LEFT_OUT)
TURNS = [("system", "规则"), ("user", "你好"), ("assistant", "好"), ("user", "1+1?")]


def conversation(*turns: tuple[str, str]) -> list[ChatMessage]:
    return [ChatMessage.model_validate({"role": role, "content": text}) for role, text in turns]


def template(name: str) -> Template:
    return Template.model_validate(json.loads(json.dumps(conv_templates[name].__dict__)))


@pytest.mark.parametrize("given", [TURNS, TURNS[1:], TURNS[:2], TURNS[1:2]], ids=["all", "plain", "short", "one"])
@pytest.mark.parametrize("name", SUPPORTED)
def test_the_prompt_is_the_one_fastchat_makes(name, given):
    conv = conv_templates[name].copy()
    for role, text in given:
        if role == "system":
            conv.set_system_message(text)
        else:
            conv.append_message(conv.roles[role == "assistant"], text)
    conv.append_message(conv.roles[1], None)
    assert render(template(name), conversation(*given)) == conv.get_prompt()


def test_most_templates_are_supported():
    assert len(SUPPORTED) >= 0.9 * len(LOCAL)


def test_an_unknown_separator_style_is_a_named_failure():
    with pytest.raises(ProviderFailed, match="separator style 99"):
        render(Template(roles=["U", "A"], sep_style=99), conversation(("user", "x")))


def test_a_tool_message_is_refused_by_position():
    with pytest.raises(InvalidRequest, match=r"messages\.1\.role"):
        render(template("vicuna_v1.1"), conversation(("user", "x"), ("tool", "y")))


def test_a_template_cannot_reach_into_the_process():
    hostile = Template(roles=["U", "A"], sep_style=4, system_template="{system_message.__class__}", sep="")
    assert render(hostile, conversation(("system", "s"), ("user", "x"))) == "{system_message.__class__}UxA"


def test_parameters_carry_fastchats_defaults_and_both_kinds_of_stop():
    request = ChatCompletionRequest.model_validate(
        {"model": "m", "messages": [{"role": "user", "content": "x"}], "stop": ["a", "b"], "top_k": 5}
    )
    parameters = generation_parameters(request, "P", 7, ["b", "</s>"])
    assert parameters == {
        "model": "m",
        "prompt": "P",
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": 5,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_new_tokens": 7,
        "echo": False,
        "stop": ["a", "b", "</s>"],
    }


def test_a_temperature_of_zero_stays_zero():
    request = CompletionRequest(model="m", prompt="x", temperature=0)
    assert generation_parameters(request, "x", 1, [])["temperature"] == 0


def call(**fields: object) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
    return Call("/v1/chat/completions", "m", b"", json.loads(json.dumps(body)), "id")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"tools": [{}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"n": 2}, "n"),
        ({"temperature": 9}, "temperature"),
        ({"messages": []}, "messages"),
    ],
)
def test_what_fastchats_wire_cannot_say_is_refused_by_name(fields, field):
    with pytest.raises(InvalidRequest) as failure:
        parsed(ChatCompletionRequest, call(**fields))
    assert failure.value.facts["field"] == field


def test_empty_wishes_are_no_wishes():
    assert parsed(ChatCompletionRequest, call(tools=[], n=1, logprobs=False)).model == "m"


async def _chunks(*chunks: bytes):
    for chunk in chunks:
        yield chunk


async def test_messages_are_cut_at_nul_wherever_the_chunks_end():
    assert [m async for m in messages(_chunks(b"{1", b"}\0{2}\0\0{", b"3}", b"\0"))] == [b"{1}", b"{2}", b"{3}"]


async def _pieces(*pieces: Piece):
    for piece in pieces:
        yield piece


async def test_cumulative_text_becomes_deltas_and_half_characters_wait():
    ending = Ending()
    usage = Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    pieces = _pieces(
        Piece(text="你"),
        Piece(text="你\ufffd"),
        Piece(text="你好"),
        Piece(text="你好!", usage=usage, finish_reason="length"),
    )
    assert [text async for text in deltas(pieces, "m", ending)] == ["你", "好", "!"]
    assert (ending.reason, ending.usage) == ("length", usage)


async def test_text_that_shrinks_adds_nothing():
    pieces = _pieces(Piece(text="abcd"), Piece(text="abc"), Piece(text="abcde"))
    assert [text async for text in deltas(pieces, "m", Ending())] == ["abcd", "e"]


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (50001, EngineFailed),
        (50002, EngineFailed),
        (50006, ProviderFailed),
        (40303, InvalidRequest),
        (42903, WorkerBusy),
    ],
)
async def test_an_error_code_is_raised_as_the_failure_it_means(code, failure):
    with pytest.raises(failure) as raised:
        [text async for text in deltas(_pieces(Piece(text="broke", error_code=code)), "m", Ending())]
    assert type(raised.value) is failure
    assert failure is WorkerBusy or f"broke (FastChat code {code})" in str(raised.value)


def test_base64_is_little_endian_float32():
    vector = [0.5, -1.0, 0.25]
    coded = encoded(vector, "base64")
    assert isinstance(coded, str)
    assert list(struct.unpack("<3f", base64.b64decode(coded))) == vector
    assert encoded(vector, "float") == vector


@pytest.mark.parametrize("shape", [ChatShape("m"), TextShape("m")])
def test_all_pieces_of_an_answer_carry_one_id(shape):
    answers = [
        *shape.opening(),
        shape.piece("a"),
        shape.piece("", "stop"),
        shape.last(None),
        shape.whole("a", Ending()),
    ]
    assert len({answer.model_dump()["id"] for answer in answers}) == 1
