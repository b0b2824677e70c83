"""`make config`: print the effective settings and where each value came from; secrets stay masked."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import BaseModel

from services.foundation.settings.load import config_dir, environment_names, load_settings, read_folder
from services.foundation.settings.tree import Settings


def rows(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Key path, value and origin of every setting."""
    written = read_folder(config_dir())
    named = environment_names()
    for path, value in _leaves(settings, ()):
        variable = "__".join(path).upper()
        yield ".".join(path), _shown(value), _origin(path, variable in named, written)


def _leaves(node: BaseModel, above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    for name in type(node).model_fields:
        value: object = getattr(node, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(sorted(value)) or "{}"
    return str(value)


def _origin(path: tuple[str, ...], from_environment: bool, written: object) -> str:  # noqa: FBT001 - private
    if from_environment:
        return f"environment CHATCHAT_{'__'.join(path).upper()}"
    for part in path:
        if not isinstance(written, dict) or part not in written:
            return "default"
        written = written[part]
    return f"{path[0]}.yaml"


def main() -> None:
    """Print the table."""
    for path, value, origin in rows(load_settings()):
        sys.stdout.write(f"{path:45} {value:40} {origin}\n")


if __name__ == "__main__":
    main()
