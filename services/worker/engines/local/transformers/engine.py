"""TransformersEngine: a chat model run by transformers in this process, for CPUs, MPS, and GPUs without vLLM."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from services.foundation.errors import ContextTooLong, EngineFailed, InvalidRequest, NoWorker, OutOfMemory
from services.wire.openai import ChatChunk, ChatCompletionRequest, TokenizeRequest, TokenizeResponse
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.transformers.answering import Answer
from services.worker.engines.local.transformers.asking import Asked, read_asked
from services.worker.engines.local.transformers.decoding import Decoding, Plan, Token
from services.worker.engines.local.transformers.loading import Loaded, is_out_of_memory, load_model, release_memory
from services.worker.engines.local.transformers.markup import THINK
from services.worker.engines.local.transformers.options import TransformersOptions, read_transformers_options
from services.worker.engines.local.transformers.prompting import rendered, tokens_of
from services.worker.engines.local.transformers.sampling import Sampling, sampling_of

log = logging.getLogger(__name__)
T = TypeVar("T")
Load = Callable[[EngineSpec, TransformersOptions], Loaded]

_REASON_LIMIT = 200


class TransformersEngine:
    """Runs a chat model in one thread of its own, a few tokens at a time.

    Between two steps an answer can be given up and others get their turn, so a closed stream costs at most a step.
    Only local files are read, and code that a model folder brings is run only if the model's entry says so.

    Args:
        spec: what to run.
        load: makes the model; the default reads it from its folder.
    """

    def __init__(self, spec: EngineSpec, load: Load = load_model) -> None:
        self._spec = spec
        self._options = read_transformers_options(spec)
        self._load = load
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"chat-{spec.model}")
        self._loaded: Loaded | None = None

    @property
    def concurrency(self) -> int:
        return self._options.limit_worker_concurrency

    async def start(self) -> None:
        loaded = await self._run(partial(self._load, self._spec, self._options))
        trial = Plan(prompt=[next(iter(loaded.end_ids), 0)], answer_limit=1, sampling=Sampling(), end_ids=())
        await self._run(lambda: self._advance(Decoding(loaded, trial)))
        self._loaded = loaded

    async def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        loaded, self._loaded = self._loaded, None
        if loaded is not None and loaded.device.type != "cpu":
            del loaded
            release_memory()

    async def chat(self, request: ChatCompletionRequest) -> AsyncIterator[ChatChunk]:
        loaded = self._ready()
        decoding, answer, prompt_tokens = await self._run(partial(self._prepared, loaded, request))
        yield answer.opening()
        while decoding.reason is None and not answer.is_complete:
            self._ready()
            for chunk in answer.feed(await self._run(partial(self._advance, decoding))):
                yield chunk
        for chunk in answer.closing(decoding.reason, prompt_tokens, decoding.count):
            yield chunk

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResponse:
        loaded = self._ready()
        tokens = await self._run(partial(self._tokens, loaded, request))
        return TokenizeResponse(count=len(tokens), max_model_len=loaded.context_tokens, tokens=tokens)

    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise NoWorker(model=self._spec.model)
        return self._loaded

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _tokens(self, loaded: Loaded, request: TokenizeRequest) -> list[int]:
        if request.messages is None:
            special = request.add_special_tokens is not False
            return tokens_of(loaded.tokenizer, request.prompt or "", add_special_tokens=special)
        values = self._options.chat_template_kwargs
        return tokens_of(loaded.tokenizer, rendered(loaded.tokenizer, request.messages, [], values))

    def _prepared(self, loaded: Loaded, request: ChatCompletionRequest) -> tuple[Decoding, Answer, int]:
        asked = read_asked(request)
        tools = asked.tools if asked.with_tools else []
        text = rendered(loaded.tokenizer, request.messages, tools, self._options.chat_template_kwargs)
        prompt = tokens_of(loaded.tokenizer, text)
        plan = self._plan(loaded, request, asked, prompt)
        answer = Answer(request, asked, loaded.tokenizer, thinks=text.rstrip().endswith(THINK))
        return Decoding(loaded, plan), answer, len(prompt)

    def _plan(self, loaded: Loaded, request: ChatCompletionRequest, asked: Asked, prompt: list[int]) -> Plan:
        room = loaded.context_tokens - len(prompt)
        if not prompt:
            raise InvalidRequest(field="messages", reason="the model's chat template makes nothing of them")
        if room < 1:
            raise ContextTooLong(model=request.model, tokens=len(prompt), limit=loaded.context_tokens - 1)
        return Plan(
            prompt=prompt,
            answer_limit=min(room, request.token_limit or self._options.max_new_tokens or room),
            sampling=sampling_of(request, asked, loaded.model.generation_config),
            end_ids={*asked.stop_token_ids, *(() if asked.ignore_eos else loaded.end_ids)},
            top_logprobs=asked.top_logprobs if asked.logprobs else None,
            interval=self._options.stream_interval,
        )

    def _advance(self, decoding: Decoding) -> list[Token]:
        try:
            return decoding.advance()
        except (RuntimeError, MemoryError, ValueError, LookupError) as failure:
            reason, exhausted = str(failure).partition("\n")[0][:_REASON_LIMIT], is_out_of_memory(failure)
            log.warning("%s: decoding failed", self._spec.model, exc_info=True)
        # Here the failure is gone, and with it the tensors that its traceback held.
        decoding.drop()
        release_memory()
        raise (OutOfMemory if exhausted else EngineFailed)(model=self._spec.model, reason=reason)
