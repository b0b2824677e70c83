"""Fetches one model from a hub. A program of its own, started by `hubs.py`, so that the worker itself stays offline.

Writes `total_bytes=N` when it knows it. When it fails, its last line is the reason and its exit code 1.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
from pathlib import Path

_WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.tiktoken", "*.jinja", "*.md", "LICENSE*"]
_UNWANTED = ["original/*", "onnx/*", "openvino/*", "coreml/*"]


def main() -> int:
    """Read the command line and fetch."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("source", choices=["huggingface", "modelscope"])
    reader.add_argument("ident")
    reader.add_argument("folder", type=Path)
    reader.add_argument("--endpoint")
    reader.add_argument("--code", action="store_true", help="with the Python files it brings")
    asked = reader.parse_args()
    wanted = _WANTED + ["*.py"] * asked.code
    try:
        if asked.source == "huggingface":
            _from_huggingface(asked.ident, asked.folder, asked.endpoint, wanted)
        else:
            _from_modelscope(asked.ident, asked.folder, wanted)
    except Exception as failure:  # noqa: BLE001 - the edge of the process: whatever it is, the parent is told
        _say(f"{type(failure).__name__}: {' '.join(str(failure).split())}")
        return 1
    return 0


def _from_huggingface(ident: str, folder: Path, endpoint: str | None, wanted: list[str]) -> None:
    from huggingface_hub import snapshot_download

    planned = snapshot_download(
        ident, local_dir=folder, endpoint=endpoint, allow_patterns=wanted, ignore_patterns=_UNWANTED, dry_run=True
    )
    _say(f"total_bytes={sum(file.file_size or 0 for file in planned)}")
    missing = sum(file.file_size or 0 for file in planned if file.will_download)
    if missing > (free := shutil.disk_usage(folder).free):
        raise OSError(f"it needs {missing / 1e9:.1f} GB more, and the disk of {folder} has {free / 1e9:.1f} GB free")
    snapshot_download(ident, local_dir=folder, endpoint=endpoint, allow_patterns=wanted, ignore_patterns=_UNWANTED)


def _from_modelscope(ident: str, folder: Path, wanted: list[str]) -> None:
    modelscope = importlib.import_module("modelscope")  # an optional package, without types
    modelscope.snapshot_download(ident, local_dir=str(folder), allow_patterns=wanted, ignore_patterns=_UNWANTED)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
