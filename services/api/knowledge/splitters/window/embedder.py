"""Which tokenizer and how long a window an embedding model has: from its setting, and a few small files beside it."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias, cast

from pydantic import JsonValue

from services.foundation.settings.models import Models

Json: TypeAlias = "dict[str, JsonValue]"

_PACKAGE = "package:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_NO_LIMIT = 1_000_000
_OFFSET_POSITIONS = ("roberta", "camembert", "xlm-roberta", "mpnet")
"""Encoders whose position table begins with two places that no token takes."""
INSTRUCTED = re.compile(
    "(^|[^a-z0-9])e5-|embeddinggemma|jina-v3|jina-embeddings-v3|mxbai-embed-de|nomic-embed|piccolo-|stella-"
)
"""Families that read a few words before every passage: those of the worker's instructions.yaml that have some."""
INSTRUCTION_TOKENS = 16
"""Kept free for these words."""


@dataclass(frozen=True, slots=True)
class EmbedderWindow:
    """What an embedder reads of one text.

    Attributes:
        tokenizer: file of its tokenizer; None: not at hand.
        tokens: most tokens of a text, those that the embedder adds to every text included, without an instruction.
    """

    tokenizer: Path | None
    tokens: int

    @property
    def options(self) -> dict[str, str | int | None]:
        """As options of a splitter."""
        return {"tokenizer": None if self.tokenizer is None else str(self.tokenizer), "window_tokens": self.tokens}


def window_options(models: Models, name: str) -> dict[str, str | int | None]:
    """The window of a served embedding model as options of a splitter; empty when it is not known."""
    window = embedder_window(models, name)
    return {} if window is None else window.options


def embedder_window(models: Models, name: str) -> EmbedderWindow | None:
    """The window of a served embedding model; None when it is not known or has none.

    A local model's window is where its makers, or its option `max_tokens`, cut texts; vLLM's and a provider's is the
    entry's `context_tokens`. Weights are looked for where the worker looks for them.
    """
    served = models.served.get(name)
    if served is None or served.task != "embedding":
        return None
    options = models.options_of(name)
    if served.engine == "openai_compatible":
        return EmbedderWindow(None, served.context_tokens)
    if served.engine not in {"sentence_transformers", "vllm"}:
        return None
    root = _root(models.model_dir, name, str(options.get("path", "")))
    if served.engine == "vllm":
        longest: int | None = served.context_tokens
    else:
        longest = _earlier(options.get("max_tokens"), None if root is None else _longest(root))
    if longest is None:
        return None
    reserved = _instruction_tokens(root, (name, str(options.get("path", ""))), options)
    return EmbedderWindow(None if root is None else _tokenizer(root), max(1, longest - reserved))


def _root(model_dir: Path, name: str, path: str) -> Path | None:
    """The folder of the transformer and its tokenizer, None where it is not on this machine."""
    for folder in _places(model_dir, name, path):
        modules = _modules(folder)
        root = folder / str(modules[0].get("path") or "") if modules else folder
        if (root / "config.json").is_file():
            return root
    return None


def _places(model_dir: Path, name: str, path: str) -> Iterator[Path]:
    """Where the worker looks, in its order: see `services/worker/engines/local/weights.py`."""
    if path.startswith(_PACKAGE):
        package = path.removeprefix(_PACKAGE)
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        yield from (Path(place) / "model" for place in (found.submodule_search_locations or [] if found else []))
        return
    for each in dict.fromkeys((path, name, PurePosixPath(path).name)):
        if each and ".." not in PurePosixPath(each).parts:
            yield model_dir.absolute() / each
    if _HUB_ID.fullmatch(path) and ".." not in path:
        yield from _cached(path)


def _cached(ident: str) -> Iterator[Path]:
    """The folder in the local cache of Hugging Face, if the model was fetched there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(ident, "config.json")
    if isinstance(found, str):
        yield Path(found).parent


def _modules(folder: Path) -> list[Json]:
    read = _read(folder / "modules.json")
    return [module for module in read if isinstance(module, dict)] if isinstance(read, list) else []


def _longest(root: Path) -> int | None:
    """Where texts are cut: as sentence-transformers finds it out."""
    said = _fields(root / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(said, int):
        return said
    config = _fields(root / "config.json")
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int) and config.get("model_type") in _OFFSET_POSITIONS:
        positions -= 2
    return _earlier(_fields(root / "tokenizer_config.json").get("model_max_length"), positions)


def _earlier(*limits: object) -> int | None:
    return min((limit for limit in limits if isinstance(limit, int) and 0 < limit < _NO_LIMIT), default=None)


def _tokenizer(root: Path) -> Path | None:
    if (root / "tokenizer.json").is_file():
        return root / "tokenizer.json"
    is_bert = _fields(root / "config.json").get("model_type") == "bert"
    return root / "vocab.txt" if is_bert and (root / "vocab.txt").is_file() else None


def _instruction_tokens(root: Path | None, names: tuple[str, ...], options: Mapping[str, Any]) -> int:
    """Tokens that stand before a passage: of what the options or the folder say, at most one a byte."""
    if options.get("passage_instruction") is not None:
        return len(str(options["passage_instruction"]).encode())
    if options.get("instructions") in {"off", False}:
        return 0
    prompts = {} if root is None else _fields(root / "config_sentence_transformers.json").get("prompts")
    said = [str(prompt or "") for prompt in prompts.values()] if isinstance(prompts, dict) else []
    if any(said):
        return max(len(prompt.encode()) for prompt in said)
    known = [*names, *([] if root is None else root.parts)]
    return INSTRUCTION_TOKENS if any(INSTRUCTED.search(each.lower()) for each in known) else 0


def _fields(file: Path) -> Json:
    read = _read(file)
    return read if isinstance(read, dict) else {}


def _read(file: Path) -> JsonValue:
    """What a JSON file holds; None when it is absent or none: the worker that loads the model says what is wrong."""
    try:
        return cast("JsonValue", json.loads(file.read_bytes()))
    except (OSError, ValueError):
        return None
