"""Which tokenizer and window a served model has."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.api.knowledge.splitters.window.embedder import (
    INSTRUCTED,
    INSTRUCTION_TOKENS,
    EmbedderWindow,
    embedder_window,
)
from services.foundation.settings.models import Models
from services.worker.engines.local.instructions import families
from services.worker.engines.local.sentence_transformers.layout import plain_layout
from services.worker.engines.local.sentence_transformers.plain import open_tokenizer
from tests.architecture.sources import ROOT
from tests.contract.splitter import TOKENIZER, reader


def served(folder: Path, *, path: str = "bge", engine: str = "sentence_transformers", **fields: Any) -> Models:
    options = {"path": path, **fields.pop("options", {})}
    entry = {"task": "embedding", "engine": engine, "options": options, **fields}
    return Models(model_dir=folder, default_embedding="m", default_chat="c", served={"m": entry, "c": CHAT})


CHAT: Any = {"task": "chat", "engine": "echo"}


def write(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


@pytest.fixture
def bge(tmp_path: Path) -> Path:
    written = {"sentence_bert_config": {"max_seq_length": 512}, "tokenizer": {}}
    return write(tmp_path / "bge", config={"model_type": "bert", "max_position_embeddings": 1024}, **written)


def test_the_built_in_embedder_is_the_one_the_worker_runs():
    configured = yaml.safe_load((ROOT / "configs" / "models.yaml").read_text(encoding="utf-8"))
    models = Models(**{key: configured[key] for key in ("default_chat", "default_embedding", "served")})
    found = embedder_window(models, models.default_embedding)
    layout = plain_layout(TOKENIZER.parent)
    assert layout is not None
    worker = open_tokenizer(layout)
    assert found == EmbedderWindow(TOKENIZER, worker.max_tokens)
    assert found.options == {"tokenizer": str(TOKENIZER), "window_tokens": 256}
    texts = ["合同 Contract, naïve CAFÉ 2023-01-02 𠮷😀", "https://a.b/c?d=e_f", "第一章\n总则"]
    worker.tokenizer.no_padding()
    assert [len(worker.tokenizer.encode(text)) for text in texts] == [len(reader().encode(text)) for text in texts]


def test_a_folder_in_model_dir(bge: Path):
    assert embedder_window(served(bge.parent), "m") == EmbedderWindow(bge / "tokenizer.json", 512)
    assert embedder_window(served(bge.parent, path="BAAI/bge"), "m") == EmbedderWindow(bge / "tokenizer.json", 512)
    assert embedder_window(served(bge.parent, path=str(bge)), "m") == EmbedderWindow(bge / "tokenizer.json", 512)


@pytest.mark.parametrize(("asked", "tokens"), [(128, 128), (4096, 512)])
def test_the_option_cuts_earlier_never_later(bge: Path, asked: int, tokens: int):
    found = embedder_window(served(bge.parent, options={"max_tokens": asked}), "m")
    assert found is not None
    assert found.tokens == tokens


def test_the_transformer_lies_where_modules_say(tmp_path: Path):
    modules = [{"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"}]
    write(tmp_path / "bge", modules=modules)
    root = write(tmp_path / "bge" / "0_Transformer", config={"model_type": "bert"}, tokenizer={})
    write(root, tokenizer_config={"model_max_length": 384})
    assert embedder_window(served(tmp_path), "m") == EmbedderWindow(root / "tokenizer.json", 384)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514}, 512),
    ],
)
def test_without_a_limit_of_its_makers_it_ends_with_the_positions(tmp_path: Path, config: Any, tokens: int):
    write(tmp_path / "bge", config=config, tokenizer_config={"model_max_length": 10**30})
    assert embedder_window(served(tmp_path), "m") == EmbedderWindow(None, tokens)


def test_a_vocabulary_will_do_for_bert(bge: Path):
    (bge / "tokenizer.json").unlink()
    (bge / "vocab.txt").write_text("[UNK]\n", encoding="utf-8")
    assert embedder_window(served(bge.parent), "m") == EmbedderWindow(bge / "vocab.txt", 512)


def test_what_stands_before_a_passage_is_kept_free(bge: Path, tmp_path: Path):
    def tokens(models: Models) -> int:
        found = embedder_window(models, "m")
        assert found is not None
        return found.tokens

    assert tokens(served(bge.parent, options={"passage_instruction": "passage: "})) == 512 - 9
    assert tokens(served(bge.parent, options={"passage_instruction": ""})) == 512
    assert tokens(served(bge.parent, path=str(bge.rename(tmp_path / "e5-small")))) == 512 - INSTRUCTION_TOKENS
    assert tokens(served(bge.parent, path="e5-small", options={"instructions": "off"})) == 512
    write(tmp_path / "e5-small", config_sentence_transformers={"prompts": {"query": "ab", "document": "abc"}})
    assert tokens(served(bge.parent, path="e5-small")) == 512 - 3


@pytest.mark.parametrize("family", families(), ids=lambda family: family.family)
def test_the_families_with_words_before_passages_are_known(family: Any):
    example = family.source.partition("huggingface.co/")[2].partition(" ")[0].lower()
    if family.passage:
        assert INSTRUCTED.search(example), family
        assert len(reader().encode(family.passage, add_special_tokens=False)) <= INSTRUCTION_TOKENS


def test_a_providers_window_is_the_entrys(tmp_path: Path):
    models = served(tmp_path, engine="openai_compatible", context_tokens=512)
    assert embedder_window(models, "m") == EmbedderWindow(None, 512)


def test_vllms_window_is_the_entrys_and_its_tokenizer_the_folders(bge: Path):
    models = served(bge.parent, engine="vllm", context_tokens=300)
    assert embedder_window(models, "m") == EmbedderWindow(bge / "tokenizer.json", 300)
    assert embedder_window(served(bge.parent / "away", engine="vllm"), "m") == EmbedderWindow(None, 8192)


def test_nothing_is_known(tmp_path: Path, bge: Path):
    assert embedder_window(served(tmp_path / "away"), "m") is None
    assert embedder_window(served(tmp_path, path="package:no_such_package"), "m") is None
    assert embedder_window(served(tmp_path, path="nobody/nothing-of-this-name"), "m") is None
    assert embedder_window(served(tmp_path, engine="echo"), "m") is None
    assert embedder_window(served(tmp_path), "c") is None
    assert embedder_window(served(tmp_path), "other") is None
    (bge / "sentence_bert_config.json").write_text("{", encoding="utf-8")
    assert embedder_window(served(tmp_path), "m") == EmbedderWindow(bge / "tokenizer.json", 1024)
