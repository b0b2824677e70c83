"""What an engine is. A worker is the wire's last stop, so engines speak wire types.

An engine implements `Engine` and one of ChatEngine, EmbeddingEngine, RerankEngine, ServerEngine. Constructors are
light: they validate options (raising `InvalidSetting`) and load nothing; `start` loads, and is called once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import SecretStr

from services.foundation.settings.models import Downloads
from services.foundation.settings.providers import Provider
from services.wire.openai import (
    ChatChunk,
    ChatCompletionRequest,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    TokenizeRequest,
    TokenizeResponse,
)


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is constructed from.

    Attributes:
        model: the name clients call it by.
        options: the engine's own options from models.yaml, over those of the profile; the engine validates them.
        context_tokens: longest request, in the engine's own tokens.
        model_dir: folder with local weights.
        gateway_url: where other models are reached, for engines that need one (base URL without /v1).
        gateway_key: access key for it, if it asks for one.
        timeout_seconds: longest wait for a provider's next byte.
        task: chat, embedding or rerank.
        host: where an engine that opens a port of its own binds it.
        gpus: the GPUs of this replica, as CUDA counts them; empty: the engine's own choice.
        downloads: whether weights may be fetched.
        provider: the catalogue's entry, for remote engines.
    """

    model: str
    options: Mapping[str, Any]
    context_tokens: int
    model_dir: Path
    gateway_url: str
    gateway_key: SecretStr | None
    timeout_seconds: float
    task: str = "chat"
    host: str = "127.0.0.1"
    gpus: tuple[str, ...] = ()
    downloads: Downloads = field(default_factory=Downloads)
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """How busy a model is, and whether it gets on.

    Attributes:
        running: requests being answered.
        waiting: requests in the queue.
        silent_seconds: since the last sign of progress on any of them; 0 while nothing runs.
    """

    running: int = 0
    waiting: int = 0
    silent_seconds: float = 0.0


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


@runtime_checkable
class TokenizingEngine(Protocol):
    """Counts as its model counts. Implemented by chat engines that have a tokenizer."""

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResponse:
        """The tokens of a prompt, or of messages in the model's own chat template."""
        ...


@runtime_checkable
class ServerEngine(Protocol):
    """Runs an OpenAI server of its own in a child process. Its requests do not pass this process: the controller is
    told the server's address instead of the worker's. It is alone in its worker; `concurrency` is the server's matter.

    `start` returns when the server has answered a first tiny request. After `stop` it can be started again.
    """

    @property
    def address(self) -> str:
        """Base URL of the server, without /v1; empty before it has started."""
        ...

    async def vitals(self) -> Vitals:
        """How it is. Raises ServiceUnreachable or TookTooLong when it does not say."""
        ...

    async def answer_canary(self) -> None:
        """Have the model answer a tiny request. Raises EngineFailed, ServiceUnreachable or TookTooLong."""
        ...

    async def ended(self) -> str:
        """Wait until the server can serve no more, and say why."""
        ...
