"""OpenAI's wire: chat, completions, embeddings, models, and rerank in the shape Cohere and Jina made common.

Sources: the OpenAI API reference (chat/completions, completions, embeddings, models, error body) and Jina's rerank API.
Requests tolerate unknown fields, as OpenAI's servers do; engines ignore what they do not know.
"""

from __future__ import annotations

import secrets
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


def _now() -> int:
    return int(time.time())


def new_id(prefix: str) -> str:
    """A fresh object id such as `chatcmpl-…`."""
    return f"{prefix}-{secrets.token_hex(12)}"


class Incoming(BaseModel):
    """A request body."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Outgoing(BaseModel):
    """A response body."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class TextPart(Incoming):
    """One part of a message's content; only text parts are understood here."""

    type: str = "text"
    text: str = ""


class ChatMessage(Incoming):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        """The message's text, parts joined."""
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if part.type == "text")


class StreamOptions(Incoming):
    """Options of a stream."""

    include_usage: bool = False


class SamplingRequest(Incoming):
    """What chat and text completion requests share."""

    model: str = Field(min_length=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    n: int = Field(default=1, ge=1, le=16)
    max_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    seed: int | None = None
    user: str | None = None

    @property
    def stops(self) -> list[str]:
        """The stop strings as a list, empty ones dropped."""
        given = [self.stop] if isinstance(self.stop, str) else list(self.stop or [])
        return [text for text in given if text]


class ChatCompletionRequest(SamplingRequest):
    """Body of POST /v1/chat/completions."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def token_limit(self) -> int | None:
        """The newer name wins over `max_tokens`."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(SamplingRequest):
    """Body of POST /v1/completions."""

    prompt: str | list[str]
    echo: bool = False


class Usage(Outgoing):
    """Tokens of a request and its answer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ChoiceMessage(Outgoing):
    """The message of a finished choice."""

    role: str = "assistant"
    content: str | None = None


class ChatChoice(Outgoing):
    """One finished choice."""

    index: int = 0
    message: ChoiceMessage
    finish_reason: str | None = None


class ChatCompletion(Outgoing):
    """Answer of POST /v1/chat/completions without stream."""

    id: str = Field(default_factory=lambda: new_id("chatcmpl"))
    object: str = "chat.completion"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[ChatChoice]
    usage: Usage | None = None


class Delta(Outgoing):
    """What a chunk adds."""

    role: str | None = None
    content: str | None = None


class ChunkChoice(Outgoing):
    """One choice of a chunk."""

    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class ChatChunk(Outgoing):
    """One event of a chat stream. The usage chunk has no choices."""

    id: str
    object: str = "chat.completion.chunk"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class TextChoice(Outgoing):
    """One choice of a text completion, whole or a piece of a stream."""

    index: int = 0
    text: str
    finish_reason: str | None = None
    logprobs: None = None


class Completion(Outgoing):
    """Answer of POST /v1/completions, whole or one event of its stream."""

    id: str = Field(default_factory=lambda: new_id("cmpl"))
    object: str = "text_completion"
    created: int = Field(default_factory=_now)
    model: str
    choices: list[TextChoice]
    usage: Usage | None = None


class EmbeddingRequest(Incoming):
    """Body of POST /v1/embeddings. `input` as token ids is not supported: tokenizers differ."""

    model: str = Field(min_length=1)
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    input_type: Literal["query", "passage"] | None = Field(
        default=None, description="Extension: lets a model apply its query or passage instruction."
    )
    skip_unreadable_above: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Extension: a text with a larger share of unknown tokens gets an empty vector, and no work.",
    )

    @property
    def texts(self) -> list[str]:
        """The inputs as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class EmbeddingItem(Outgoing):
    """One vector; an empty one for a text that was asked to be skipped.

    `unreadable_share` is ours: the share of the text's tokens the model does not know, in [0, 1].
    """

    object: str = "embedding"
    index: int
    embedding: list[float] | str
    unreadable_share: float | None = None


class EmbeddingResponse(Outgoing):
    """Answer of POST /v1/embeddings."""

    object: str = "list"
    data: list[EmbeddingItem]
    model: str
    usage: Usage


class RerankRequest(Incoming):
    """Body of POST /v1/rerank."""

    model: str = Field(min_length=1)
    query: str
    documents: list[str] = Field(min_length=1, max_length=1000)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False


class RerankResult(Outgoing):
    """One document's relevance in [0, 1], higher is better."""

    index: int
    relevance_score: float
    document: str | None = None


class RerankResponse(Outgoing):
    """Answer of POST /v1/rerank, best first."""

    id: str = Field(default_factory=lambda: new_id("rerank"))
    model: str
    results: list[RerankResult]
    usage: Usage


class TokenizeRequest(Incoming):
    """Body of POST /tokenize (vLLM's wire): a prompt, or the messages of a chat."""

    model: str = Field(min_length=1)
    prompt: str | None = None
    messages: list[ChatMessage] | None = None
    add_special_tokens: bool | None = None


class TokenizeResponse(Outgoing):
    """Answer of POST /tokenize. `tokens` is empty where the engine counts without a tokenizer."""

    count: int
    max_model_len: int
    tokens: list[int] = []


class ModelCard(Outgoing):
    """One served model. `task` is ours."""

    id: str
    object: str = "model"
    created: int = Field(default_factory=_now)
    owned_by: str = "chatchat"
    task: str | None = None


class ModelList(Outgoing):
    """Answer of GET /v1/models."""

    object: str = "list"
    data: list[ModelCard]
