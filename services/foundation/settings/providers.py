"""Provider: how a remote service of models is reached, and its quirks; the catalogue stands in configs/models.yaml."""

from __future__ import annotations

import operator
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, SecretStr, field_validator

from services.foundation.settings.node import Node

Task = Literal["chat", "embedding", "rerank"]


class Timeouts(Node):
    """How long a provider may take."""

    connect_seconds: float = Field(default=10.0, gt=0, description="Longest wait for a connection.")
    first_byte_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Longest wait for the first byte of an answer; None: server.request_timeout_seconds.",
    )
    between_bytes_seconds: float | None = Field(
        default=None, gt=0, description="Longest silence within an answer; None: server.request_timeout_seconds."
    )


class Retries(Node):
    """When a request is sent again: no connection, 429, 500, 502, 503 or 504, and never after the first byte."""

    count: int = Field(default=2, ge=0, le=10, description="Further attempts after the first; 0: none.")
    budget_seconds: float = Field(
        default=20.0, ge=0, description="No attempt begins later than this, a Retry-After of the provider included."
    )
    first_wait_seconds: float = Field(
        default=0.5, gt=0, description="Wait before the second attempt; it doubles each time, with jitter."
    )


class Bounds(Node):
    """The values of a number that the provider takes."""

    at_least: float | None = Field(default=None, description="Smallest value.")
    above: float | None = Field(default=None, description="Values must be larger than this.")
    at_most: float | None = Field(default=None, description="Largest value.")
    below: float | None = Field(default=None, description="Values must be smaller than this.")

    def refuses(self, number: float) -> str:
        """Why the number is not taken; empty where it is."""
        checks = (
            (self.at_least, "at least", operator.ge),
            (self.above, "more than", operator.gt),
            (self.at_most, "at most", operator.le),
            (self.below, "less than", operator.lt),
        )
        broken = [
            f"{words} {bound:g}" for bound, words, is_kept in checks if not (bound is None or is_kept(number, bound))
        ]
        return " and ".join(broken)


class FieldRules(Node):
    """What becomes of the fields of a request. What is not named is passed on as it came."""

    drop: tuple[str, ...] = Field(
        default=(), description="Left out, because the answer is the same without; the catalogue says why."
    )
    refuse: tuple[str, ...] = Field(
        default=(),
        description="The provider would ignore them, or fail: a request that needs one is refused by its name.",
    )
    rename: dict[str, str] = Field(default={}, description="Name in OpenAI's wire → name at the provider.")
    bounds: dict[str, Bounds] = Field(default={}, description="Field → values that are taken; others are refused.")
    greedy: dict[str, JsonValue] = Field(
        default={}, description="Fields sent in place of temperature 0, where the provider takes no 0."
    )


class EmbeddingRules(Node):
    """How embeddings are asked for."""

    batch_limit: int = Field(default=2048, ge=1, description="Texts the provider takes at a time; more are split.")
    shape: Literal["openai", "minimax"] = Field(default="openai", description="Body of request and answer.")


class RerankRules(Node):
    """How a ranking is asked for."""

    path: str = Field(default="rerank", description="Below the base URL, or a URL of its own.")
    shape: Literal["jina", "dashscope"] = Field(
        default="jina", description="Body of request and answer: Jina's, which is Cohere's too, or DashScope's own."
    )


class Provider(Node):
    """A remote service. Its key is never written into configs: a variable or a secret file holds it."""

    base_url: str = Field(
        description="Base URL, with the /v1 where it has one; {deployment} and {resource}: options of the model."
    )
    tasks: tuple[Task, ...] = Field(default=("chat", "embedding", "rerank"), description="What it can be used for.")
    api_key: SecretStr | None = Field(
        default=None, description="The key itself; better kept in key_variable or key_file."
    )
    key_variable: str | None = Field(
        default=None, pattern=r"^[A-Za-z_]\w*$", description="Environment variable that holds the key."
    )
    key_file: Path | None = Field(default=None, description="File that holds the key, e.g. /run/secrets/deepseek.")
    secret_key: SecretStr | None = Field(default=None, description="Second half of the key, where there is a pair.")
    secret_variable: str | None = Field(
        default=None, pattern=r"^[A-Za-z_]\w*$", description="Environment variable that holds the second half."
    )
    secret_file: Path | None = Field(default=None, description="File that holds the second half.")
    needs_key: bool = Field(default=True, description="Without a key its models do not start.")
    key_problem: str | None = Field(
        default=None, description="Filled when the settings are read: why a key that is there could not be used."
    )
    authentication: Literal["bearer", "api_key_header"] = Field(
        default="bearer", description="'Authorization: Bearer <key>' (pairs joined by a colon), or 'api-key: <key>'."
    )
    query: dict[str, str] = Field(default={}, description="Added to every URL, e.g. api-version.")
    proxy: SecretStr | None = Field(
        default=None, description="HTTP proxy it is reached through; the environment's are ignored."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long it may take.")
    retries: Retries = Field(default=Retries(), description="When a request is sent again.")
    fields: FieldRules = Field(default=FieldRules(), description="What becomes of the fields of a request.")
    asks_usage: bool = Field(default=True, description="Streams are asked for their usage by stream_options.")
    embeddings: EmbeddingRules = Field(default=EmbeddingRules(), description="How embeddings are asked for.")
    rerank: RerankRules = Field(default=RerankRules(), description="How a ranking is asked for.")
    answer_limit_bytes: int = Field(
        default=64_000_000, ge=1_000, description="An answer larger than this is cut off and is a failure."
    )

    @field_validator("base_url")
    @classmethod
    def _holds_no_password(cls, given: str) -> str:
        """An address is shown in failures and by `make config`."""
        if "@" in urlsplit(re.sub(r"\{\w+\}", "x", given)).netloc:
            raise ValueError("a name or password does not belong into the address; use key_variable or key_file")
        return given
