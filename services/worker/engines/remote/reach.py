"""How one model's provider is reached: the catalogue's entry, under the model's own options. Used by remote engines."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import httpx
from pydantic import Field, SecretStr

from services.foundation.errors import InvalidSetting
from services.foundation.settings.providers import (
    Bounds,
    EmbeddingRules,
    FieldRules,
    Provider,
    RerankRules,
    Retries,
    Timeouts,
)
from services.worker.engines.base import EngineSpec
from services.worker.engines.options import Options, option_path
from services.worker.engines.remote.failures import AnswerReader

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KEY = re.compile(r"[\x21-\x7e]+")


class RemoteOptions(Options):
    """Options of the engines that relay to a provider. What is given here wins over the catalogue's entry."""

    base_url: str | None = Field(
        default=None, repr=False, description="The provider's base URL, with the /v1 where it has one."
    )
    model: str | None = Field(default=None, description="What the provider calls the model; None: as we do.")
    api_key: SecretStr | None = Field(default=None, description="The provider's key.")
    secret_key: SecretStr | None = Field(default=None, description="The second half of the key, where there is a pair.")
    timeout_seconds: float | None = Field(
        default=None, gt=0, description="Longest wait for the next byte; None: the provider's timeouts."
    )
    proxy: SecretStr | None = Field(default=None, description="HTTP proxy; the environment's are ignored.")
    concurrency: int = Field(default=32, ge=1, description="Requests the provider runs at a time.")
    deployment: str | None = Field(
        default=None, pattern=r"^\w[\w.-]*$", description="Fills {deployment} of the base URL (Azure)."
    )
    resource: str | None = Field(
        default=None, pattern=r"^\w[\w-]*$", description="Fills {resource} of the base URL (Azure)."
    )
    query: dict[str, str] = Field(default={}, description="Added to the provider's, e.g. api-version.")
    bounds: dict[str, Bounds] = Field(default={}, description="Added to the provider's, e.g. the model's max_tokens.")
    fields: FieldRules | None = Field(default=None, description="In place of the provider's.")
    timeouts: Timeouts | None = Field(default=None, description="In place of the provider's.")
    retries: Retries | None = Field(default=None, description="In place of the provider's.")
    embeddings: EmbeddingRules | None = Field(default=None, description="In place of the provider's.")
    rerank: RerankRules | None = Field(default=None, description="In place of the provider's.")
    asks_usage: bool | None = Field(default=None, description="In place of the provider's.")


@dataclass(frozen=True, slots=True)
class Reach:
    """One model at its provider.

    Attributes:
        model: our name of it.
        upstream: the provider's name of it.
        base_url: complete, without credentials, with a slash at its end.
        login: name and password of the base URL.
        key: the first, or only, part of the key.
        secret: the second part.
        provider: the entry in force: quirks, query, proxy, retries.
        first_byte_seconds: longest wait for an answer to begin.
        between_bytes_seconds: longest silence within it.
        unusable_key: the sentence for a key that is needed and missing, or cannot be sent; empty: all is well.
        reader: reads its answers.
    """

    model: str
    upstream: str
    base_url: httpx.URL
    login: tuple[str, str] | None = field(repr=False)
    key: SecretStr | None
    secret: SecretStr | None
    provider: Provider = field(repr=False)
    first_byte_seconds: float
    between_bytes_seconds: float
    unusable_key: str
    reader: AnswerReader

    @property
    def origin(self) -> str:
        """Scheme, host and port: what a failure may show."""
        return f"{self.base_url.scheme}://{self.base_url.netloc.decode('ascii')}"


