"""What an engine is. A worker is the wire's last stop, so engines speak wire types.

An engine implements `Engine` and one of ChatEngine, EmbeddingEngine, RerankEngine. Constructors are light: they
validate options (raising `InvalidSetting`) and load nothing; `start` loads, and is called once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import SecretStr

from services.wire.openai import (
    ChatChunk,
    ChatCompletionRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is constructed from.

    Attributes:
        model: the name clients call it by.
        options: the engine's own options from models.yaml; the engine validates them.
        context_tokens: longest request, in the engine's own tokens.
        model_dir: folder with local weights.
        gateway_url: where other models are reached, for engines that need one (base URL without /v1).
        gateway_key: access key for it, if it asks for one.
        timeout_seconds: longest wait for a provider's next byte.
    """

    model: str
    options: Mapping[str, Any]
    context_tokens: int
    model_dir: Path
    gateway_url: str
    gateway_key: SecretStr | None
    timeout_seconds: float


@runtime_checkable
class Engine(Protocol):
    """Runs one model."""

    def __init__(self, spec: EngineSpec) -> None: ...

    @property
    def concurrency(self) -> int:
        """Requests it can usefully run at a time; the worker's slots admit no more."""
        ...

    async def start(self) -> None:
        """Load what it needs. Raises InvalidSetting (a missing model folder, …) or EngineFailed."""
        ...

    async def stop(self) -> None:
        """Release everything. Safe to call when `start` failed."""
        ...


@runtime_checkable
class ChatEngine(Protocol):
    """Answers chats. The chat template is applied here, beside the tokenizer."""

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        """Stream one choice: a role chunk, content chunks, a chunk with finish_reason, a usage chunk without choices.

        `stop` and the token limit are honoured here. Closing the iterator stops the work within a second.

        Raises:
            ContextTooLong: before the first chunk.
            EngineFailed, ProviderFailed, TookTooLong, ServiceUnreachable: at any point.
        """
        ...


@runtime_checkable
class EmbeddingEngine(Protocol):
    """Turns texts into vectors."""

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """One L2-normalised vector a text, in order, as floats; the route encodes base64.

        `unreadable_share` is filled where the engine knows it; there, `skip_unreadable_above` is honoured.
        """
        ...


@runtime_checkable
class RerankEngine(Protocol):
    """Scores documents against a query."""

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        """Best first; relevance in [0, 1]."""
        ...
