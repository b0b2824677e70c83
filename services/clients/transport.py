"""One httpx factory: timeouts, no proxies, keys; and the decoding of failures. Every client is made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

import httpx
from pydantic import BaseModel, JsonValue, SecretStr, ValidationError

from services.foundation.errors import ChatchatError, ProviderFailed, ServiceUnreachable, TookTooLong, error_from

CONNECT_SECONDS = 5.0
M = TypeVar("M", bound=BaseModel)


def async_client(base_url: str, *, timeout_seconds: float, key: SecretStr | None = None) -> httpx.AsyncClient:
    """An httpx client for one of our services: proxy variables are ignored, connects fail fast.

    Keep-alive ends before uvicorn's 5 seconds do, so that no request meets a connection the server just closed.
    """
    return httpx.AsyncClient(
        base_url=base_url,
        timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
        trust_env=False,
        headers=_key_headers(key),
        limits=httpx.Limits(keepalive_expiry=3.0, max_connections=None, max_keepalive_connections=50),
    )


def sync_client(base_url: str, *, timeout_seconds: float, key: SecretStr | None = None) -> httpx.Client:
    """`async_client` for synchronous callers (the web UI and scripts)."""
    return httpx.Client(
        base_url=base_url,
        timeout=httpx.Timeout(timeout_seconds, connect=CONNECT_SECONDS),
        trust_env=False,
        headers=_key_headers(key),
        limits=httpx.Limits(keepalive_expiry=3.0),
    )


def _key_headers(key: SecretStr | None) -> dict[str, str]:
    return {} if key is None else {"x-api-key": key.get_secret_value()}


def unreachable(service: str, url: str, timeout_seconds: float, failure: httpx.HTTPError) -> ChatchatError:
    """The failure a transport error means: too slow, or not there."""
    if isinstance(failure, httpx.TimeoutException) and not isinstance(failure, httpx.ConnectTimeout):
        return TookTooLong(service=service, timeout_seconds=timeout_seconds)
    return ServiceUnreachable(service=service, url=url, reason=type(failure).__name__)


def decode(message: type[M], body: bytes, service: str) -> M:
    """Parse a good answer; one that is not the message asked for is a `ProviderFailed`."""
    try:
        return message.model_validate_json(body)
    except ValidationError as failure:
        raise ProviderFailed(model=service, reason=f"the answer is not a {message.__name__}") from failure


def decode_failure(body: bytes, status: int, service: str) -> ChatchatError:
    """Rebuild the failure a service of ours rendered (either dialect); anything else is a `ProviderFailed`."""
    try:
        parsed: JsonValue = json.loads(body)
    except ValueError:
        parsed = None
    return failure_in(parsed) or ProviderFailed(model=service, reason=_foreign(parsed, body, status))


def failure_in(parsed: JsonValue) -> ChatchatError | None:
    """The failure inside a decoded body or event of ours, or None when it is not a failure of ours."""
    error = parsed.get("error") if isinstance(parsed, Mapping) else None
    if not isinstance(error, Mapping):
        return None
    ours = error.get("chatchat", error)
    if not isinstance(ours, Mapping):
        return None
    code, facts = ours.get("code"), ours.get("facts")
    if not isinstance(code, str) or not isinstance(facts, Mapping):
        return None
    kept = {
        name: value for name, value in facts.items() if value is None or isinstance(value, str | int | float | bool)
    }
    return error_from(code, kept)


def _foreign(parsed: JsonValue, body: bytes, status: int) -> str:
    if isinstance(parsed, Mapping):
        error = parsed.get("error", parsed)
        if isinstance(error, Mapping) and isinstance(error.get("message"), str):
            return f"HTTP {status}: {error['message']}"
    return f"HTTP {status}: {body[:200].decode('utf-8', 'replace')}"
