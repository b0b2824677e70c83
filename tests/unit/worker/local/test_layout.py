"""Which folders run without sentence-transformers, and what is read from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.worker.engines.local.sentence_transformers.layout import matryoshka_dimensions, plain_layout

MODULES = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
DENSE = {"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"}


def model(folder: Path, **files: object) -> Path:
    """A folder with these files; a name's double underline is a slash."""
    given = {
        "config": {"model_type": "bert"},
        "modules": MODULES,
        "1_Pooling__config": {"pooling_mode": "mean"},
        **files,
    }
    for name, content in given.items():
        if content is not None:
            file = folder / f"{name.replace('__', '/')}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False, "word_embedding_dimension": 8}, "cls"),
        ({"pooling_mode_mean_tokens": True, "include_prompt": True}, "mean"),
    ],
)
def test_an_encoder_with_pooling_is_plain(pooling: object, expected: str, tmp_path: Path):
    layout = plain_layout(model(tmp_path, **{"1_Pooling__config": pooling}))

    assert layout is not None
    assert (layout.root, layout.pooling, layout.max_tokens) == (tmp_path, expected, None)


def test_where_its_makers_cut_is_read(tmp_path: Path):
    layout = plain_layout(model(tmp_path, sentence_bert_config={"max_seq_length": 256, "do_lower_case": False}))

    assert layout is not None
    assert layout.max_tokens == 256


def test_a_folder_without_modules_is_pooled_by_the_mean(tmp_path: Path):
    layout = plain_layout(model(tmp_path, modules=None, **{"1_Pooling__config": None}))

    assert layout is not None
    assert layout.pooling == "mean"


def test_the_transformer_may_lie_in_a_folder_of_its_own(tmp_path: Path):
    moved = [{**MODULES[0], "path": "0_Transformer"}, *MODULES[1:2]]
    layout = plain_layout(
        model(tmp_path, modules=moved, config=None, **{"0_Transformer__config": {"model_type": "bert"}})
    )

    assert layout is not None
    assert layout.root == tmp_path / "0_Transformer"


@pytest.mark.parametrize(
    "files",
    [
        {"config": {"model_type": "qwen3"}},
        {"config": {"model_type": "bert", "is_decoder": True}},
        {"config": {"model_type": "bert", "auto_map": {"AutoModel": "modeling.Mine"}}},
        {"config": None},
        {"modules": [*MODULES, DENSE]},
        {"modules": [MODULES[0]]},
        {"sentence_bert_config": {"do_lower_case": True}},
        {"sentence_bert_config": {"max_seq_length": 8, "model_args": {"add_pooling_layer": False}}},
        {"adapter_config": {}},
        {"1_Pooling__config": {"pooling_mode": "max"}},
        {"1_Pooling__config": {"pooling_mode": "lasttoken"}},
        {"1_Pooling__config": {"pooling_mode": "mean", "include_prompt": False}},
        {"1_Pooling__config": {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}},
        {"1_Pooling__config": {"pooling_mode": ["mean", "cls"]}},
        {"1_Pooling__config": {}},
    ],
)
def test_whatever_else_there_is_runs_by_sentence_transformers(files: dict[str, object], tmp_path: Path):
    assert plain_layout(model(tmp_path, **files)) is None


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, frozenset()),
        ({"is_matryoshka": True}, None),
        ({"is_matryoshka": True, "matryoshka_dimensions": [64, 256]}, frozenset({64, 256})),
    ],
)
def test_shorter_vectors_where_the_model_says_so(config: object, expected: frozenset[int] | None, tmp_path: Path):
    assert matryoshka_dimensions(model(tmp_path, config=config)) == expected
