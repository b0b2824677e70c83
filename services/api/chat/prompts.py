"""FilePrompts: named templates from `<use>.yaml` in folders, rendered in a sandbox. Implements `Prompts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import StrictUndefined, Template, TemplateError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.foundation.errors import InvalidPrompt, PromptNotFound

LANGUAGES = ("zh-CN", "en")
_UNRENDERED = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)


class PromptFile(BaseModel):
    """One template with the variables it declares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    variables: tuple[str, ...]
    template: str


_FILE: TypeAdapter[dict[str, PromptFile]] = TypeAdapter(dict[str, PromptFile])


@dataclass(frozen=True, slots=True)
class _Entry:
    """A template that was found to be usable, under the name it has in its file, without its language."""

    name: str
    written: PromptFile
    template: Template


class FilePrompts:
    """Prompts of folders; the first that has an entry wins, so that an operator's own stand before the shipped ones.

    An entry `<name>.<language>` is for questions in that language, `<name>` for all; where there is neither, the entry
    of another language is taken. Names are told apart without case, and a space in them is an underscore. Files are
    read again when their time changes. Values are inserted as they are: no template in them is run.

    Args:
        folders: the last holds the shipped prompts; what they declare for a use is what it is given.
    """

    def __init__(self, *folders: Path) -> None:
        self._folders = tuple(dict.fromkeys(folder.resolve() for folder in folders))
        self._read: dict[Path, tuple[int, dict[str, _Entry]]] = {}
        self._sandbox = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False)

    def render(self, use: str, name: str, variables: Mapping[str, str], language: str) -> str:
        entry = self._entry(use, name, language)
        missing = sorted(set(entry.written.variables) - set(variables))
        if missing:
            raise InvalidPrompt(use=use, name=name, reason=f"no value for {', '.join(missing)}")
        given = {variable: variables[variable] for variable in entry.written.variables}
        try:
            return entry.template.render(given).strip()
        except _UNRENDERED as failure:
            raise InvalidPrompt(use=use, name=name, reason=str(failure)) from failure

    def template(self, use: str, name: str, language: str) -> str:
        return self._entry(use, name, language).written.template.strip()

    def names(self, use: str) -> list[str]:
        entries = [entry for layer in self._layers(use) for entry in layer.values()]
        return sorted({_key(entry.name): entry.name for entry in entries}.values())

    def check(self) -> None:
        """Read every file. Raises InvalidPrompt for the first that cannot be used."""
        for use in self._uses():
            self._layers(use)

    def _entry(self, use: str, name: str, language: str) -> _Entry:
        layers = self._layers(use)
        own = (_key(f"{name}.{language}"), _key(name))
        others = tuple(_key(f"{name}.{other}") for other in LANGUAGES)
        found = next((layer[key] for keys in (own, others) for layer in layers for key in keys if key in layer), None)
        if found is None:
            raise PromptNotFound(use=use, name=name, known=", ".join(self.names(use)))
        return found

    def _layers(self, use: str) -> list[dict[str, _Entry]]:
        """A use's entries, folder by folder."""
        paths = [folder / f"{use}.yaml" for folder in self._folders]
        if not any(path.is_file() for path in paths):
            raise PromptNotFound(use=use, name="*", known=", ".join(self._uses()))
        *own, shipped = [self._entries(path) for path in paths]
        given = {variable for entry in shipped.values() for variable in entry.written.variables}
        for entry in (entry for layer in own for entry in layer.values() if shipped):
            unknown = sorted(set(entry.written.variables) - given)
            if unknown:
                raise InvalidPrompt(use=use, name=entry.name, reason=f"{', '.join(unknown)} is not given to this use")
        return [*own, shipped]

    def _uses(self) -> list[str]:
        return sorted({path.stem for folder in self._folders for path in folder.glob("*.yaml")})

    def _entries(self, path: Path) -> dict[str, _Entry]:
        if not path.is_file():
            return {}
        changed_ns = path.stat().st_mtime_ns
        cached = self._read.get(path)
        if cached is not None and cached[0] == changed_ns:
            return cached[1]
        try:
            read = _FILE.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as failure:
            raise InvalidPrompt(use=path.stem, name=path.name, reason=" ".join(str(failure).split())) from failure
        entries: dict[str, _Entry] = {}
        for name, written in read.items():
            if _key(name) in entries:
                raise InvalidPrompt(use=path.stem, name=name, reason="another entry of the file has that name")
            entries[_key(name)] = self._usable(path.stem, name, written)
        self._read[path] = (changed_ns, entries)
        return entries

    def _usable(self, use: str, name: str, written: PromptFile) -> _Entry:
        """The entry, if its template uses what it declares and nothing else, and can be rendered."""
        declared = set(written.variables)
        wrong: list[str] = []
        try:
            used = meta.find_undeclared_variables(self._sandbox.parse(written.template))
            template = self._sandbox.from_string(written.template)
            wrong += [f"{variable} is used but not declared" for variable in sorted(used - declared)]
            wrong += [f"{variable} is declared but not used" for variable in sorted(declared - used)]
            if not wrong:
                template.render(dict.fromkeys(declared, "x"))
        except _UNRENDERED as failure:
            raise InvalidPrompt(use=use, name=name, reason=str(failure)) from failure
        if wrong:
            raise InvalidPrompt(use=use, name=name, reason="; ".join(wrong))
        stem, dot, language = name.rpartition(".")
        return _Entry(stem if dot and language in LANGUAGES else name, written, template)


def _key(name: str) -> str:
    return name.casefold().replace(" ", "_")
