"""FilePrompts: named templates from `configs/prompts/<use>.yaml`, rendered in a sandbox. Implements `Prompts`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.foundation.errors import InvalidPrompt, PromptNotFound


class PromptFile(BaseModel):
    """One template with the variables it declares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: tuple[str, ...]
    template: str


_FILE: TypeAdapter[dict[str, PromptFile]] = TypeAdapter(dict[str, PromptFile])


class FilePrompts:
    """Reads a use's file again when its time changes. Values are inserted as they are: no template in them is run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[int, dict[str, PromptFile]]] = {}
        self._sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)

    def render(self, use: str, name: str, variables: Mapping[str, str]) -> str:
        prompt = self._prompts(use).get(name)
        if prompt is None:
            raise PromptNotFound(use=use, name=name, known=", ".join(self.names(use)))
        missing = sorted(set(prompt.variables) - set(variables))
        if missing:
            raise InvalidPrompt(use=use, name=name, reason=f"no value for {', '.join(missing)}")
        given = {variable: variables[variable] for variable in prompt.variables}
        try:
            return self._sandbox.from_string(prompt.template).render(given).strip()
        except (TemplateError, TypeError, ValueError, ArithmeticError) as failure:
            raise InvalidPrompt(use=use, name=name, reason=str(failure)) from failure

    def names(self, use: str) -> list[str]:
        return sorted(self._prompts(use))

    def _prompts(self, use: str) -> dict[str, PromptFile]:
        path = self._folder / f"{use}.yaml"
        if not path.is_file():
            raise PromptNotFound(
                use=use, name="*", known=", ".join(sorted(p.stem for p in self._folder.glob("*.yaml")))
            )
        changed_ns = path.stat().st_mtime_ns
        cached = self._read.get(use)
        if cached is not None and cached[0] == changed_ns:
            return cached[1]
        try:
            read = _FILE.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as failure:
            raise InvalidPrompt(use=use, name=path.name, reason=" ".join(str(failure).split())) from failure
        self._read[use] = (changed_ns, read)
        return read
