"""ExtractiveEngine: the built-in default chat model. It quotes what it is given, and says what it is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

from pydantic import Field

from services.clients.openai import OpenAIClient
from services.wire.openai import ChatChunk, ChatCompletionRequest
from services.worker.engines.base import EngineSpec
from services.worker.engines.extractive.answer import MIN_SUPPORT, Limits, find, write
from services.worker.engines.extractive.language.terms import HAN
from services.worker.engines.extractive.prompt import read
from services.worker.engines.extractive.similarity import GatewayEmbed
from services.worker.engines.extractive.summary import source_text, summarised
from services.worker.engines.extractive.wording import Wording
from services.worker.engines.options import Options, read_options
from services.worker.engines.text import chat_chunks, check_length

_PIECE = re.compile(rf"\[\d+\]\s*|[{HAN}]{{1,4}}[，。；：、！？]?|[^\s{HAN}\[]+\s*|\s+|.", re.DOTALL)
_CONCURRENCY = 4


class ExtractiveOptions(Options):
    """The engine's options in models.yaml."""

    embedding_model: str | None = Field(
        default=None, min_length=1, description="Embedding model, asked of the gateway; None: words alone decide."
    )
    embedding_timeout_seconds: float = Field(default=3.0, gt=0, description="Longest wait for its vectors.")
    unreadable_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of unknown tokens above which its vectors are left out."
    )
    max_sentences: int = Field(default=3, ge=1, le=10, description="Most sentences of an answer.")
    summary_sentences: int = Field(default=5, ge=1, le=20, description="Most sentences of a summary.")
    min_support: float = Field(
        default=MIN_SUPPORT, ge=0, le=1, description="Probability of an answer below which there is said to be none."
    )


class ExtractiveEngine:
    """Answers with sentences of the given context, cited as [n], and summarises a given text with sentences of it.

    See `ExtractiveOptions` for what can be set.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, ExtractiveOptions)
        self._limits = Limits(self._options.max_sentences, self._options.min_support)
        self._wording: Wording | None = None
        self._client: OpenAIClient | None = None
        self._embed: GatewayEmbed | None = None

    @property
    def concurrency(self) -> int:
        return _CONCURRENCY

    async def start(self) -> None:
        self._wording = await asyncio.to_thread(Wording.load)
        if self._options.embedding_model is not None:
            self._client = OpenAIClient(
                self._spec.gateway_url,
                timeout_seconds=self._options.embedding_timeout_seconds,
                key=self._spec.gateway_key,
                service="gateway",
            )
            self._embed = GatewayEmbed(self._client, self._options.embedding_model, self._options.unreadable_share)

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.close()
        self._client = self._embed = None

    def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        prompt_tokens = check_length(request, self._spec.context_tokens)
        return chat_chunks(request, self._pieces(request), prompt_tokens=prompt_tokens)

    async def _pieces(self, request: ChatCompletionRequest) -> AsyncIterator[str]:
        for match in _PIECE.finditer(await self._answer(request)):
            yield match.group()
            await asyncio.sleep(0)

    async def _answer(self, request: ChatCompletionRequest) -> str:
        wording = self._wording or Wording.load()
        source = source_text(request.messages)
        if source is not None:
            return await asyncio.to_thread(summarised, source, self._options.summary_sentences)
        reading = await asyncio.to_thread(read, request.messages)
        if not reading.has_context:
            return wording.no_context(reading.question, self._spec.model)
        found = await find(reading, self._limits, self._embed)
        return write(found, reading) if found.chosen else wording.for_question(reading.question).no_answer
