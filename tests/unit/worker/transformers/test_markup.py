"""Thinking and tool calls in what a model writes: the same pieces however the text is split."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from services.worker.engines.local.transformers.markup import Call, Markup, Piece, Text, Thinking

WEATHER = Call("weather", '{"city": "杭州"}')
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "杭州"}}\n</tool_call>'
CLOCK = '<tool_call>{"name": "clock", "arguments": {}}</tool_call>'


@dataclass(frozen=True)
class Case:
    """What a model writes, and the pieces it is."""

    said: str
    pieces: tuple[Piece, ...]
    thinks: bool = False
    tools: bool = True


CASES = {
    "plain": Case("Hello.", (Text("Hello."),)),
    "one call": Case(CALL, (WEATHER,)),
    "text before": Case(f"I look it up.\n{CALL}", (Text("I look it up."), WEATHER)),
    "two calls": Case(f"{CALL}\n{CLOCK}\n", (WEATHER, Call("clock", "{}"))),
    "text between and after": Case(
        f"{CALL}\nand\n{CLOCK}\ndone", (WEATHER, Text("and"), Call("clock", "{}"), Text("done"))
    ),
    "arguments as a string": Case(
        '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', (Call("f", '{"a": 1}'),)
    ),
    "parameters": Case('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', (Call("f", '{"a": 1}'),)),
    "not closed": Case(CALL.removesuffix("</tool_call>"), (WEATHER,)),
    "cut": Case('<tool_call>{"name": "weather", "argu', (Text('<tool_call>{"name": "weather", "argu'),)),
    "no JSON": Case(
        "<tool_call>weather(杭州)</tool_call> sorry", (Text("<tool_call>weather(杭州)</tool_call> sorry"),)
    ),
    "no name": Case('<tool_call>{"arguments": {}}</tool_call>', (Text('<tool_call>{"arguments": {}}</tool_call>'),)),
    "no object": Case("<tool_call>[1]</tool_call>", (Text("<tool_call>[1]</tool_call>"),)),
    "no tools": Case(CALL, (Text(CALL),), tools=False),
    "nearly a mark": Case("a <tool_box> b <tool_cal", (Text("a <tool_box> b <tool_cal"),)),
    "thinking": Case("<think>\nHm.\n</think>\n\nYes.", (Thinking("\nHm.\n"), Text("Yes."))),
    "thinking without tools": Case("<think>Hm.</think>\n\nYes.\n", (Thinking("Hm."), Text("Yes.\n")), tools=False),
    "thinking, then a call": Case(f"\n<think>Hm.</think>\n{CALL}", (Thinking("Hm."), WEATHER)),
    "a call in thinking is a thought": Case(f"<think>{CLOCK}</think>Yes.", (Thinking(CLOCK), Text("Yes."))),
    "begun by the prompt": Case("Hm.</think>Yes.", (Thinking("Hm."), Text("Yes.")), thinks=True),
    "thinking without end": Case("<think>Hm. </thin", (Thinking("Hm. </thin"),)),
    "thinking later is text": Case("Say <think> twice.", (Text("Say <think> twice."),)),
    "nearly thinking": Case(" <thing>", (Text(" <thing>"),)),
    "white space only": Case(" \n", (Text(" \n"),), tools=False),
    "nothing": Case("", ()),
}


def read(case: Case, size: int) -> tuple[Piece, ...]:
    """The pieces, neighbours of a kind put together."""
    markup = Markup(thinks=case.thinks, tools=case.tools)
    found = [
        piece for start in range(0, len(case.said), size) for piece in markup.feed(case.said[start : start + size])
    ]
    joined: list[Piece] = []
    for piece in [*found, *markup.rest()]:
        last = joined[-1] if joined else None
        if isinstance(piece, Text) and isinstance(last, Text):
            joined[-1] = Text(last.text + piece.text)
        elif isinstance(piece, Thinking) and isinstance(last, Thinking):
            joined[-1] = Thinking(last.text + piece.text)
        else:
            joined.append(piece)
    return tuple(joined)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_pieces_are_the_same_however_the_text_comes(case: Case, size: int):
    assert read(case, size) == case.pieces


def test_text_is_given_as_it_comes():
    markup = Markup(thinks=False, tools=True)

    assert markup.feed("Hel") == [Text("Hel")]
    assert markup.feed("lo <to") == [Text("lo")]
    assert markup.feed("day>") == [Text(" <today>")]


def test_a_call_is_given_when_it_is_whole():
    markup = Markup(thinks=False, tools=True)

    assert markup.feed(CALL[:-1]) == []
    assert markup.feed(CALL[-1]) == [WEATHER]
