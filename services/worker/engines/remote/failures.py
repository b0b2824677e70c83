"""A provider's answers read with care: its failures become ours, without its key. Used by the remote engines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from services.foundation.errors import ChatchatError, ContextTooLong, InvalidRequest, ProviderFailed, WorkerBusy
from services.worker.engines.remote import wording

Shape = TypeVar("Shape", bound=BaseModel)

_REASON_CHARS = 300
_SHORTEST_SECRET = 4
_OWN_FIELDS = {"max_tokens", "max_completion_tokens"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What an error body says; empty where it does not.

    Attributes:
        message: the sentence.
        codes: code, type and status, in lower case: providers use them for each other.
        field: the request field that is wrong.
        excess: how much too long the request is, when that is what is wrong.
    """

    message: str = ""
    codes: frozenset[str] = frozenset()
    field: str = ""
    excess: wording.Excess | None = None


@dataclass(frozen=True, slots=True)
class AnswerReader:
    """Who answered: the model, its name there, its limit, where its key is set, and the secrets no sentence shows."""

    model: str
    upstream: str
    context_tokens: int
    key_place: str = "the option api_key"
    secrets: tuple[SecretStr, ...] = field(default=(), repr=False)

    def refusal(self, status: int, body: bytes, retry_after_seconds: float | None = None) -> ChatchatError:
        """The failure an error status means."""
        parsed = _json(body)
        fault = fault_in(parsed) or Fault(message=body.decode("utf-8", "replace"))
        return self._meaning(status, fault, retry_after_seconds)

    def failed(self, reason: str) -> ProviderFailed:
        """A failure of the provider."""
        return ProviderFailed(model=self.model, reason=self._clean(reason))

    def read(self, text: str | bytes) -> dict[str, JsonValue]:
        """The fields of an answer or an event.

        Raises:
            ChatchatError: what the failure it reports means.
            ProviderFailed: it is not a JSON object.
        """
        parsed = _json(text)
        fault = fault_in(parsed) if _reports_a_failure(parsed) else None
        if fault is not None:
            raise self._meaning(_status_in(fault), fault, None)
        if not isinstance(parsed, dict):
            raise self.failed("its answer is not JSON" if parsed is None else "its answer is not a JSON object")
        return parsed

    def parse(self, text: str | bytes, shape: type[Shape]) -> Shape:
        """Read an answer of a known shape.

        Raises:
            ChatchatError: as `read` does.
            ProviderFailed: it has another shape.
        """
        fields = self.read(text)
        try:
            return shape.model_validate(fields)
        except ValidationError as failure:
            raise self.misshapen(failure) from None

    def misshapen(self, failure: ValidationError) -> ProviderFailed:
        """The failure of an answer that is not of the shape it should be."""
        first = failure.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        return self.failed(f"its answer is not OpenAI's: {where}: {first['msg']}")

    def _meaning(self, status: int, fault: Fault, retry_after_seconds: float | None) -> ChatchatError:
        said = self._clean(f"HTTP {status}: {fault.message}" if status != 200 else fault.message)
        if fault.excess is not None or fault.codes & wording.TOO_LONG:
            return self._too_long(fault.excess or wording.Excess(None, None))
        if status == 402 or fault.codes & wording.NO_CREDIT or wording.NO_CREDIT_WORDS.search(fault.message):
            return self.failed(f"the account has no credit left ({said}); top it up there")
        if fault.codes & wording.FILTERED or wording.FILTERED_WORDS.search(fault.message):
            return InvalidRequest(field="messages", reason=f"the provider's content filter refused them ({said})")
        if status in {401, 403} or fault.codes & wording.NO_KEY:
            return self._wrong_key(status, said)
        if status == 429 or fault.codes & wording.BUSY:
            return self._busy(retry_after_seconds)
        return self._other(status, fault, said)

    def _other(self, status: int, fault: Fault, said: str) -> ChatchatError:
        if status == 404 or fault.codes & wording.NO_MODEL:
            return self.failed(f"it knows no model {self.upstream!r} ({said}); check the options model and base_url")
        if 300 <= status < 400:
            return self.failed(f"HTTP {status}: it points elsewhere, which is not followed; check its base URL")
        if status in {400, 413, 422}:
            return InvalidRequest(field=self._clean(fault.field) or "body", reason=said)
        return self.failed(said or "it reports a failure and does not say which")

    def _wrong_key(self, status: int, said: str) -> ProviderFailed:
        shown = {200: "", 403: f"{said}: "}.get(
            status, f"HTTP {status}: "
        )  # the sentence of a 401 shows part of the key
        return self.failed(f"{shown}it refused the access key; check {self.key_place}")

    def _too_long(self, excess: wording.Excess) -> ContextTooLong:
        limit = excess.limit or self.context_tokens
        return ContextTooLong(model=self.model, tokens=excess.tokens or "too many", limit=limit)

    def _busy(self, retry_after_seconds: float | None) -> WorkerBusy:
        facts = {} if retry_after_seconds is None else {"retry_after_seconds": retry_after_seconds}
        return WorkerBusy(model=self.model, waiting="too many", **facts)

    def _clean(self, reason: str) -> str:
        """Cut to a sentence's length, the secrets blotted out."""
        for secret in self.secrets:
            if len(secret.get_secret_value()) >= _SHORTEST_SECRET:
                reason = reason.replace(secret.get_secret_value(), "***")
        return reason[:_REASON_CHARS].rstrip(". \n")


