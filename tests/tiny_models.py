"""Tiny random-weight models the tests make themselves, in Hugging Face layout: chat, embedder, reranker.

Nothing is downloaded and nothing is learnt: the weights are random with a fixed seed, so what a model says is noise,
but it says it through the real engines. `python -m tests.tiny_models FOLDER` makes them all.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTEXT_TOKENS = 1024
VOCABULARY = 4096
EMBEDDING_DIMENSIONS = 64
CHAT_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- '# Tools\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
{{- '\\n</tools>\\nAnswer a call as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- elif not (message.role == 'system' and loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


def make_chat_model(folder: Path) -> Path:
    """A Qwen2 of under a million parameters (bfloat16, 2 MB) with a byte-level tokenizer and a ChatML template."""
    if (folder / "model.safetensors").is_file():
        return folder
    import torch

    transformers = _transformers()

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=_byte_level_bpe(),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT_TOKENS,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    transformers.Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def make_embedding_model(folder: Path) -> Path:
    """A BERT of 64 dimensions in sentence-transformers' layout (mean pooling, normalised)."""
    if (folder / "modules.json").is_file():
        return folder
    import torch

    transformers = _transformers()

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    transformers.BertModel(transformers.BertConfig(**_bert_shape()), add_pooling_layer=False).save_pretrained(folder)
    _word_pieces(folder)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    pooling = {"word_embedding_dimension": EMBEDDING_DIMENSIONS, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 256}), encoding="utf-8")
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    return folder


def make_rerank_model(folder: Path) -> Path:
    """A BERT that gives one number for a pair of texts, as cross-encoders do."""
    if (folder / "model.safetensors").is_file():
        return folder
    import torch

    transformers = _transformers()

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    config = transformers.BertConfig(num_labels=1, **_bert_shape())
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    _word_pieces(folder)
    return folder


def _transformers() -> typing.Any:
    """The library without its types, which lag behind it."""
    return importlib.import_module("transformers")


def _bert_shape() -> dict[str, typing.Any]:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": EMBEDDING_DIMENSIONS,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,  # a head of 64 is the smallest vLLM's CPU kernels take
        "max_position_embeddings": 256,
    }


def _word_pieces(folder: Path) -> None:
    from tokenizers import BertWordPieceTokenizer

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(_lines(), vocab_size=VOCABULARY, show_progress=False)
    _transformers().BertTokenizerFast(tokenizer_object=trained._tokenizer, model_max_length=256).save_pretrained(folder)


def _byte_level_bpe() -> typing.Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_lines(), trainer)
    return tokenizer


def _lines() -> Iterator[str]:
    for module in (inspect, json, typing):
        yield from inspect.getsource(module).splitlines()
    for page in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md"):
        yield from (ROOT / page).read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for make, name in ((make_chat_model, "chat"), (make_embedding_model, "embedding"), (make_rerank_model, "rerank")):
        print(make(target / name))
