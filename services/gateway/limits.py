"""Limits: what a call may ask of an engine. The one place of admission; everything refused here is 400 with its field.

The engines check again what they know better (the length of a prompt, what a model can do). Here stands what hurts
before or while they check it. Called by the routes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from services.foundation.errors import InvalidRequest
from services.gateway.bodies import Call
from services.gateway.constraints import check_constraints
from services.gateway.images import Images

Fields = Mapping[str, JsonValue]

_MESSAGES = 4096
_PARTS = 1024
_PROMPTS = 64
_INPUTS = 2048
_PASSAGES = 1000
_STOPS = 16
_STOP_CHARS = 512
_LIST_ENTRIES = {"stop_token_ids": 256, "bad_words": 256, "logit_bias": 1024, "modalities": 4, "include": 16}
_TOKENS = 1_048_576
_WHOLE_64_BITS = 2**63

_REFUSED = frozenset(
    {"prompt_embeds", "chat_template", "chat_template_kwargs", "mm_processor_kwargs", "media_io_kwargs"}
    | {"logits_processors", "kv_transfer_params", "vllm_xargs", "request_id"}
)
"""They reach into the engine."""
_REPLACED = {
    "guided_json": "response_format or structured_outputs",
    "guided_regex": "structured_outputs",
    "guided_choice": "structured_outputs",
    "guided_grammar": "structured_outputs",
    "guided_decoding_backend": "structured_outputs",
    "guided_whitespace_pattern": "structured_outputs",
}
"""Fields that an engine of today would ignore without a word."""
_MEDIA = frozenset(
    {"image_pil", "image_embeds", "audio_url", "audio_embeds", "input_audio", "video_url", "file", "file_url"}
    | {"file_data", "file_id"}
)


@dataclass(frozen=True, slots=True)
class _Span:
    low: float
    high: float
    whole: bool = False


_ANSWER_TOKENS = _Span(1, _TOKENS, whole=True)
_NUMBERS: Mapping[str, _Span] = {
    "max_tokens": _ANSWER_TOKENS,
    "max_completion_tokens": _ANSWER_TOKENS,
    "max_output_tokens": _ANSWER_TOKENS,
    "min_tokens": _Span(0, _TOKENS, whole=True),
    "n": _Span(1, 16, whole=True),
    "best_of": _Span(1, 16, whole=True),
    "top_logprobs": _Span(0, 20, whole=True),
    "prompt_logprobs": _Span(0, 20, whole=True),
    "temperature": _Span(0, 2),
    "top_p": _Span(0, 1),
    "min_p": _Span(0, 1),
    "top_k": _Span(-1, _TOKENS, whole=True),
    "presence_penalty": _Span(-2, 2),
    "frequency_penalty": _Span(-2, 2),
    "repetition_penalty": _Span(0, 10),
    "length_penalty": _Span(-10, 10),
    "seed": _Span(-_WHOLE_64_BITS, _WHOLE_64_BITS - 1, whole=True),
    "top_n": _Span(1, _TOKENS, whole=True),
    "dimensions": _Span(1, 65_536, whole=True),
    "truncate_prompt_tokens": _Span(-1, _TOKENS, whole=True),
}


def check(call: Call) -> None:
    """Let a call pass or raise.

    Raises:
        InvalidRequest: it asks for too much, or for something this gateway does not pass on.
    """
    fields = call.fields
    for name, value in fields.items():
        if name in _REFUSED:
            raise InvalidRequest(field=name, reason="this gateway does not accept it")
        if name in _REPLACED:
            raise InvalidRequest(field=name, reason=f"no engine heeds it any more; use {_REPLACED[name]}")
        if name in _NUMBERS and value is not None:
            _number(name, value, _NUMBERS[name])
        elif name in _LIST_ENTRIES and isinstance(value, list | dict) and len(value) > _LIST_ENTRIES[name]:
            raise InvalidRequest(field=name, reason=f"it has more than {_LIST_ENTRIES[name]} entries")
    _flag("stream", fields)
    _stops(fields.get("stop"))
    _logprobs(fields.get("logprobs"))
    check_constraints(fields)
    special = _BODIES.get(call.path)
    if special is not None:
        special(fields)


def _number(name: str, value: JsonValue, span: _Span) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidRequest(field=name, reason="it must be a number")
    if span.whole and not isinstance(value, int) and (abs(value) >= 2**53 or not value.is_integer()):
        raise InvalidRequest(field=name, reason="it must be a whole number")
    if not span.low <= value <= span.high:
        raise InvalidRequest(field=name, reason=f"it must lie between {span.low} and {span.high}")


def _flag(name: str, fields: Fields) -> None:
    if not isinstance(fields.get(name), bool | None):
        raise InvalidRequest(field=name, reason="it must be true or false")


def _stops(stop: JsonValue) -> None:
    given = [stop] if isinstance(stop, str) else stop
    if given is None:
        return
    if not isinstance(given, list) or not all(isinstance(text, str) for text in given[: _STOPS + 1]):
        raise InvalidRequest(field="stop", reason="it must be a text or a list of texts")
    if len(given) > _STOPS:
        raise InvalidRequest(field="stop", reason=f"{len(given)} stop strings are more than {_STOPS}")
    if any(isinstance(text, str) and len(text) > _STOP_CHARS for text in given):
        raise InvalidRequest(field="stop", reason=f"a stop string is longer than {_STOP_CHARS} characters")


def _logprobs(wanted: JsonValue) -> None:
    """A flag in a chat, a number in a completion."""
    if wanted is not None and not isinstance(wanted, bool):
        _number("logprobs", wanted, _Span(0, 20, whole=True))


def _chat(fields: Fields) -> None:
    _messages("messages", fields.get("messages"), Images())


def _messages(name: str, messages: JsonValue, images: Images) -> None:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(field=name, reason="it must be a list of at least one message")
    if len(messages) > _MESSAGES:
        raise InvalidRequest(field=name, reason=f"{len(messages)} messages are more than {_MESSAGES}")
    roles = set()
    for place, message in enumerate(messages):
        if not isinstance(message, dict):
            raise InvalidRequest(field=f"{name}.{place}", reason="it must be an object")
        roles.add(str(message.get("role")))
        _content(f"{name}.{place}.content", message.get("content"), images)
    if roles <= {"system", "developer"}:
        raise InvalidRequest(field=name, reason="there is nothing to answer: every message is the system's")


def _content(name: str, content: JsonValue, images: Images) -> None:
    if content is None or isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidRequest(field=name, reason="it must be a text or a list of parts")
    if len(content) > _PARTS:
        raise InvalidRequest(field=name, reason=f"{len(content)} parts are more than {_PARTS}")
    for place, part in enumerate(content):
        if not isinstance(part, dict):
            if not isinstance(part, str):
                raise InvalidRequest(field=f"{name}.{place}", reason="it must be an object")
            continue
        _part(f"{name}.{place}", part, images)


def _part(name: str, part: Fields, images: Images) -> None:
    foreign = _MEDIA & part.keys()
    if foreign:
        raise InvalidRequest(field=f"{name}.{min(foreign)}", reason="this gateway passes on text and images only")
    shown = part.get("image_url")
    if shown is not None:  # whatever its type says: engines look at the key alone
        images.check(f"{name}.image_url", shown.get("url") if isinstance(shown, dict) else shown)


def _completion(fields: Fields) -> None:
    _texts("prompt", fields.get("prompt"), _PROMPTS)


def _embedding(fields: Fields) -> None:
    if "messages" in fields:  # vLLM's extension for models that see
        _chat(fields)
    else:
        _texts("input", fields.get("input"), _INPUTS)


def _texts(name: str, given: JsonValue, limit: int) -> None:
    """A text, a list of texts, a list of token ids, or a list of such lists; nothing empty."""
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        raise InvalidRequest(field=name, reason="it is empty, or no text")
    if isinstance(given[0], int):
        if not all(type(token) is int and token >= 0 for token in given):
            raise InvalidRequest(field=name, reason="it mixes token ids with something else")
        return
    if len(given) > limit:
        raise InvalidRequest(field=name, reason=f"{len(given)} texts are more than {limit}")
    if not all(isinstance(text, str | list) and text for text in given):
        raise InvalidRequest(field=name, reason="one of its texts is empty, or no text")


def _rerank(fields: Fields) -> None:
    query, passages = fields.get("query"), fields.get("documents")
    if not isinstance(query, str) or not query:
        raise InvalidRequest(field="query", reason="it is empty, or no text")
    if not isinstance(passages, list) or not passages:
        raise InvalidRequest(field="documents", reason="it must be a list of at least one text")
    if len(passages) > _PASSAGES:
        raise InvalidRequest(field="documents", reason=f"{len(passages)} texts are more than {_PASSAGES}")


def _response(fields: Fields) -> None:
    """OpenAI's responses: `input` is a text, or a list of messages and other items."""
    given, images = fields.get("input"), Images()
    if isinstance(given, str) and given:
        return
    if not isinstance(given, list) or not given:
        raise InvalidRequest(field="input", reason="it is empty, or no text")
    if len(given) > _MESSAGES:
        raise InvalidRequest(field="input", reason=f"{len(given)} items are more than {_MESSAGES}")
    for place, item in enumerate(given):
        if not isinstance(item, dict):
            raise InvalidRequest(field=f"input.{place}", reason="it must be an object")
        _content(f"input.{place}.content", item.get("content"), images)


def _tokenize(fields: Fields) -> None:
    if fields.get("messages") is not None:
        _chat(fields)
    elif not isinstance(fields.get("prompt"), str):
        raise InvalidRequest(field="prompt", reason="it must be a text")


_BODIES: Mapping[str, Callable[[Fields], None]] = {
    "/v1/chat/completions": _chat,
    "/v1/completions": _completion,
    "/v1/embeddings": _embedding,
    "/v1/rerank": _rerank,
    "/v1/responses": _response,
    "/tokenize": _tokenize,
}