def fault_in(parsed: JsonValue) -> Fault | None:
    """What an error body says, in whichever shape; None when it is no JSON object.

    OpenAI: {error: {message, code, type, param}}; Gemini: the same in a list; MiniMax: {base_resp: {status_code,
    status_msg}}; DashScope and Spark: {code, message}; others: {error: "…"} or {detail: "…"}.
    """
    body = parsed[0] if isinstance(parsed, list) and parsed else parsed
    if not isinstance(body, Mapping):
        return None
    minimax = body.get("base_resp")
    if isinstance(minimax, Mapping) and minimax.get("status_code"):
        return _fault(minimax.get("status_msg"), (f"{wording.MINIMAX}{minimax['status_code']}",), body)
    error = body.get("error") or body
    if isinstance(error, str):
        return _fault(error, (body.get("code"),), body)
    if not isinstance(error, Mapping):
        return _fault(json.dumps(error, ensure_ascii=False), (), body)
    message = next((error[name] for name in ("message", "msg", "detail", "code_msg") if error.get(name)), "")
    return _fault(message, (error.get("code"), error.get("type"), error.get("status")), error)


def _fault(message: JsonValue, codes: tuple[JsonValue, ...], body: Mapping[str, JsonValue]) -> Fault:
    sentence = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    param = body.get("param")
    field_name = param if isinstance(param, str) else ""
    kinds = frozenset(str(code).lower() for code in codes if isinstance(code, str | int) and code)
    excess = None if field_name in _OWN_FIELDS else wording.excess_in(sentence)
    tokens, limit = body.get("n_prompt_tokens"), body.get("n_ctx")  # llama.cpp's
    if isinstance(tokens, int) and isinstance(limit, int):
        excess = wording.Excess(tokens, limit)
    return Fault(sentence, kinds, field_name, excess)


def _reports_a_failure(parsed: JsonValue) -> bool:
    """Whether a body that came with status 200 is a failure after all."""
    if isinstance(parsed, list):
        return bool(parsed) and isinstance(parsed[0], Mapping) and bool(parsed[0].get("error"))
    if not isinstance(parsed, Mapping):
        return False
    minimax, code = parsed.get("base_resp"), parsed.get("code")
    return (
        bool(parsed.get("error"))
        or (isinstance(minimax, Mapping) and bool(minimax.get("status_code")))
        or (bool(code) and code not in {200, "200", "0", "Success"} and not parsed.get("choices"))
    )


def _status_in(fault: Fault) -> int:
    """The status a failure inside a stream would have had; 200 where it does not say."""
    return next((int(code) for code in fault.codes if code.isdecimal() and 300 <= int(code) < 600), 200)


def _json(text: str | bytes) -> JsonValue:
    try:
        parsed: JsonValue = json.loads(text)
    except ValueError:
        return None
    return parsed
