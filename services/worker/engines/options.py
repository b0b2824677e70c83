"""Reads an engine's options from its spec into the engine's own model. Called by engines' constructors."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from services.foundation.errors import InvalidSetting
from services.worker.engines.base import EngineSpec


class Options(BaseModel):
    """What an engine's options are made from: frozen, unknown keys rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), hide_input_in_errors=True)


OptionsT = TypeVar("OptionsT", bound=Options)


def read_options(spec: EngineSpec, shape: type[OptionsT]) -> OptionsT:
    """Validate `spec.options`.

    Raises:
        InvalidSetting: with the full key path of the first mistake.
    """
    try:
        return shape.model_validate(dict(spec.options))
    except ValidationError as failure:
        first = failure.errors(include_input=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidSetting(setting=option_path(spec, name), reason=first["msg"]) from None  # inputs may be secret


def option_path(spec: EngineSpec, name: str) -> str:
    """The key path of an option, as a person finds it in the settings."""
    return f"models.served.{spec.model}.options.{name}"
