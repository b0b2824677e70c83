"""Made-up machines, models and settings: configs of well-known families, safetensors files that are headers only."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from services.foundation.settings.models import Models, ServedModel
from services.supervisor.sizing.machine.hardware import GIB, Gpu, Hardware, Ram

MIB = 2**20
ROOMY = Ram(256 * GIB, 250 * GIB)
Config = dict[str, Any]

# config.json as published, without the fields that say nothing about memory.
QWEN25_7B: Config = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "sliding_window": 131072,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
QWEN25_14B: Config = {**QWEN25_7B, "hidden_size": 5120, "intermediate_size": 13824, "num_hidden_layers": 48} | {
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
}
QWEN25_72B: Config = {**QWEN25_7B, "hidden_size": 8192, "intermediate_size": 29568, "num_hidden_layers": 80} | {
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
}
QWEN15_7B: Config = {**QWEN25_7B, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32} | {
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 151936,
}
QWEN15_14B: Config = {**QWEN15_7B, "hidden_size": 5120, "intermediate_size": 13696, "num_hidden_layers": 40} | {
    "num_attention_heads": 40,
    "num_key_value_heads": 40,
    "vocab_size": 152064,
}
QWEN15_72B: Config = {**QWEN15_14B, "hidden_size": 8192, "intermediate_size": 24576, "num_hidden_layers": 80} | {
    "num_attention_heads": 64,
    "num_key_value_heads": 64,
}
YI_34B: Config = {
    "model_type": "llama",
    "hidden_size": 7168,
    "intermediate_size": 20480,
    "num_hidden_layers": 60,
    "num_attention_heads": 56,
    "num_key_value_heads": 8,
    "vocab_size": 64000,
    "max_position_embeddings": 4096,
    "torch_dtype": "bfloat16",
}
LLAMA3_70B: Config = {**YI_34B, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80} | {
    "num_attention_heads": 64,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
}
LLAMA31_8B: Config = {**LLAMA3_70B, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32} | {
    "num_attention_heads": 32,
    "max_position_embeddings": 131072,
    "rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
}
QWEN3_8B: Config = {
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
MIXTRAL: Config = {
    "model_type": "mixtral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_local_experts": 8,
    "vocab_size": 32000,
    "max_position_embeddings": 32768,
    "sliding_window": None,
    "torch_dtype": "bfloat16",
}
DEEPSEEK_V2_LITE: Config = {
    "model_type": "deepseek_v2",
    "hidden_size": 2048,
    "intermediate_size": 10944,
    "moe_intermediate_size": 1408,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "kv_lora_rank": 512,
    "q_lora_rank": None,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 102400,
    "max_position_embeddings": 163840,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096},
    "torch_dtype": "bfloat16",
}
CHATGLM3_6B: Config = {
    "model_type": "chatglm",
    "hidden_size": 4096,
    "ffn_hidden_size": 13696,
    "num_layers": 28,
    "num_attention_heads": 32,
    "kv_channels": 128,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "padded_vocab_size": 65024,
    "seq_length": 8192,
    "torch_dtype": "float16",
}
BGE_LARGE: Config = {
    "model_type": "bert",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "vocab_size": 21128,
    "max_position_embeddings": 512,
    "torch_dtype": "float32",
}
AWQ: Config = {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}


def gpus(count: int, memory_mib: int, name: str = "NVIDIA L40", used_mib: int = 1) -> tuple[Gpu, ...]:
    """As nvidia-smi tells them."""
    return tuple(
        Gpu(at, f"GPU-{at:08d}-0", name, memory_mib * MIB, (memory_mib - used_mib) * MIB) for at in range(count)
    )


L40 = Hardware(gpus=gpus(1, 46068), ram=ROOMY, cores=16)
TWO_A100 = Hardware(gpus=gpus(2, 81920, "NVIDIA A100-SXM4-80GB"), ram=ROOMY, cores=32)
EIGHT_CARDS = Hardware(gpus=gpus(8, 24576, "NVIDIA GeForce RTX 3090"), ram=ROOMY, cores=32)
LAPTOP = Hardware(gpus=gpus(1, 8188, "NVIDIA GeForce RTX 4060 Laptop GPU"), ram=Ram(32 * GIB, 24 * GIB), cores=8)
H100 = Hardware(gpus=gpus(1, 81559, "NVIDIA H100 80GB HBM3"), ram=ROOMY, cores=32)
CPU_ONLY = Hardware(gpus=(), ram=Ram(24 * GIB, 22 * GIB), cores=8)
MACHINES = {"L40": L40, "2xA100": TWO_A100, "8x24": EIGHT_CARDS, "laptop": LAPTOP, "H100": H100, "CPU": CPU_ONLY}

Tensors = dict[str, tuple[str, tuple[int, ...]]]
_BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I32": 32, "F8_E4M3": 8, "I64": 64, "U8": 8}


def write_safetensors(file: Path, tensors: Tensors, *, lacking: int = 0) -> Path:
    """A safetensors file with a true header over a hole of the right size; `lacking` bytes shorter than it says."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * _BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        opened.truncate(8 + len(text) + end - lacking)
    return file


def tensors_of(config: dict[str, Any], dtype: str = "BF16") -> Tensors:
    """The tensors of a dense model of the Llama and Qwen families; biases left out."""
    hidden, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    width = config.get("head_dim", hidden // heads)
    rows = config.get("num_key_value_heads", heads) * width
    made: Tensors = {"model.embed_tokens.weight": (dtype, (config["vocab_size"], hidden))}
    for at in range(config["num_hidden_layers"]):
        layer = f"model.layers.{at}"
        made |= {
            f"{layer}.self_attn.q_proj.weight": (dtype, (heads * width, hidden)),
            f"{layer}.self_attn.k_proj.weight": (dtype, (rows, hidden)),
            f"{layer}.self_attn.v_proj.weight": (dtype, (rows, hidden)),
            f"{layer}.self_attn.o_proj.weight": (dtype, (hidden, heads * width)),
            f"{layer}.mlp.gate_proj.weight": (dtype, (inner, hidden)),
            f"{layer}.mlp.up_proj.weight": (dtype, (inner, hidden)),
            f"{layer}.mlp.down_proj.weight": (dtype, (hidden, inner)),
            f"{layer}.input_layernorm.weight": (dtype, (hidden,)),
            f"{layer}.post_attention_layernorm.weight": (dtype, (hidden,)),
        }
    return made | {"lm_head.weight": (dtype, (config["vocab_size"], hidden)), "model.norm.weight": (dtype, (hidden,))}


def write_model(folder: Path, config: dict[str, Any], dtype: str = "BF16") -> Path:
    """A model folder of this shape that takes no space on the disk."""
    write_safetensors(folder / "model.safetensors", tensors_of(config, dtype))
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def serving(model_dir: Path, **served: dict[str, Any]) -> Models:
    """The branch `models` with these models: chat by vLLM's build for GPUs, unless they say otherwise."""
    usual: dict[str, Any] = {"task": "chat", "engine": "vllm", "context_tokens": 4096}
    entries = {name: ServedModel(**usual | fields) for name, fields in served.items()}
    needed = {
        "default": ServedModel(task="chat", engine="echo"),
        "default-e": ServedModel(task="embedding", engine="x"),
    }
    return Models(
        default_chat="default",
        default_embedding="default-e",
        served=entries | needed,
        model_dir=model_dir,
        profile="gpu",
        profiles={"gpu": {"vllm": {"python": "/nowhere/bin/python"}}},
    )
