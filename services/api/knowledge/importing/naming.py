"""Gives the files of a 0.2.x base, which had sub-folders, names that we accept. Pure, but for comparing two files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from pathlib import PurePosixPath

from services.api.domain.names import FileName
from services.foundation.errors import InvalidName

JOINT = "__"
"""Stands where a sub-folder ended: `2023/年假.md` becomes `2023__年假.md`."""
_MARK_DIGITS = 8


def named(paths: Collection[str], same: Callable[[str, str], bool]) -> Mapping[str, FileName | str]:
    """Path below `content` → our name, or the reason why there is none and what to do.

    Sub-folders are joined to the name with two underscores. Where two paths would get one name and do not hold the same
    (`same`), the deeper one also gets the first digits of its path's SHA-256. The order of `paths` does not matter.
    """
    found: dict[str, FileName | str] = {}
    owners: dict[FileName, str] = {}
    for path in sorted(paths, key=lambda path: (path.count("/"), path)):
        try:
            name = _joined(path)
            if name in owners and not same(owners[name], path):
                name = _marked(name, path)
        except InvalidName as refused:
            found[path] = _refusal(path, refused)
            continue
        owners.setdefault(name, path)
        found[path] = name
    return found


def _joined(path: str) -> FileName:
    parts = path.replace("\\", "/").split("/")
    if any(part in {"", ".", ".."} for part in parts):
        raise InvalidName(what="The path", name=path, reason="it leads out of its folder")
    return FileName.parse(JOINT.join(parts))


def _marked(name: FileName, path: str) -> FileName:
    digits = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:_MARK_DIGITS]
    whole = PurePosixPath(name.value)
    return FileName.parse(f"{whole.stem}~{digits}{whole.suffix}")


def _refusal(path: str, refused: InvalidName) -> str:
    reason = str(refused.facts["reason"])
    if any("\udc80" <= char <= "\udcff" for char in path):  # bytes that Python could not decode
        return f"{reason}; if its name is in GBK, rename it there (convmv -f gbk -t utf8 --notest) and import again"
    return f"{reason}; rename it there and import again"
