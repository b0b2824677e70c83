"""Where a model's files lie: a folder, an installed package, model_dir, the local cache of a hub, or a hub itself.

Called by the local engines before they load, in a thread: looking may mean downloading. `model_files.py` judges what is
found, `hubs.py` fetches what is not.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec
from services.worker.engines.local.hubs import cached_snapshot, fetch
from services.worker.engines.local.model_files import check_files, missing_pieces
from services.worker.engines.options import option_path

_PACKAGE = "package:"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def find_weights(spec: EngineSpec, path: str, *, trust_remote_code: bool = False) -> Path:
    """The folder (or the single .gguf file) of a model, complete and safe to load. Blocks, perhaps for long.

    Looked for in this order: an absolute path; `package:<name>`; `model_dir/<path>`, `model_dir/<model name>`,
    `model_dir/<last part of path>`; the local Hugging Face cache; where `spec.downloads` allows it, the hub.

    Args:
        spec: of the engine that asks; says where model_dir is and whether weights may be fetched.
        path: what the option `path` says.
        trust_remote_code: the model's entry allows code that comes with the weights.

    Raises:
        InvalidSetting: it is nowhere, incomplete, or unsafe; says what to do.
        MissingPackage: the package of the hub is not installed.
        EngineFailed: the download failed.
    """
    setting = option_path(spec, "path")
    if path.startswith(_PACKAGE):
        found = _package_folder(setting, path.removeprefix(_PACKAGE))
    elif Path(path).is_absolute():
        found = _present(setting, Path(path))
    else:
        found = _in_model_dir(spec, path) or _from_hub(spec, path, with_code=trust_remote_code)
    check_files(setting, found, code_is_trusted=trust_remote_code)
    return found


def _package_folder(setting: str, package: str) -> Path:
    if not package.isidentifier():
        raise InvalidSetting(setting=setting, reason=f"{package!r} is not the name of a package")
    found = importlib.util.find_spec(package)
    for place in (found.submodule_search_locations or []) if found else []:
        if (Path(place) / "model" / "config.json").is_file():
            return Path(place) / "model"
    remedy = f"run: pip install {package.replace('_', '-')}"
    raise InvalidSetting(setting=setting, reason=f"no installed package {package!r} holds a model; {remedy}")


def _present(setting: str, path: Path) -> Path:
    if not _holds_something(path):
        raise InvalidSetting(setting=setting, reason=f"there is no model in {path}; put the model's files there")
    return path


def _in_model_dir(spec: EngineSpec, path: str) -> Path | None:
    return next((place for place in _places(spec, path) if _holds_something(place)), None)


def _places(spec: EngineSpec, path: str) -> Iterator[Path]:
    names = dict.fromkeys((path, spec.model, PurePosixPath(path).name))
    for name in names:
        parts = PurePosixPath(name).parts
        if parts and not name.startswith("/") and ".." not in parts and "\0" not in name:
            # Not `join_inside`: operators link weights from other disks into model_dir, which that would refuse.
            yield spec.model_dir.joinpath(*parts)


def _holds_something(path: Path) -> bool:
    if path.is_dir():
        return any(not entry.name.startswith(".") for entry in path.iterdir())
    return path.suffix == ".gguf" and path.is_file()


def _from_hub(spec: EngineSpec, path: str, *, with_code: bool) -> Path:
    is_hub_id = _HUB_ID.fullmatch(path) is not None and ".." not in path
    cached = cached_snapshot(path) if is_hub_id else None
    may_fetch = is_hub_id and spec.downloads.source != "none"
    if cached is not None and not (may_fetch and missing_pieces(cached)):
        return cached
    if may_fetch:
        return fetch(spec, path, with_code=with_code)
    raise InvalidSetting(setting=option_path(spec, "path"), reason=_nowhere(spec, path, is_hub_id=is_hub_id))


def _nowhere(spec: EngineSpec, path: str, *, is_hub_id: bool) -> str:
    places = [str(place) for place in _places(spec, path)] + ["the Hugging Face cache"] * is_hub_id
    remedy = "put the model's files (config.json, tokenizer, *.safetensors) into one of these folders"
    if is_hub_id:
        remedy += f", run 'hf download {path} --local-dir {spec.model_dir / path}' where there is a "
        remedy += "network, or set models.downloads.source to huggingface or modelscope"
    return f"there is no model {path!r}: looked in {', '.join(places) or 'no folder'}; {remedy}"
