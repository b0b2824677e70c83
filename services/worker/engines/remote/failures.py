"""A provider's answers read with care: its failures become ours, without its key. Used by the remote engines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from services.foundation.errors import ChatchatError, ContextTooLong, InvalidRequest, ProviderFailed, WorkerBusy

Shape = TypeVar("Shape", bound=BaseModel)

_REASON_CHARS = 300
_CONTEXT_LIMIT = re.compile(r"maximum context length is (\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Provider:
    """Who answered: the model, its limit and the key that no sentence may show."""

    model: str
    context_tokens: int
    key: SecretStr | None

    def refusal(self, status: int, body: bytes) -> ChatchatError:
        """The failure an error status means."""
        try:
            parsed: JsonValue = json.loads(body)
        except ValueError:
            parsed = None
        message, code, field = _error_in(parsed)
        reason = self._clean(f"HTTP {status}: {message or body.decode('utf-8', 'replace')}")
        if status in {401, 403}:
            return self.failed(f"HTTP {status}: it refused the access key; check the option api_key")
        if status == 429:
            return WorkerBusy(model=self.model, waiting="too many")
        if code == "context_length_exceeded":
            found = _CONTEXT_LIMIT.search(message)
            limit = int(found.group(1)) if found else self.context_tokens
            return ContextTooLong(model=self.model, tokens="too many", limit=limit)
        if status in {400, 413, 422}:
            return InvalidRequest(field=field or "body", reason=reason)
        return self.failed(reason)

    def failed(self, reason: str) -> ProviderFailed:
        """A failure of the provider."""
        return ProviderFailed(model=self.model, reason=self._clean(reason))

    def parse(self, text: str | bytes, shape: type[Shape]) -> Shape:
        """Read an answer or an event.

        Raises:
            ProviderFailed: it reports a failure, or is not OpenAI's.
        """
        try:
            parsed: JsonValue = json.loads(text)
            if isinstance(parsed, Mapping) and parsed.get("error"):
                raise self.failed(_error_in(parsed)[0] or json.dumps(parsed["error"], ensure_ascii=False))
            return shape.model_validate(parsed)
        except ValidationError as failure:
            first = failure.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self.failed(f"its answer is not OpenAI's: {where}: {first['msg']}") from None
        except ValueError:
            raise self.failed("its answer is not JSON") from None

    def _clean(self, reason: str) -> str:
        """Cut to a sentence's length, the key blotted out."""
        secret = self.key.get_secret_value() if self.key else ""
        cleaned = reason.replace(secret, "***") if secret else reason
        return cleaned[:_REASON_CHARS].rstrip(". \n")


def _error_in(parsed: JsonValue) -> tuple[str, str, str]:
    """Message, code and field of an error body; empty where it has none."""
    error = parsed.get("error", parsed) if isinstance(parsed, Mapping) else None
    if isinstance(error, str):
        return error, "", ""
    if not isinstance(error, Mapping):
        return "", "", ""
    return _text(error.get("message")), _text(error.get("code")), _text(error.get("param"))


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""
