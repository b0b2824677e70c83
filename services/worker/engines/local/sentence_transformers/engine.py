"""SentenceTransformersEngine: embeddings from local weights. Imports torch when it starts, not before."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from services.foundation.errors import InvalidRequest, NoWorker
from services.wire.openai import EmbeddingItem, EmbeddingRequest, EmbeddingResponse, Usage
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.batching import MicroBatcher, estimated_tokens
from services.worker.engines.local.sentence_transformers.devices import computed, cores_used, give_back, use_cores
from services.worker.engines.local.sentence_transformers.loading import Loaded, load_network
from services.worker.engines.local.sentence_transformers.network import Encoded, Text, unit
from services.worker.engines.local.sentence_transformers.options import SentenceTransformersOptions
from services.worker.engines.local.work_queue import Work
from services.worker.engines.options import read_options

_EXPRESS_TOKENS = 128
"""Requests up to this size are questions, by their look."""


class SentenceTransformersEngine:
    """Runs an embedding model in one thread of its own; the texts of all requests share its batches.

    A question overtakes somebody's upload; where the network allows it, it has a thread of its own, which computes on
    one core, so that it waits neither for the upload's batch nor, at each layer, for cores that the batch is using.
    Only local files are read, and code that a model folder brings is run only if the model's entry says so.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, SentenceTransformersOptions)
        self._batcher = MicroBatcher(spec.model, self._encode, self._options.limits_on("cpu"))
        self._express: MicroBatcher[Text, Encoded] | None = None
        self._loaded: Loaded | None = None

    @property
    def concurrency(self) -> int:
        return self._options.limit_worker_concurrency

    async def start(self) -> None:
        loaded = await self._batcher.call(partial(load_network, self._spec, self._options))
        self._batcher.set_limits(self._options.limits_on(loaded.device))
        self._loaded = loaded
        await self._batcher.submit([Work(Text("warm"), 1)])
        if loaded.network.is_concurrent:
            self._express = MicroBatcher(self._spec.model, self._encode, self._options.limits_on("cpu"))
            usual = await self._batcher.call(cores_used)
            await self._express.call(partial(use_cores, 1))
            await self._batcher.call(partial(use_cores, max(1, usual - 1)))  # a core is left to questions
            await self._express.submit([Work(Text("warm"), 1)])

    async def stop(self) -> None:
        self._batcher.stop()
        if self._express is not None:
            self._express.stop()
        device = "cpu" if self._loaded is None else self._loaded.device
        self._loaded = None
        give_back(device)

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        loaded = self._ready()
        dimensions = _dimensions(request, loaded)
        limit = 1.0 if request.skip_unreadable_above is None else request.skip_unreadable_above
        longest = loaded.network.max_tokens
        works = [Work(Text(text, limit), estimated_tokens(text, longest)) for text in request.texts]
        is_short = sum(work.tokens for work in works) <= _EXPRESS_TOKENS
        batcher = self._express if is_short and self._express is not None else self._batcher
        encoded = await batcher.submit(works, kind=request.input_type or "")
        return _response(request, encoded, dimensions)

    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise NoWorker(model=self._spec.model)
        return self._loaded

    def _encode(self, kind: str, batch: Sequence[Text]) -> list[Encoded]:
        return computed(self._spec.model, partial(self._ready().network.encode, kind, batch))


def _dimensions(request: EmbeddingRequest, loaded: Loaded) -> int | None:
    """What vectors are cut to; None: they stay as they are.

    Raises:
        InvalidRequest: the model was not trained to be cut to that.
    """
    asked, own, shorter = request.dimensions, loaded.network.dimensions, loaded.shorter
    if asked is None or asked == own:
        return None
    if asked < own and (shorter is None or asked in shorter):
        return asked
    able = "" if shorter is None else "".join(f", {each}" for each in sorted(shorter, reverse=True))
    reason = f"the model has {own}{able or ', or fewer' if shorter is None else able}"
    raise InvalidRequest(field="dimensions", reason=reason)


def _response(request: EmbeddingRequest, encoded: Sequence[Encoded], dimensions: int | None) -> EmbeddingResponse:
    items = [
        EmbeddingItem(index=place, embedding=_cut(each.vector, dimensions), unreadable_share=each.unreadable_share)
        for place, each in enumerate(encoded)
    ]
    tokens = sum(each.tokens for each in encoded if each.vector)
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingResponse(data=items, model=request.model, usage=usage)


def _cut(vector: list[float], dimensions: int | None) -> list[float]:
    return vector if dimensions is None or not vector else unit(np.array([vector[:dimensions]]))[0]
