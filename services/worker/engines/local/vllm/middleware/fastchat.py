"""FastChat's worker wire over vLLM's routes: requests rewritten, answers translated. Used by the middleware.

Source: fastchat/serve/base_model_worker.py of fschat 0.2.36. A stream is NUL-terminated JSON with cumulative text; a
failure is an answer with an `error_code`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from pydantic import JsonValue
from starlette.responses import JSONResponse, Response
from starlette.types import Message, Send

from services.foundation.errors import ChatchatError, InvalidRequest, Kind
from services.worker.engines.local.vllm.middleware.admission import Pulse
from services.worker.engines.local.vllm.middleware.failures import failure_in, failure_of
from services.worker.engines.local.vllm.middleware.plan import MiddlewarePlan
from services.worker.engines.local.vllm.middleware.requests import Fields
from services.worker.fastchat_prompt import messages_in

log = logging.getLogger(__name__)

_CODES: Mapping[str, int] = {
    "request.invalid": 40302,
    "model.unknown": 40301,
    "model.context_too_long": 40303,
    "model.busy": 42903,
    "model.no_worker": 50005,
}
_INTERNAL_CODE = 50001
_TIMEOUT_CODE = 50006
_SAME = ("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "stop", "stop_token_ids")
_EVENT = b"data: "


def generation(fields: Fields, plan: MiddlewarePlan) -> tuple[str, bytes]:
    """Path and body of the OpenAI request that a generation request of FastChat means.

    A prompt in our template is read back into messages, so that the model's own template is used. Any other is taken
    as it is.

    Raises:
        InvalidRequest: it has no prompt.
    """
    prompt = fields.get("prompt")
    if not isinstance(prompt, str):
        raise InvalidRequest(field="prompt", reason="it is not a text")
    asked: Fields = {name: fields[name] for name in _SAME if fields.get(name)}
    if fields.get("temperature") == 0:
        asked["temperature"] = 0
    if fields.get("max_new_tokens"):
        asked["max_tokens"] = fields["max_new_tokens"]
    asked |= {"model": plan.model, "stream": True}
    asked["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    if plan.is_chatml and "<|im_start|>" in prompt:
        messages: list[JsonValue] = [{"role": each.role, "content": each.text} for each in messages_in(prompt)]
        return "/v1/chat/completions", json.dumps({**asked, "messages": messages}, ensure_ascii=False).encode()
    return "/v1/completions", json.dumps({**asked, "prompt": prompt}, ensure_ascii=False).encode()


def embedding(fields: Fields, plan: MiddlewarePlan) -> tuple[str, bytes]:
    """Path and body of the OpenAI request that an embedding request of FastChat means."""
    asked: Fields = {"model": plan.model, "input": fields.get("input")}
    if fields.get("encoding_format"):
        asked["encoding_format"] = fields["encoding_format"]
    return "/v1/embeddings", json.dumps(asked, ensure_ascii=False).encode()


def counting(fields: Fields, plan: MiddlewarePlan) -> tuple[str, bytes]:
    """Path and body of the tokenize request that a count request of FastChat means."""
    return "/tokenize", json.dumps({"model": plan.model, "prompt": fields.get("prompt", "")}).encode()


async def embedded(status: int, body: bytes, plan: MiddlewarePlan) -> Response:
    """FastChat's answer for vLLM's embeddings."""
    if status >= 400:
        return refusal(failure_in(status, body, plan))
    answer = json.loads(body)
    vectors = [item["embedding"] for item in sorted(answer["data"], key=lambda item: int(item["index"]))]
    return JSONResponse({"embedding": vectors, "token_num": answer["usage"]["total_tokens"]})


async def counted(status: int, body: bytes, plan: MiddlewarePlan) -> Response:
    """FastChat's answer for vLLM's tokens."""
    if status >= 400:
        return refusal(failure_in(status, body, plan))
    return JSONResponse({"count": json.loads(body)["count"], "error_code": 0})


def status_of(plan: MiddlewarePlan, queue_length: int) -> Fields:
    """What FastChat's controller asks a worker."""
    tasks: Fields = {plan.model: plan.task}
    names: list[JsonValue] = [plan.model]
    return {"model_names": names, "speed": 1, "queue_length": queue_length, "tasks": tasks, "dialect": "openai"}


def refusal(failure: ChatchatError, *, terminated: bool = False) -> Response:
    """A failure as FastChat writes it."""
    fields = _failure(failure)
    return Response(_packed(fields)) if terminated else JSONResponse(fields)


class Cumulative:
    """`send` for a generation: vLLM's events become FastChat's messages.

    Args:
        send: the client's.
        plan: says the model.
        pulse: is told of progress.
        echo: text the answer begins with.
        streamed: send every message, NUL-terminated; otherwise only the last, as a JSON body.
    """

    def __init__(self, send: Send, plan: MiddlewarePlan, pulse: Pulse, *, echo: str, streamed: bool) -> None:
        self._send = send
        self._plan = plan
        self._pulse = pulse
        self._streamed = streamed
        self._message: Fields = {"text": echo, "error_code": 0, "usage": {}, "finish_reason": None}
        self._reason: JsonValue = None
        self._status = 200
        self._rest = b""
        self._is_over = False

    async def __call__(self, message: Message) -> None:
        self._pulse.at = self._pulse.clock()
        if message["type"] == "http.response.start":
            self._status = message["status"]
            if self._streamed:
                headers = [(b"content-type", b"application/octet-stream")]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            return
        self._rest += message.get("body", b"")
        if self._status < 400:
            await self._read_events()
        if not message.get("more_body", False):
            await self._finish()

    async def fail(self, failure: ChatchatError, _: str) -> None:
        """The failure to send: vLLM raised."""
        if not self._is_over:
            self._message = _failure(failure)
            await self._finish()

    async def _read_events(self) -> None:
        *events, self._rest = self._rest.split(b"\n\n")
        for event in events:
            if event.startswith(_EVENT) and not event.endswith(b"[DONE]"):
                await self._read(json.loads(event.removeprefix(_EVENT)))

    async def _read(self, event: Fields) -> None:
        error = event.get("error")
        if isinstance(error, dict):
            self._message = _failure(failure_of(error, 500, self._plan))
        if self._message["error_code"]:
            return
        self._message["usage"] = event.get("usage") or self._message["usage"]
        choices = event.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return
        choice = choices[0]
        self._reason = choice.get("finish_reason") or self._reason
        delta = choice.get("delta")
        piece = delta.get("content") if isinstance(delta, dict) else choice.get("text")
        if isinstance(piece, str) and piece:
            self._message["text"] = f"{self._message['text']}{piece}"
            if self._streamed:
                await self._write(_packed(self._message), more=True)

    async def _finish(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._status >= 400:
            self._message = _failure(failure_in(self._status, self._rest, self._plan))
        elif not self._message["error_code"]:
            self._message["finish_reason"] = self._reason
        if self._streamed:
            await self._write(_packed(self._message), more=False)
            return
        body = json.dumps(self._message, ensure_ascii=False).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._write(body, more=False)

    async def _write(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


def _failure(failure: ChatchatError) -> Fields:
    log.warning("a request of FastChat failed: %s", failure)
    code = _CODES.get(failure.code, _TIMEOUT_CODE if failure.kind is Kind.TIMEOUT else _INTERNAL_CODE)
    return {"text": str(failure), "error_code": code}


def _packed(message: Fields) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\0"
