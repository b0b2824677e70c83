"""A model's config.json → the shape that memory depends on. The field names are those of the model families."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, JsonValue

_NESTED = ("text_config", "llm_config", "language_config")
_ENCODERS = ("bert", "mpnet", "xlm-roberta", "roberta", "electra", "deberta", "new", "ernie", "albert")
_FULL, _WINDOWED = {"full_attention"}, {"sliding_attention", "chunked_attention"}
_STATEFUL = (
    "mamba",
    "ssm",
    "linear_",
    "attn_layer",
    "hybrid_",
    "compress_ratios",
    "num_kv_shared_layers",
    "block_conf",
)
_UNSCALED_ROPE = {"default", "llama3", "longrope", "su", "mrope"}
_SANE_CONTEXT = 10**8


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek): what replaces keys and values, and the shape of its projections."""

    rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_rank: int | None


@dataclass(frozen=True, slots=True)
class Experts:
    """Mixture of experts: every expert is in memory, whichever a token uses."""

    count: int
    intermediate: int
    shared_intermediate: int
    dense_layers: int


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the stored weights are packed."""

    method: str
    bits: float


@dataclass(frozen=True, slots=True)
class Architecture:
    """The shape of a transformer.

    Attributes:
        full_layers: layers whose cache grows with the context.
        windowed_layers: layers whose cache ends at `window` tokens.
        longest_context: what its positions reach, stretched as far as its config says; None: it does not say.
        float_bytes: of an unpacked weight as stored, and of a cache element unless the engine is told otherwise.
        is_encoder: it keeps no cache.
        has_known_cache: False for state-space and other layers whose memory these formulas do not describe.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    full_layers: int
    windowed_layers: int
    window: int
    longest_context: int | None
    float_bytes: int
    is_tied: bool
    is_encoder: bool
    sees_images: bool
    has_known_cache: bool
    latent: Latent | None = None
    experts: Experts | None = None
    quantization: Quantization | None = None


class _Quantization(BaseModel):
    quant_method: str = ""
    bits: float | None = Field(default=None, validation_alias=AliasChoices("bits", "w_bit", "num_bits", "weight_bits"))
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    format: str = ""
    config_groups: dict[str, JsonValue] = {}


