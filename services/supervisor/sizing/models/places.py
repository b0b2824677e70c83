"""Where a local model's files lie: the places in which the worker's local engines look, in their order."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from services.foundation.settings.models import Models

PACKAGE = "package:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """The files of a model, or where they were looked for.

    Attributes:
        found: the folder, or a single .gguf file; None: there is none yet.
        wanted: where to put them.
        is_fetched: the worker fetches them from a hub when it starts.
    """

    found: Path | None
    wanted: Path
    is_fetched: bool = False


def place_of(models: Models, name: str) -> Place | None:
    """Where the files of a served model lie; None: its options name no path."""
    path = models.options_of(name).get("path")
    if not isinstance(path, str) or not path:
        return None
    if path.startswith(PACKAGE):
        folder = package_folder(path.removeprefix(PACKAGE))
        return Place(folder, folder or Path(path))
    wanted = models.model_dir / path  # an absolute place stays what it is
    found = next((place for place in _places(models, name, path) if _holds_something(place)), None)
    is_hub_id = _HUB_ID.fullmatch(path) is not None and ".." not in path
    if found is None and is_hub_id:
        found = _cached(path)
    return Place(found, wanted, is_fetched=found is None and is_hub_id and models.downloads.source != "none")


def package_folder(package: str) -> Path | None:
    """The folder `model` of an installed package. The package is not imported."""
    found = importlib.util.find_spec(package) if package.isidentifier() else None
    places = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    return next((place / "model" for place in places if (place / "model" / "config.json").is_file()), None)


def weights_folder(folder: Path) -> Path:
    """Where the transformer itself lies: sentence-transformers may keep it one folder further down."""
    try:
        first = json.loads((folder / "modules.json").read_bytes())[0]["path"]
        return folder / str(first)
    except (OSError, ValueError, LookupError, TypeError):
        return folder


def _places(models: Models, name: str, path: str) -> Iterator[Path]:
    if Path(path).is_absolute():
        yield Path(path)
        return
    for each in dict.fromkeys((path, name, PurePosixPath(path).name)):
        parts = PurePosixPath(each).parts
        if parts and not each.startswith("/") and ".." not in parts and "\0" not in each:
            yield models.model_dir.joinpath(*parts)


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(not entry.name.startswith(".") for entry in path.iterdir())
    return path.suffix == ".gguf" and path.is_file()


def _cached(ident: str) -> Path | None:
    """The folder in the local Hugging Face cache; no network is asked."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(ident, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
