"""OpenVINONetwork: a plain encoder on OpenVINO. Converts it once; later starts need neither torch nor transformers.

`sentence-transformers[openvino]` does not install beside today's transformers, and openvino's own `convert_model`
reports its use to its makers: the frontend under it is called here, which does not.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import logging
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict

from services.foundation.errors import EngineFailed, MissingPackage
from services.worker.engines.local.instructions import Instructions
from services.worker.engines.local.sentence_transformers.layout import PlainLayout, Pooling
from services.worker.engines.local.sentence_transformers.network import Encoded, Reading, Text, encode, unit
from services.worker.engines.local.sentence_transformers.plain import PlainTokenizer, open_model, open_tokenizer, pooled
from services.worker.engines.local.sentence_transformers.reading import Features

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

Precision = Literal["auto", "float32", "bfloat16", "float16"]
_HINTS = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
_GRAPH, _TOKENIZER, _TOLD = "model.xml", "tokenizer.json", "converted.json"
_LEAST_COSINE = 0.999
_PROBES = ("When does the harbour freeze?", "港口位于老城的北面，冬天会结冰。", "word " * 100)


class _Request(Protocol):
    def infer(self, inputs: Features, *, share_inputs: bool = ...) -> Mapping[int, NDArray[np.float32]]: ...


class _Compiled(Protocol):
    def create_infer_request(self) -> _Request: ...


class Converted(BaseModel):
    """What lies beside a converted model: what else there is to know of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: tuple[str, ...]
    unknown_id: int | None
    max_tokens: int
    dimensions: int


def open_openvino(layout: PlainLayout, cache: Path, model: str, precision: Precision) -> tuple[_Compiled, Path]:
    """The compiled network, and the folder it lies in. Converts it if that has not been done.

    Raises:
        MissingPackage: openvino is not installed.
        EngineFailed: the converted model gives other vectors than the one it was made from.
    """
    if importlib.util.find_spec("openvino") is None:
        raise MissingPackage(shelf="engine", name="sentence_transformers", package="openvino")
    folder = cache / _fingerprint(layout, precision, importlib.metadata.version("openvino"))
    if not (folder / _TOLD).is_file():
        _convert(layout, folder, model, precision)
    return _compiled(folder, precision), folder


def read_converted(folder: Path) -> tuple[Converted, PlainTokenizer]:
    """What a converted model's folder holds beside the network."""
    from tokenizers import Tokenizer

    converted = Converted.model_validate_json((folder / _TOLD).read_bytes())
    tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
    return converted, PlainTokenizer(tokenizer, converted.inputs, converted.unknown_id, converted.max_tokens)


class OpenVINONetwork:
    """Runs a converted encoder. Implements `Network`."""

    is_concurrent = False  # it has one request to the runtime

    def __init__(self, compiled: _Compiled, folder: Path, instructions: Instructions, max_tokens: int | None) -> None:
        converted, tokenizer = read_converted(folder)
        tokenizer = tokenizer.cut_at(max_tokens)
        self._request = compiled.create_infer_request()
        self._reader = tokenizer.reader(instructions)
        self.dimensions = converted.dimensions
        self.max_tokens = tokenizer.max_tokens

    def encode(self, kind: str, batch: Sequence[Text]) -> list[Encoded]:
        return encode(self, kind, batch)

    def read(self, texts: Sequence[str], kind: str) -> Reading[Features]:
        return self._reader.read(texts, kind)

    def vectors(self, features: Features) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._request.infer(features, share_inputs=True)[0]
        return rows


def _fingerprint(layout: PlainLayout, precision: Precision, version: str) -> str:
    """Another one whenever the converted model would be another one."""
    files = sorted(file for file in layout.root.iterdir() if file.suffix in {".json", ".safetensors", ".txt"})
    seen = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    told = [version, str(layout.root.resolve()), layout.pooling, str(layout.max_tokens), precision, *seen]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:24]


def _convert(layout: PlainLayout, target: Path, model: str, precision: Precision) -> None:
    """Made beside its place and then moved there: who finds it finds all of it."""
    log.info("%s is converted for OpenVINO into %s; this is done once", layout.root, target)
    network, tokenizer = open_model(layout, "float32"), open_tokenizer(layout)
    probes = tokenizer.reader(Instructions()).read(_PROBES, "").features
    told = Converted(
        inputs=tokenizer.inputs,
        unknown_id=tokenizer.unknown_id,
        max_tokens=tokenizer.max_tokens,
        dimensions=network.config.hidden_size,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".converting-", dir=target.parent))
    try:
        graph, expected = _traced(network, layout.pooling, probes)
        importlib.import_module("openvino").save_model(graph, folder / _GRAPH, compress_to_fp16=precision != "float32")
        found = _compiled(folder, precision).create_infer_request().infer(probes)[0]
        _compare(model, expected, found)
        tokenizer.tokenizer.save(str(folder / _TOKENIZER))
        (folder / _TOLD).write_text(told.model_dump_json(), encoding="utf-8")
        if not target.exists():  # another replica may have been faster
            folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _traced(network: PreTrainedModel, pooling: Pooling, probes: Features) -> tuple[object, NDArray[np.float32]]:
    """The network and its pooling as OpenVINO's graph, and the vectors of the probes as torch computes them."""
    import torch

    frontends = importlib.import_module("openvino.frontend")
    decoders = importlib.import_module("openvino.frontend.pytorch.ts_decoder")

    class Pooled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(
            self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
        ) -> torch.Tensor:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            found = self.network(input_ids=input_ids, attention_mask=attention_mask, **types)
            return pooled(found.last_hidden_state, attention_mask, pooling)

    module = Pooled().eval().requires_grad_(requires_grad=False)
    inputs = {name: torch.from_numpy(rows) for name, rows in probes.items()}
    with torch.inference_mode():
        expected: NDArray[np.float32] = module(**inputs).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing cannot follow, `_compare` would show
        decoder = decoders.TorchScriptPythonDecoder(module, example_input=inputs)
        frontend = frontends.FrontEndManager().load_by_framework("pytorch")
        return frontend.convert(frontend.load(decoder)), expected


def _compiled(folder: Path, precision: Precision) -> _Compiled:
    hints = {"PERFORMANCE_HINT": "LATENCY"}
    if precision != "auto":
        hints["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
    compiled: _Compiled = importlib.import_module("openvino").Core().compile_model(folder / _GRAPH, "CPU", hints)
    return compiled


def _compare(model: str, expected: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    pairs = zip(unit(expected), unit(found), strict=True)
    least = min(sum(a * b for a, b in zip(one, other, strict=True)) for one, other in pairs)
    if not least >= _LEAST_COSINE:
        reason = f"converted for OpenVINO it gives other vectors (cosine {least:.4f}); leave out backend: openvino"
        raise EngineFailed(model=model, reason=reason)
    log.info("%s: converted, least cosine to torch in float32 %.5f", model, least)