class _Config(BaseModel):
    """config.json under the names its families use."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_type: str = ""
    layers: int = Field(gt=0, validation_alias=AliasChoices("num_hidden_layers", "n_layer", "num_layers", "n_layers"))
    hidden: int = Field(gt=0, validation_alias=AliasChoices("hidden_size", "n_embd", "d_model"))
    heads: int = Field(gt=0, validation_alias=AliasChoices("num_attention_heads", "n_head", "n_heads"))
    kv_heads: int | None = Field(
        default=None,
        validation_alias=AliasChoices("num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num"),
    )
    head_dim: int | None = Field(default=None, validation_alias=AliasChoices("head_dim", "kv_channels"))
    intermediate: int | None = Field(
        default=None, validation_alias=AliasChoices("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
    )
    vocabulary: int = Field(default=0, validation_alias=AliasChoices("padded_vocab_size", "vocab_size"))
    positions: int | None = Field(
        default=None,
        validation_alias=AliasChoices(
            *("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "max_sequence_length"),
            "model_max_length",
        ),
    )
    model_max_length: int | None = None
    rope: dict[str, JsonValue] | None = Field(
        default=None, validation_alias=AliasChoices("rope_scaling", "rope_parameters")
    )
    dtype: str | None = Field(default=None, validation_alias=AliasChoices("dtype", "torch_dtype"))
    tie_word_embeddings: bool = False
    multi_query: bool = False
    new_decoder_architecture: bool = False
    layer_types: list[str] | None = None
    sliding_window: int | None = None
    use_sliding_window: bool = True
    sliding_window_pattern: int | None = None
    kv_lora_rank: int | None = None
    q_lora_rank: int | None = None
    qk_rope_head_dim: int = 0
    qk_nope_head_dim: int = 0
    v_head_dim: int = 0
    experts: int | None = Field(
        default=None, validation_alias=AliasChoices("num_local_experts", "n_routed_experts", "num_experts")
    )
    moe_intermediate_size: int | None = None
    shared_experts: int | None = Field(default=None, validation_alias=AliasChoices("n_shared_experts"))
    shared_expert_intermediate_size: int | None = None
    first_k_dense_replace: int = 0
    quantization_config: _Quantization | None = Field(
        default=None, validation_alias=AliasChoices("quantization_config", "compression_config")
    )


def read_architecture(folder: Path) -> Architecture | None:
    """The shape of the model in a folder; None: its config.json is absent or not understood."""
    try:
        raw = json.loads((folder / "config.json").read_bytes())
        return parse_architecture(raw) if isinstance(raw, dict) else None
    except (OSError, ValueError):  # includes a ValidationError
        return None


def parse_architecture(raw: Mapping[str, JsonValue]) -> Architecture:
    """The shape that a config describes; the language model's, where others are beside it.

    Raises:
        ValidationError: it lacks what every transformer has, or means something else by it.
    """
    merged = dict(raw)
    for key in _NESTED:
        nested = raw.get(key)
        if isinstance(nested, dict):
            merged.update(nested)
    config = _Config.model_validate(merged)
    full, windowed = _layer_kinds(config)
    latent = _latent(config)
    return Architecture(
        family=config.model_type,
        layers=config.layers,
        hidden=config.hidden,
        heads=config.heads,
        kv_heads=_kv_heads(config),
        head_dim=config.head_dim or config.hidden // config.heads,
        intermediate=config.intermediate or 4 * config.hidden,
        vocabulary=config.vocabulary,
        full_layers=full,
        windowed_layers=windowed,
        window=config.sliding_window or 0,
        longest_context=_longest_context(config),
        float_bytes=4 if config.dtype == "float32" else 2,
        is_tied=config.tie_word_embeddings,
        is_encoder=config.model_type.startswith(_ENCODERS) or config.model_type.endswith("bert"),
        sees_images=any(key in raw for key in ("vision_config", "visual", "vision_tower")),
        has_known_cache=config.layer_types is not None or not any(_is_stateful(key) for key in merged if merged[key]),
        latent=latent,
        experts=_experts(config),
        quantization=_quantization(config.quantization_config),
    )


def _is_stateful(key: str) -> bool:
    return key.startswith(_STATEFUL)


def _kv_heads(config: _Config) -> int:
    if config.multi_query and not config.new_decoder_architecture:  # Falcon 7B, StarCoder
        return 1
    return config.kv_heads or config.heads


def _layer_kinds(config: _Config) -> tuple[int, int]:
    """How many layers keep the whole context, and how many a window of it."""
    if config.layer_types is not None:
        kinds = config.layer_types
        return sum(kind in _FULL for kind in kinds), sum(kind in _WINDOWED for kind in kinds)
    if not config.sliding_window or not config.use_sliding_window:
        return config.layers, 0
    pattern = config.sliding_window_pattern or (2 if config.model_type == "gemma2" else None)
    full = config.layers // pattern if pattern else 0
    return full, config.layers - full


def _longest_context(config: _Config) -> int | None:
    """What vLLM derives (`_get_and_verify_max_len`); where YaRN leaves room for two readings, the longer one."""
    if config.positions is None:
        return None
    rope = config.rope or {}
    kind, factor, original = (rope.get(key) for key in ("rope_type", "factor", "original_max_position_embeddings"))
    kind = kind or rope.get("type") or "default"
    reach = float(config.positions)
    if isinstance(factor, int | float) and kind not in _UNSCALED_ROPE:
        stretched = original if "yarn" in str(kind) and isinstance(original, int | float) else config.positions
        reach = max(reach, stretched * factor)
    own = config.model_max_length or 0
    return int(max(reach, own if own < _SANE_CONTEXT else 0))


def _latent(config: _Config) -> Latent | None:
    if not config.kv_lora_rank or config.model_type.startswith("minicpm"):  # vLLM unfolds MiniCPM3's
        return None
    return Latent(
        rank=config.kv_lora_rank,
        rope_dim=config.qk_rope_head_dim,
        nope_dim=config.qk_nope_head_dim,
        value_dim=config.v_head_dim,
        query_rank=config.q_lora_rank,
    )


def _experts(config: _Config) -> Experts | None:
    if not config.experts or config.experts < 2:
        return None
    own = config.moe_intermediate_size or config.intermediate or 4 * config.hidden
    shared = config.shared_expert_intermediate_size or (config.shared_experts or 0) * own
    return Experts(config.experts, own, shared, config.first_k_dense_replace)


def _quantization(config: _Quantization | None) -> Quantization | None:
    if config is None:
        return None
    method = config.quant_method.replace("_", "-")
    bits = config.bits or _bits_of_groups(config.config_groups)
    if bits is None:
        bits = 8.0 if config.load_in_8bit or "8" in method or "8" in config.format else 4.0
    return Quantization(method, bits)


def _bits_of_groups(groups: Mapping[str, JsonValue]) -> float | None:
    """Of compressed-tensors: the first group's weights."""
    for group in groups.values():
        weights = group.get("weights") if isinstance(group, dict) else None
        bits = weights.get("num_bits") if isinstance(weights, dict) else None
        if isinstance(bits, int | float):
            return float(bits)
    return None
