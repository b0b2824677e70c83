"""How much memory weights take: measured from safetensors headers, counted from a config, or guessed from a name.

Nothing is loaded: a header is an 8-byte length and that much JSON (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from services.supervisor.sizing.models.architecture import Architecture, Experts, Latent, Quantization

_INDEX = "model.safetensors.index.json"
_HEADER_LIMIT_BYTES = 100_000_000  # safetensors' own
_FLOATS = {"F64", "F32", "F16", "BF16"}
_KEPT = re.compile(r"embed|lm_head|wte|wpe|output_layer|norm|\bgate\.weight")  # what quantisation leaves alone
_UNGATED = ("bert", "roberta", "xlm-roberta", "gpt2", "gpt_neo", "opt", "falcon", "bloom", "mpt", "phi-msft")
_GROUP_OVERHEAD_BITS = 20 / 128  # a 16-bit scale and a 4-bit zero for each group of 128 (AWQ and GPTQ)
_SIZE = re.compile(r"(?<![A-Za-z0-9.])(?:(\d+)x)?(\d+(?:[._]\d+)?)b(?![a-z])", re.IGNORECASE)
_FOUR_BITS = re.compile(r"awq|gptq(?!.*int8)|int4|4[-_]?bit|w4a16|nf4|mxfp4|nvfp4|q4", re.IGNORECASE)
_EIGHT_BITS = re.compile(r"int8|8[-_]?bit|w8a8|w8a16|fp8|q8", re.IGNORECASE)
_SHARED_PART = 0.83  # 8x7B is 46.7 billion, not 56: attention is shared among the experts


@dataclass(frozen=True, slots=True)
class Weights:
    """What is stored.

    Attributes:
        packed: weights of matrices that an engine may quantise, as a count.
        kept: weights that stay as they are: embeddings, norms.
        fixed_bytes: of tensors whose size no option changes: quantised ones.
        files: how many files hold them.
        faults: files that are missing or cut short.
    """

    packed: float
    kept: float
    fixed_bytes: int = 0
    files: int = 0
    faults: tuple[str, ...] = ()

    def bytes_in_memory(self, float_bytes: int, packed_bits: float | None = None) -> int:
        """Loaded with floats of this width; `packed_bits`: quantised while loading."""
        bits = 8.0 * float_bytes if packed_bits is None else packed_bits
        return int(self.packed * bits / 8 + self.kept * float_bytes) + self.fixed_bytes


class _Tensor(BaseModel):
    dtype: str
    shape: list[int]
    place: tuple[int, int] = Field(alias="data_offsets")


_HEADER = TypeAdapter(dict[str, _Tensor])


class _Index(BaseModel):
    weight_map: dict[str, str]


def measure_weights(folder: Path, *, is_tied: bool) -> Weights | None:
    """The weights in a folder's safetensors files, exactly; None: it has none.

    Args:
        folder: a model's folder, or a single .gguf file.
        is_tied: the output layer is the embedding; engines skip a stored copy of it.
    """
    if folder.is_file():
        return Weights(0, 0, folder.stat().st_size, 1)
    names = _files(folder)
    if not names:
        return None
    packed = kept = fixed = 0
    faults = []
    for name in names:
        header = _header(folder / name)
        if header is None:
            faults.append(name)
            continue
        for tensor, entry in header.items():
            if entry.dtype not in _FLOATS:
                fixed += entry.place[1] - entry.place[0]
            elif _is_kept(tensor, entry):
                kept += 0 if is_tied and tensor.startswith("lm_head") else math.prod(entry.shape)
            else:
                packed += math.prod(entry.shape)
    return Weights(packed, kept, fixed, len(names), tuple(faults))


def count_weights(shape: Architecture) -> Weights:
    """The weights a transformer of this shape has, a percent or so off: biases and what sees images are left out.

    Per layer: query and output projections 2 · hidden · heads · head_dim, keys and values 2 · hidden · kv_heads ·
    head_dim, a gated feed-forward 3 · hidden · intermediate (each expert's own). Embeddings: vocabulary · hidden, twice
    unless tied.
    """
    experts = shape.experts
    sparse_layers = shape.layers - experts.dense_layers if experts else 0
    dense = (2 if shape.family.startswith(_UNGATED) else 3) * shape.hidden * shape.intermediate
    matrices = shape.layers * _attention(shape) + (shape.layers - sparse_layers) * dense
    if experts:
        matrices += sparse_layers * _expert_layer(shape.hidden, experts)
    kept = shape.vocabulary * shape.hidden * (1 if shape.is_tied or shape.is_encoder else 2)
    kept += 2 * shape.layers * shape.hidden
    if shape.quantization is None:
        return Weights(matrices, kept)
    return Weights(0, kept, int(matrices * bits_in_memory(shape.quantization) / 8))


def bits_in_memory(quantization: Quantization) -> float:
    """Bits a weight takes with the scales beside it."""
    return quantization.bits + (_GROUP_OVERHEAD_BITS if quantization.bits < 8 else 0)


def guess_weights(name: str) -> Weights | None:
    """What a name like "Qwen2.5-72B-Instruct-AWQ" tells; None: nothing.

    The rule 0.2.x published: 2 bytes a parameter; int4: 0.75 bytes, as it needs more than its 4 bits.
    """
    found = _SIZE.search(name)
    if found is None:
        return None
    billions = float(found[2].replace("_", "."))
    if found[1]:
        billions *= int(found[1]) * _SHARED_PART
    parameters = billions * 1e9
    if _FOUR_BITS.search(name):
        return Weights(0, 0, int(parameters * 0.75))
    return Weights(0, 0, int(parameters)) if _EIGHT_BITS.search(name) else Weights(parameters, 0)


def _files(folder: Path) -> list[str]:
    """The files that hold the weights; a repository may hold them a second time, in another layout."""
    try:
        index = _Index.model_validate_json((folder / _INDEX).read_bytes())
        return sorted(set(index.weight_map.values()))
    except (OSError, ValidationError):
        pass
    if (folder / "model.safetensors").is_file():
        return ["model.safetensors"]
    return sorted(file.name for file in folder.glob("*.safetensors") if not file.name.startswith("consolidated"))


def _header(file: Path) -> dict[str, _Tensor] | None:
    """What a safetensors file says it holds; None: it is missing, cut short, or something else."""
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 2 <= length <= _HEADER_LIMIT_BYTES:
                return None
            raw = json.loads(opened.read(length))
        header = _HEADER.validate_python({key: value for key, value in raw.items() if key != "__metadata__"})
        end = max((tensor.place[1] for tensor in header.values()), default=0)
        return header if file.stat().st_size >= 8 + length + end else None
    except (OSError, ValueError, AttributeError):
        return None


def _is_kept(name: str, entry: _Tensor) -> bool:
    return len(entry.shape) < 2 or _KEPT.search(name) is not None


def _attention(shape: Architecture) -> int:
    if shape.latent is not None:
        return _latent_attention(shape, shape.latent)
    return 2 * shape.hidden * shape.head_dim * (shape.heads + shape.kv_heads)


def _latent_attention(shape: Architecture, latent: Latent) -> int:
    query_dim = shape.heads * (latent.nope_dim + latent.rope_dim)
    query = shape.hidden * query_dim
    if latent.query_rank:
        query = latent.query_rank * (shape.hidden + query_dim)
    down = shape.hidden * (latent.rank + latent.rope_dim)
    up = latent.rank * shape.heads * (latent.nope_dim + latent.value_dim)
    return query + down + up + shape.heads * latent.value_dim * shape.hidden


def _expert_layer(hidden: int, experts: Experts) -> int:
    return 3 * hidden * (experts.count * experts.intermediate + experts.shared_intermediate) + hidden * experts.count
