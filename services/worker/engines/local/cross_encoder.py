"""CrossEncoderEngine: relevance of documents to a query from a local reranker. Imports torch when it starts."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from services.foundation.errors import EngineFailed, InvalidSetting, NoWorker
from services.wire.openai import RerankRequest, RerankResponse, RerankResult, Usage
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.batching import MicroBatcher, estimated_tokens
from services.worker.engines.local.sentence_transformers.devices import (
    chosen_device,
    chosen_dtype,
    computed,
    give_back,
    loaded,
)
from services.worker.engines.local.sentence_transformers.options import NetworkOptions
from services.worker.engines.local.weights import find_weights
from services.worker.engines.local.work_queue import Work
from services.worker.engines.options import option_path, read_options

if TYPE_CHECKING:
    import torch
    from sentence_transformers import CrossEncoder

log = logging.getLogger(__name__)


class CrossEncoderOptions(NetworkOptions):
    """Options of the cross_encoder engine."""

    max_length: int = Field(
        default=1024, ge=16, description="Cut query and document together to so many tokens, or to the model's limit."
    )


@dataclass(frozen=True, slots=True)
class _Judged:
    """One document: how relevant it is, what was read of it, and whether that was all."""

    relevance: float
    tokens: int
    is_cut: bool


class CrossEncoderEngine:
    """Runs a reranker in one thread of its own; the pairs of all requests share its batches, like with like.

    Only local files are read, and code that a model folder brings is run only if the model's entry says so.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, CrossEncoderOptions)
        self._batcher = MicroBatcher(spec.model, self._judge, self._options.limits_on("cpu"))
        self._model: CrossEncoder | None = None

    @property
    def concurrency(self) -> int:
        return self._options.limit_worker_concurrency

    async def start(self) -> None:
        self._model = await self._batcher.call(self._load)
        self._batcher.set_limits(self._options.limits_on(self._model.device.type))
        await self._batcher.submit([Work(("warm", "up"), 1)])

    async def stop(self) -> None:
        self._batcher.stop()
        device = "cpu" if self._model is None else self._model.device.type
        self._model = None
        give_back(device)

    async def rerank(self, request: RerankRequest) -> RerankResponse:
        longest = self._ready().max_seq_length or self._options.max_length
        query_tokens = estimated_tokens(request.query, longest)
        works = [
            Work((request.query, document), min(longest, query_tokens + estimated_tokens(document, longest)))
            for document in request.documents
        ]
        judged = await self._batcher.submit(works)
        cut = sum(each.is_cut for each in judged)
        if cut:
            log.info("%s: %d of %d documents were cut, at %d tokens a pair", request.model, cut, len(judged), longest)
        return _response(request, judged)

    def _ready(self) -> CrossEncoder:
        if self._model is None:
            raise NoWorker(model=self._spec.model)
        return self._model

    def _load(self) -> CrossEncoder:
        folder = find_weights(self._spec, self._options.path, trust_remote_code=self._options.trust_remote_code)
        _check_layout(self._spec, folder)
        import torch

        device = chosen_device(self._spec, self._options.device)
        dtype = chosen_dtype(self._options.dtype, device, torch.cpu.get_capabilities())
        model = loaded(self._spec, str(folder), partial(self._opened, folder, device, dtype))
        if model.num_labels != 1:
            reason = (
                f"{folder} gives {model.num_labels} numbers for a pair, not one: it is a classifier, not a reranker"
            )
            raise EngineFailed(model=self._spec.model, reason=reason)
        log.info("%s: %s on %s, pairs cut at %d tokens", folder, dtype, device, model.max_seq_length)
        return model

    def _opened(self, folder: Path, device: str, dtype: str) -> CrossEncoder:
        import torch
        from sentence_transformers import CrossEncoder
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]  # it writes into the log
        options: dict[str, Any] = {"trust_remote_code": self._options.trust_remote_code, "local_files_only": True}
        weights = {"dtype": getattr(torch, dtype)}
        model: CrossEncoder = CrossEncoder(str(folder), device=device, model_kwargs=weights, **options)
        # Makers of some rerankers leave raw logits (ms-marco), and those of others have a sigmoid of their own (bge).
        model.activation_fn = torch.nn.Sigmoid()
        model.max_seq_length = min(self._options.max_length, model.max_seq_length or self._options.max_length)
        module: torch.nn.Module = model
        module.eval()
        return model

    def _judge(self, _: str, pairs: Sequence[tuple[str, str]]) -> list[_Judged]:
        return computed(self._spec.model, partial(_judged, self._ready(), pairs))


def _check_layout(spec: EngineSpec, folder: Path) -> None:
    """Raises InvalidSetting for what a cross-encoder can be loaded from, but would give nonsense."""
    setting = option_path(spec, "path")
    if folder.is_file():
        reason = f"{folder} is a GGUF file, which this engine does not read; serve it with llama.cpp"
        raise InvalidSetting(setting=setting, reason=reason)
    config = json.loads((folder / "config.json").read_bytes()) if (folder / "config.json").is_file() else {}
    generates = any(str(name).endswith("ForCausalLM") for name in config.get("architectures") or [])
    if generates and not (folder / "modules.json").is_file():
        reason = (
            f"{folder} answers yes or no to a prompt that only its makers know (no modules.json says it); serve it "
        )
        raise InvalidSetting(
            setting=setting, reason=reason + "with the vllm engine, or take a version for cross-encoders"
        )


def _judged(model: CrossEncoder, pairs: Sequence[tuple[str, str]]) -> list[_Judged]:
    """`CrossEncoder.predict` for one batch, and what was read. A sigmoid brings the numbers into [0, 1]."""
    import torch

    features = model.preprocess([list(pair) for pair in pairs])
    tokens = features["attention_mask"].sum(1).tolist()
    encodings = getattr(features, "encodings", None) or [None] * len(pairs)
    cut = [bool(encoding is not None and encoding.overflowing) for encoding in encodings]
    with torch.inference_mode():
        inputs = {
            name: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for name, value in features.items()
        }
        logits: torch.Tensor = model(inputs)["scores"].float().reshape(len(pairs))
        relevance = torch.sigmoid(logits).cpu().tolist()
    return [_Judged(*each) for each in zip(relevance, tokens, cut, strict=True)]


def _response(request: RerankRequest, judged: Sequence[_Judged]) -> RerankResponse:
    order = sorted(range(len(judged)), key=lambda place: -judged[place].relevance)
    results = [
        RerankResult(
            index=place,
            relevance_score=judged[place].relevance,
            document=request.documents[place] if request.return_documents else None,
        )
        for place in order[: request.top_n]
    ]
    tokens = sum(each.tokens for each in judged)
    return RerankResponse(model=request.model, results=results, usage=Usage(prompt_tokens=tokens, total_tokens=tokens))