def reach_of(spec: EngineSpec, options: RemoteOptions) -> Reach:
    """Put the entry and the options together.

    Raises:
        InvalidSetting: there is no base URL, it is none, a placeholder has no value, the proxy is none, or the
            provider cannot do the model's task.
    """
    provider = _merged(spec, options)
    if spec.task not in provider.tasks:
        reason = f"its provider does {' and '.join(provider.tasks)}, not {spec.task}"
        raise InvalidSetting(setting=f"models.served.{spec.model}.task", reason=reason)
    url = _url(spec, options, provider)
    login = (url.username, url.password) if url.userinfo else None
    secrets = [value for value in (provider.api_key, provider.secret_key) if value is not None]
    if login is not None:
        secrets.append(SecretStr(login[1]))
    upstream = options.model or options.deployment or spec.model
    place = _key_place(provider) if options.api_key is None else ""
    return Reach(
        model=spec.model,
        upstream=upstream,
        base_url=url.copy_with(username="", password="", path=url.path.rstrip("/") + "/"),
        login=login,
        key=provider.api_key,
        secret=provider.secret_key,
        provider=provider,
        first_byte_seconds=provider.timeouts.first_byte_seconds or spec.timeout_seconds,
        between_bytes_seconds=provider.timeouts.between_bytes_seconds or spec.timeout_seconds,
        unusable_key=_unusable_key(provider, place),
        reader=AnswerReader(spec.model, upstream, spec.context_tokens, place or "the option api_key", tuple(secrets)),
    )


def _merged(spec: EngineSpec, options: RemoteOptions) -> Provider:
    """The catalogue's entry, or one of the options alone, under the options."""
    entry = spec.provider
    if entry is None:
        if options.base_url is None:
            reason = "it is needed: name a provider of models.providers, or give its base URL"
            raise InvalidSetting(setting=option_path(spec, "base_url"), reason=reason)
        entry = Provider.model_construct(base_url=options.base_url, needs_key=False)
    own = ("base_url", "api_key", "secret_key", "proxy", "fields", "timeouts", "retries", "embeddings", "rerank")
    given = {name: getattr(options, name) for name in (*own, "asks_usage")}
    changes = {name: value for name, value in given.items() if value is not None}
    if options.timeout_seconds is not None:
        timeouts = options.timeouts or entry.timeouts
        wait = options.timeout_seconds
        changes["timeouts"] = timeouts.model_copy(update={"first_byte_seconds": wait, "between_bytes_seconds": wait})
    rules = options.fields or entry.fields
    changes["fields"] = rules.model_copy(update={"bounds": {**rules.bounds, **options.bounds}})
    changes["query"] = {**entry.query, **options.query}
    return entry.model_copy(update=changes)


def _url(spec: EngineSpec, options: RemoteOptions, provider: Provider) -> httpx.URL:
    setting = option_path(spec, "base_url")
    values = {"deployment": options.deployment, "resource": options.resource}

    def filled(place: re.Match[str]) -> str:
        value = values.get(place[1])
        if value is None:
            raise InvalidSetting(setting=option_path(spec, place[1]), reason="its provider's base URL needs it")
        return value

    try:
        url = httpx.URL(_PLACEHOLDER.sub(filled, provider.base_url))
    except httpx.InvalidURL as failure:
        raise InvalidSetting(setting=setting, reason=str(failure)) from failure
    if url.scheme not in {"http", "https"} or not url.host:
        raise InvalidSetting(setting=setting, reason="it is not an http(s) URL")
    if provider.proxy is not None and not re.match(r"https?://[^/]", provider.proxy.get_secret_value()):
        raise InvalidSetting(setting=option_path(spec, "proxy"), reason="it is not an http(s) URL")
    return url


def _key_place(provider: Provider) -> str:
    """Where the key is set, as a person is told."""
    variables = " and ".join(name for name in (provider.key_variable, provider.secret_variable) if name)
    files = " and ".join(str(path) for path in (provider.key_file, provider.secret_file) if path)
    places = [f"the environment variable {variables}"] if variables else []
    places += [f"the file {files}"] if files else []
    return " or ".join(places)


def _unusable_key(provider: Provider, place: str) -> str:
    remedy = f"set {place or 'the option api_key'}, and start the model again"
    given = [value.get_secret_value() for value in (provider.api_key, provider.secret_key) if value is not None]
    if not all(_KEY.fullmatch(value) for value in given):
        return (
            f"its provider's key is empty, or holds spaces, line breaks or other characters no header takes; {remedy}"
        )
    has_pair = provider.secret_variable is not None or provider.secret_file is not None
    if len(given) > int(has_pair) or not provider.needs_key:
        return ""
    problem = f"{provider.key_problem}; " if provider.key_problem else ""
    return f"its provider's key is missing: {problem}{remedy}"
