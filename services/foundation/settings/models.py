"""The branch `models` of the settings: what is served, by which engine, on which GPUs, and who provides the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from services.foundation.settings.node import Node
from services.foundation.settings.providers import Provider


class Downloads(Node):
    """Whether weights may be fetched from a hub. By default nothing is."""

    source: Literal["none", "huggingface", "modelscope"] = Field(
        default="none", description="Where a model that is not in model_dir is fetched from when its worker starts."
    )
    endpoint: str | None = Field(default=None, description="Another address of that hub: a mirror in the building.")


class ServedModel(Node):
    """One model: what it does, which engine runs it, and the engine's options."""

    task: Literal["chat", "embedding", "rerank"] = Field(description="What the model does.")
    engine: str = Field(description="A name on the engine shelf.")
    options: dict[str, Any] = Field(
        default={}, repr=False, description="Options of the engine; see the engine's Options class."
    )
    worker: str | None = Field(default=None, description="Models with the same worker name share one process.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Port of its worker; None: counted up.")
    replicas: int = Field(default=1, ge=1, le=64, description="Worker processes that serve it, each of its own.")
    gpus: str | None = Field(
        default=None,
        pattern=r"^\w[-\w]*(,\w[-\w]*)*$",
        description="GPUs of its workers as CUDA counts them, e.g. '0,1'; shared out evenly among the replicas.",
    )
    start_timeout_seconds: float | None = Field(
        default=None, gt=0, description="Longest wait until it is ready; None: server.start_timeout_seconds."
    )
    provider: str | None = Field(default=None, description="A name of models.providers, for remote engines.")
    remote: bool = Field(default=False, description="Relayed to a provider: started by -p, optional at start-up.")
    optional: bool = Field(default=False, description="A failure leaves the stack degraded instead of stopping it.")
    rewrites: bool = Field(default=True, description="A chat model that can rewrite a follow-up question on request.")
    context_tokens: int = Field(default=8192, ge=128, description="Longest request the model takes, in tokens.")
    repetition_penalty: bool | None = Field(
        default=None, description="Whether it takes the field repetition_penalty; None: with vllm and transformers."
    )

    @property
    def takes_repetition_penalty(self) -> bool:
        """As said, or else by the engine; a provider's refusal would fail the answer."""
        return self.engine in {"vllm", "transformers"} if self.repetition_penalty is None else self.repetition_penalty

    @model_validator(mode="before")
    @classmethod
    def _a_provider_is_remote(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("provider") is not None:
            return {"remote": True, **given}
        return given


class Models(Node):
    """The models this installation serves and which of them are used by default."""

    default_chat: str = Field(default="extractive", description="Chat model used when a request names none.")
    default_embedding: str = Field(default="all-minilm-l6-v2", description="Embedding model of new knowledge bases.")
    default_rerank: str | None = Field(
        default=None,
        description="Rerank model that orders what was found; None: by words and vectors, without a model.",
    )
    model_dir: Path = Field(default=Path("model"), description="Folder with local weights.")
    downloads: Downloads = Field(default=Downloads(), description="Whether weights may be fetched from a hub.")
    profile: str | None = Field(
        default=None,
        description="Which of the profiles holds on this machine; None: no profile, the engines' defaults.",
    )
    profiles: dict[str, dict[str, dict[str, Any]]] = Field(
        default={}, description="Profile → engine → options that a model's own options override."
    )
    providers: dict[str, Provider] = Field(default={}, description="Provider name → how it is reached.")
    served: dict[str, ServedModel] = Field(default={}, description="Model name → what serves it.")

    def options_of(self, name: str) -> dict[str, Any]:
        """The engine options of a served model: its own over those of the profile in force."""
        model = self.served[name]
        profile = self.profiles[self.profile] if self.profile is not None else {}
        return {**profile.get(model.engine, {}), **model.options}

    @model_validator(mode="after")
    def _names_are_known(self) -> Models:
        if self.profile is not None and self.profile not in self.profiles:
            known = ", ".join(sorted(self.profiles)) or "none"
            raise ValueError(f"profile names {self.profile!r}, which is not among the profiles; known: {known}")
        for name, model in self.served.items():
            if model.provider is not None and model.provider not in self.providers:
                known = ", ".join(sorted(self.providers)) or "none"
                raise ValueError(f"served.{name}.provider names {model.provider!r}, which is none; known: {known}")
        return self

    @model_validator(mode="after")
    def _defaults_are_served(self) -> Models:
        for field, name, task in (
            ("default_chat", self.default_chat, "chat"),
            ("default_embedding", self.default_embedding, "embedding"),
            ("default_rerank", self.default_rerank, "rerank"),
        ):
            if name is None or (not self.served and task != "rerank"):
                continue
            if name not in self.served or self.served[name].task != task:
                known = ", ".join(sorted(n for n, m in self.served.items() if m.task == task)) or "none"
                raise ValueError(f"{field} names {name!r}, which is no {task} model of models.served; known: {known}")
        return self
