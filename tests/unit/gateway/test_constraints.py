"""Schemas, regexes, grammars and tools: small ones pass, bombs are refused quickly."""

from __future__ import annotations

import json
import time

import pytest

from services.foundation.errors import InvalidRequest
from services.gateway.constraints import check_constraints, states_of


def deep(levels: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def wide(properties: int) -> dict[str, object]:
    return {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(properties)}}


def formatted(schema: object) -> dict[str, object]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}


def tool(parameters: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("response_format", formatted(deep(500))),
        ("response_format", formatted(wide(10_000))),
        ("response_format", formatted({"enum": ["x" * 100] * 1000})),
        ("response_format", formatted({"type": "string", "pattern": "(a{100}){100}{100}"})),
        ("response_format", formatted({"type": "object", "patternProperties": {"(a{999}){999}": {}}})),
        ("response_format", formatted({"type": "string", "maxLength": 10**9})),
        ("response_format", formatted({"type": "array", "minItems": 10**6})),
        ("response_format", {"response_format": {"type": "structural_tag", "structural_tag": "x" * 16_001}}),
        ("structured_outputs", {"structured_outputs": {"regex": "((a{1,50}){1,50}){1,50}"}}),
        ("structured_outputs", {"structured_outputs": {"regex": "a" * 2001}}),
        ("structured_outputs", {"structured_outputs": {"regex": "(" * 51 + "a" + ")" * 51}}),
        ("structured_outputs", {"structured_outputs": {"grammar": "root ::= " + '"a" ' * 5000}}),
        ("structured_outputs", {"structured_outputs": {"choice": ["x"] * 6000}}),
        ("structured_outputs", {"structured_outputs": {"json": json.dumps(deep(200))}}),
        ("structured_outputs", {"structured_outputs": {"json": '{"type": '}}),
        ("tools", {"tools": [tool({})] * 129}),
        ("tools", {"tools": [tool(deep(100))]}),
        ("tools", {"tools": [tool({"description": "x" * 300_000})]}),
        ("text", {"text": {"format": {"type": "json_schema", "schema": deep(100)}}}),
    ],
)
def test_bombs_are_refused_quickly(field, fields):
    began = time.process_time()
    with pytest.raises(InvalidRequest) as failure:
        check_constraints(fields)
    assert time.process_time() - began < 0.2
    assert failure.value.facts["field"] == field


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"response_format": None, "tools": None, "tool_choice": "auto"},
        {"response_format": {"type": "json_object"}},
        formatted(wide(200)),
        formatted(deep(20)),
        formatted({"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T[0-9:.]{1,20}(Z|[+-]\d{2}:\d{2})$"}),
        formatted({"type": "object", "properties": {"pattern": {"type": "string", "maxLength": 2000}}}),
        {"structured_outputs": {"choice": ["yes", "no"]}},
        {"structured_outputs": {"json": json.dumps(wide(3))}},
        {"structured_outputs": {"regex": r"[\w.]{1,64}@[\w.]{1,255}"}},
        {"tools": [tool(wide(30))] * 60},
    ],
)
def test_what_people_use_passes(fields):
    check_constraints(fields)


@pytest.mark.parametrize(
    ("pattern", "states"),
    [
        ("abc", 3),
        ("a{5}", 5),
        ("a{2,5}b", 6),
        ("(ab){3}", 6),
        ("(?:ab){3}", 9),  # the colon counts, which does no harm
        ("(a{3}b){4}", 16),
        (r"[a-z\]{]{3}", 3),
        (r"\{3}x", 4),
        ("a{,4}", 4),
        ("x{y}", 4),
        ("[]a]{2}", 2),
        ("a|b*", 2),
        ("", 0),
        ("(((", 0),
        (")){3}", 4),
    ],
)
def test_states_are_counted_with_repetitions_written_out(pattern, states):
    assert states_of(pattern) == states
