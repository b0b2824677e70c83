"""Reads a model's folder: whether it is a plain encoder with pooling, which needs no sentence-transformers to run.

Most embedders are: bge, e5, gte, m3e, text2vec, MiniLM. Without the library the worker starts in half the time and
takes a quarter less memory; `tests/contract` holds the results beside the library's own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

from pydantic import JsonValue

Pooling: TypeAlias = Literal["cls", "mean"]
Json: TypeAlias = dict[str, JsonValue]

_ENCODERS = {"bert", "camembert", "distilbert", "electra", "ernie", "mpnet", "roberta", "xlm-roberta"}
_PLAIN_KEYS = {"max_seq_length", "do_lower_case"}
_POOLINGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}


@dataclass(frozen=True, slots=True)
class PlainLayout:
    """A transformer that reads both ways, and how its tokens become one vector.

    Attributes:
        root: folder of the transformer and its tokenizer.
        pooling: the first token's vector, or the mean of all.
        max_tokens: where its makers cut texts; None: where the tokenizer or the position table ends.
    """

    root: Path
    pooling: Pooling
    max_tokens: int | None


def plain_layout(folder: Path) -> PlainLayout | None:
    """The folder's layout; None when there is anything in it that only sentence-transformers knows to run."""
    modules = _modules(folder)
    if modules is None:
        return None
    root, pooling_folder = modules
    config = _read(root / "config.json")
    if config.get("model_type") not in _ENCODERS or "auto_map" in config or config.get("is_decoder"):
        return None
    settings = _read(root / "sentence_bert_config.json")
    if (root / "adapter_config.json").exists() or settings.get("do_lower_case") or not settings.keys() <= _PLAIN_KEYS:
        return None
    pooling = "mean" if pooling_folder is None else _pooling(_read(pooling_folder / "config.json"))
    longest = settings.get("max_seq_length")
    if pooling is None:
        return None
    return PlainLayout(root, pooling, longest if isinstance(longest, int) else None)


def matryoshka_dimensions(folder: Path) -> frozenset[int] | None:
    """Shorter vectors the model was trained for; None: any length will do; empty: none."""
    config = _read(folder / "config.json")
    named = config.get("matryoshka_dimensions")
    if isinstance(named, list):
        return frozenset(each for each in named if isinstance(each, int))
    return None if config.get("is_matryoshka") is True else frozenset()


def _modules(folder: Path) -> tuple[Path, Path | None] | None:
    """The folders of the transformer and of the pooling, if the model has no more to it than these."""
    file = folder / "modules.json"
    if not file.is_file():
        return folder, None
    modules = cast("list[Json]", json.loads(file.read_bytes()))
    types = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if types[:2] != ["Transformer", "Pooling"] or types[2:] not in ([], ["Normalize"]):
        return None
    transformer, pooling = (folder / str(module.get("path") or "") for module in modules[:2])
    return transformer, pooling


def _pooling(config: Json) -> Pooling | None:
    if config.get("include_prompt") is False:
        return None
    named = config.get("pooling_mode")
    chosen = {named} if isinstance(named, str) else {name for name in config if config[name] is True}
    known = {cast("Pooling", _POOLINGS.get(str(name), str(name))) for name in chosen - {"include_prompt"}}
    only = known.pop() if len(known) == 1 else None
    return only if only in {"cls", "mean"} else None


def _read(file: Path) -> Json:
    return cast("Json", json.loads(file.read_bytes())) if file.is_file() else {}
