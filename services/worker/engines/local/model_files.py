"""What a model's folder must hold, and what it must not: code and pickles. Called by `weights.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from services.foundation.errors import InvalidSetting

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_TOKENIZERS = ("tokenizer.json", "vocab.json", "vocab.txt", "tekken.json", "*.model", "*.tiktoken")
_INDEX = "model.safetensors.index.json"
_HEADER_LIMIT_BYTES = 100_000_000
_NAMED = 5


def check_files(setting: str, path: Path, *, code_is_trusted: bool) -> None:
    """Judge a model's folder before anything in it is loaded.

    Raises:
        InvalidSetting: it brings code that is not trusted, has weights only as pickles, or lacks pieces.
    """
    if path.is_file():  # a .gguf is data and brings its tokenizer along
        return
    try:
        _check_folder(setting, path, code_is_trusted=code_is_trusted)
    except (ValueError, LookupError, TypeError, AttributeError) as failure:
        reason = f"{path} holds a file that is not what its name says ({failure}); copy it again"
        raise InvalidSetting(setting=setting, reason=reason) from failure


def _check_folder(setting: str, path: Path, *, code_is_trusted: bool) -> None:
    if not code_is_trusted and (brought := _code_in(path)):
        reason = f"{path} brings code of its own ({_some(brought)}), and it is not run; use a model without, or set "
        raise InvalidSetting(setting=setting, reason=reason + "trust_remote_code for this model if you trust its maker")
    if pickled := [str(folder) for folder in _module_folders(path) if _only_pickles(folder)]:
        reason = f"{_some(pickled)} has weights only as pickles ({', '.join(_PICKLES[:-1])}), which can run code when "
        raise InvalidSetting(setting=setting, reason=reason + "read; convert them to safetensors")
    if missing := missing_pieces(path):
        raise InvalidSetting(setting=setting, reason=f"{path} is not complete: {_some(missing)}; copy it again")


def missing_pieces(folder: Path) -> list[str]:
    """What a model's folder lacks, each as a person can act on it; empty when it is complete."""
    if folder.is_file():
        return []
    root = _module_folders(folder)[0]
    missing = [] if (root / "config.json").is_file() else ["config.json is missing"]
    if any(root.glob("*.gguf")):
        return []
    if not any(found for pattern in _TOKENIZERS for found in root.glob(pattern)):
        missing.append("there is no tokenizer (tokenizer.json, vocab.txt, *.model)")
    shards = _listed_shards(root)
    missing += [f"{name} is missing" for name in shards if not (root / name).is_file()]
    weights = sorted(root.glob("*.safetensors"))
    missing += [f"{file.name} is empty or cut short" for file in weights if not _is_whole(file)]
    if not weights and not shards:
        missing.append("there are no weights (*.safetensors; others are not read)")
    return missing


def _code_in(folder: Path) -> list[str]:
    """Files that would run or name code: Python files, and configurations that map classes to it."""
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.py"))
    mapping = [str(file.relative_to(folder)) for file in sorted(folder.rglob("*.json")) if _maps_to_code(file)]
    return [*files, *(f"auto_map in {name}" for name in mapping)]


def _maps_to_code(file: Path) -> bool:
    if "config" not in file.name:
        return False
    seen: set[str] = set()
    json.loads(file.read_bytes(), object_pairs_hook=lambda pairs: seen.update(name for name, _ in pairs))
    return "auto_map" in seen


def _module_folders(folder: Path) -> list[Path]:
    """The folders weights are loaded from, the transformer's first; sentence-transformers names them in a file."""
    file = folder / "modules.json"
    if not file.is_file():
        return [folder]
    return [folder / str(module.get("path", "")) for module in json.loads(file.read_bytes())] or [folder]


def _only_pickles(folder: Path) -> bool:
    safe = any(folder.glob("*.safetensors")) or any(folder.glob("*.gguf"))
    return not safe and any(found for pattern in _PICKLES for found in folder.glob(pattern))


def _listed_shards(folder: Path) -> list[str]:
    file = folder / _INDEX
    if not file.is_file():
        return []
    return sorted(set(json.loads(file.read_bytes())["weight_map"].values()))


def _is_whole(file: Path) -> bool:
    """Whether a safetensors file is as long as its header says; a Git LFS pointer or a torn copy is not."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        header_bytes = int.from_bytes(opened.read(8), "little")
        if not 2 <= header_bytes <= min(size - 8, _HEADER_LIMIT_BYTES):
            return False
        header = json.loads(opened.read(header_bytes))
    return size == 8 + header_bytes + max(_ends(header), default=0)


def _ends(header: dict[str, dict[str, list[int]]]) -> Iterator[int]:
    return (entry["data_offsets"][1] for entry in header.values() if "data_offsets" in entry)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
