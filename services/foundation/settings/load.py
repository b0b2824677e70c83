"""The only reader of YAML, the environment and secret files. Doors (`__main__` modules) call `load_settings` once.

Precedence: arguments → environment (`CHATCHAT_SERVER__API__PORT`) → `.env` → YAML → defaults.
`CHATCHAT_CONFIG_DIR` names another folder than `configs/`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from services.foundation.settings.providers import Provider
from services.foundation.settings.tree import Settings

ROOT = Path(__file__).resolve().parents[3]
_PREFIX = "CHATCHAT_"
_BRANCHES = {*Settings.model_fields, "config_dir"}
_SECRET = {"access_keys", "worker_token", "options", "database_url", "providers"}
_KEY_LIMIT_BYTES = 8_192


class BadSettings(Exception):
    """The configuration cannot be used; `problems` holds one sentence per mistake."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class _YamlFolder(PydanticBaseSettingsSource):
    """`configs/<branch>.yaml` → {branch: content}."""

    def __init__(self, settings_class: type[BaseSettings], folder: Path) -> None:
        super().__init__(settings_class)
        self._folder = folder

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - abstract in pydantic-settings
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        return read_folder(self._folder)


def read_folder(folder: Path) -> dict[str, Any]:
    """Read every `*.yaml` directly inside `folder`; the file's stem is the branch.

    Raises:
        BadSettings: a file is not YAML or not a mapping, or the folder does not exist.
    """
    if not folder.is_dir():
        raise BadSettings([f"the configuration folder {folder} does not exist"])
    tree: dict[str, Any] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as failure:
            raise BadSettings([f"{path}: not valid YAML: {' '.join(str(failure).split())}"]) from failure
        if content is None:
            continue
        if not isinstance(content, Mapping):
            raise BadSettings([f"{path}: must be a mapping of settings"])
        tree[path.stem] = dict(content)
    return tree


def config_dir() -> Path:
    """The folder the YAML files are read from."""
    named = os.environ.get(f"{_PREFIX}CONFIG_DIR")  # noqa: TID251 - the one reader of the environment
    return Path(named) if named else ROOT / "configs"


def environment_names() -> set[str]:
    """The settings named in the environment, upper case, without the prefix."""
    return {name.upper().removeprefix(_PREFIX) for name in os.environ if name.upper().startswith(_PREFIX)}  # noqa: TID251


def read_settings(folder: Path | None = None, **overrides: Any) -> Settings:
    """Read the whole tree and validate it.

    Args:
        folder: another configuration folder.
        overrides: branches given as arguments; they win over everything else.

    Raises:
        BadSettings: with every problem found, each naming the key path and where it came from.
    """
    where = folder or config_dir()
    misspelt = sorted(name for name in environment_names() if name.split("__")[0].lower() not in _BRANCHES)
    if misspelt:
        raise BadSettings([f"the environment variable {_PREFIX}{name}: there is no such setting" for name in misspelt])

    class _Reader(Settings, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=_PREFIX, env_nested_delimiter="__", env_file=ROOT / ".env", extra="forbid", frozen=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, dotenv_settings, _YamlFolder(settings_cls, where)

    try:
        read = _Reader(**overrides)
    except ValidationError as failure:
        raise BadSettings([_sentence(problem, where) for problem in failure.errors()]) from failure
    except SettingsError as failure:
        raise BadSettings([f"the environment: {failure}; a list or a branch is written as JSON"]) from failure
    return _with_prompts(_with_keys(Settings.model_validate(read.model_dump())), where)


def _with_prompts(settings: Settings, folder: Path) -> Settings:
    """The same settings, with the folder of the operator's prompts. One that was named and is none is a mistake."""
    named = settings.server.prompts_dir
    if named is not None and not named.is_dir():
        raise BadSettings([f"server.prompts_dir: the folder {named} does not exist"])
    server = settings.server.model_copy(update={"prompts_dir": named or folder / "prompts"})
    return settings.model_copy(update={"server": server})


def _with_keys(settings: Settings) -> Settings:
    """The same settings, the providers' keys filled in. A key that is missing or cannot be read stops nothing: its
    models start degraded, and their sentence says what to set.
    """
    providers = {name: _keyed(provider) for name, provider in settings.models.providers.items()}
    models = settings.models.model_copy(update={"providers": providers})
    return settings.model_copy(update={"models": models})


def _keyed(provider: Provider) -> Provider:
    try:
        key = provider.api_key or _key_of(provider.key_variable, provider.key_file)
        secret = provider.secret_key or _key_of(provider.secret_variable, provider.secret_file)
    except ValueError as problem:
        return provider.model_copy(update={"key_problem": str(problem)})
    return provider.model_copy(update={"api_key": key, "secret_key": secret})


def _key_of(variable: str | None, file: Path | None) -> SecretStr | None:
    """The key in a variable or else in a file; None where neither has one. Raises ValueError for an unusable file."""
    value = os.environ.get(variable, "") if variable is not None else ""  # noqa: TID251 - the one reader of it
    if not value and file is not None:
        value = _text_of(file)
    return SecretStr(value) if value else None


def _text_of(file: Path) -> str:
    """What a secret file holds, without its last line end; empty where there is none."""
    try:
        if file.exists() and not file.is_file():  # docker makes a folder of a secret that is missing on the host
            raise ValueError(f"{file} is a folder" if file.is_dir() else f"{file} is no plain file")
        with file.open("rb") as opened:
            content = opened.read(_KEY_LIMIT_BYTES + 1)
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except OSError as failure:
        raise ValueError(f"{file} cannot be read: {failure.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text") from None
    if len(content) > _KEY_LIMIT_BYTES:
        raise ValueError(f"{file} is larger than {_KEY_LIMIT_BYTES} bytes, which no key is")
    return text.rstrip("\r\n")


def _sentence(problem: Any, folder: Path) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    branch = str(problem["loc"][0]) if problem["loc"] else ""
    given = f" (given: {problem['input']!r})" if _may_be_shown(problem) else ""
    source = (
        f"{folder / branch}.yaml or the environment variable {_PREFIX}{'__'.join(map(str, problem['loc'])).upper()}"
    )
    return f"{path}: {problem['msg']}{given}; see {source}"


def _may_be_shown(problem: Any) -> bool:
    """Only a single value, and none that may hold a key or a password."""
    if problem["type"] in {"missing", "extra_forbidden"} or not _SECRET.isdisjoint(problem["loc"]):
        return False
    return isinstance(problem["input"], str | int | float)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings or leave the process with exit code 2, printing every problem. For doors only."""
    try:
        return read_settings(**overrides)
    except BadSettings as failure:
        _leave(failure.problems)


def _leave(problems: list[str]) -> NoReturn:
    for problem in problems:
        sys.stderr.write(f"Configuration error: {problem}\n")
    raise SystemExit(2)
