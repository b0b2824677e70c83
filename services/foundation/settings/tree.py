"""The typed tree of settings; pure models, no reading. `load.py` fills it; services are handed their branch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, model_validator

from services.foundation.settings.answering import Answering, Preset
from services.foundation.settings.models import Models, ServedModel
from services.foundation.settings.node import Node

SECRET_CHARS = 12
__all__ = [
    "Answering",
    "Choice",
    "Endpoint",
    "Knowledge",
    "Logging",
    "Models",
    "Node",
    "Preset",
    "Retrieval",
    "ServedModel",
    "Server",
    "Settings",
    "Temporary",
]


class Choice(Node):
    """A named variant from a shelf and its own options, which the variant validates at start-up."""

    name: str
    options: dict[str, Any] = Field(
        default={}, repr=False, description="Options of the variant; see the variant's Options class."
    )


class Endpoint(Node):
    """Where a service listens, and where others reach it."""

    host: str = Field(default="127.0.0.1", description="Address to bind. Loopback unless configured.")
    port: int = Field(ge=1, le=65535, description="Port to bind.")
    public_url: str | None = Field(default=None, description="Address by which others reach it, when it differs.")

    @property
    def url(self) -> str:
        """The reachable base URL, without a trailing slash."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not bound
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}"


class Logging(Node):
    """Log level of all services, and the files the supervisor keeps."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Lowest level written.")
    folder: Path = Field(default=Path("logs"), description="Folder of the log files, one per process.")
    file_bytes: int = Field(default=10_000_000, ge=10_000, description="Size at which a log file is rotated.")
    files_kept: int = Field(default=5, ge=1, description="Rotated files kept per process.")


class Server(Node):
    """Processes: where they listen, how long they wait, who may call."""

    controller: Endpoint = Field(default=Endpoint(port=20001), description="FastChat controller.")
    gateway: Endpoint = Field(default=Endpoint(port=20000), description="OpenAI-compatible server.")
    api: Endpoint = Field(default=Endpoint(port=7861), description="Chatchat API.")
    webui: Endpoint = Field(default=Endpoint(port=8501), description="Streamlit web UI.")
    worker: Endpoint = Field(default=Endpoint(port=20002), description="First model worker; the next ones count up.")
    milvus: Endpoint = Field(default=Endpoint(port=7862), description="Embedded Milvus, gRPC. Keep it on loopback.")
    milvus_health: Endpoint = Field(default=Endpoint(port=7863), description="Health of the embedded Milvus.")
    ingest: Endpoint = Field(
        default=Endpoint(port=7864), description="Health of the first process that indexes files; the next count up."
    )
    supervisor: Endpoint = Field(
        default=Endpoint(port=20009),
        description="Supervisor: starts and stops models at run time. Keep it on loopback.",
    )
    access_keys: tuple[SecretStr, ...] = Field(
        default=(), description="Keys that gateway and API accept. Empty: no key is asked for (loopback use)."
    )
    worker_token: SecretStr | None = Field(
        default=None, description="Shared token a worker must show to register. None: address check only."
    )
    worker_addresses: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost", "::1"),
        description="Hosts (names, addresses or networks) workers may register from.",
    )
    dispatch: Literal["shortest_queue", "lottery"] = Field(
        default="shortest_queue", description="How a worker is picked."
    )
    heartbeat_seconds: float = Field(default=2.0, gt=0, description="How often a worker renews its lease.")
    lease_seconds: float = Field(default=8.0, gt=0, description="A lease not renewed for this long has expired.")
    canary_seconds: float = Field(
        default=30.0, ge=0, description="An idle local model must answer a tiny request this often; 0: never asked."
    )
    canary_timeout_seconds: float = Field(
        default=60.0, gt=0, description="A model that takes longer for its tiny request is restarted."
    )
    stall_seconds: float = Field(
        default=120.0, gt=0, description="A busy local model that makes no progress for this long is restarted."
    )
    caller_limit: int = Field(
        default=256,
        ge=1,
        description="Requests one access key (or one address, without keys) may have running at a time.",
    )
    request_timeout_seconds: float = Field(default=300.0, gt=0, description="Longest wait for an answer of a model.")
    start_timeout_seconds: float = Field(default=120.0, gt=0, description="Longest wait for a process to become ready.")
    stop_grace_seconds: float = Field(default=5.0, gt=0, description="Wait between SIGTERM and SIGKILL at shutdown.")
    language: Literal["zh-CN", "en"] = Field(
        default="zh-CN", description="Language of API sentences when a client names none."
    )
    data_dir: Path = Field(default=Path("knowledge_base"), description="Knowledge bases and the metadata database.")
    prompts_dir: Path | None = Field(
        default=None,
        description="Your own prompts, which stand before the shipped ones; None: folder `prompts` beside the YAML.",
    )
    logging: Logging = Field(default=Logging(), description="Logs.")

    @model_validator(mode="after")
    def _secrets_are_long(self) -> Server:
        """A short or empty key would be guessed, or let everyone in."""
        token = () if self.worker_token is None else (self.worker_token,)
        for field, secrets in (("access_keys", self.access_keys), ("worker_token", token)):
            if any(len(secret.get_secret_value()) < SECRET_CHARS for secret in secrets):
                raise ValueError(f"{field}: a secret must have at least {SECRET_CHARS} characters")
        return self


class Retrieval(Node):
    """How passages are found."""

    top_k: int = Field(
        default=3, ge=1, le=100, description="Passages given to the model when a request names no number."
    )
    candidates: int = Field(default=30, ge=1, le=500, description="Passages taken from each arm before fusion.")
    dense_weight: float = Field(
        default=0.25, ge=0, description="Weight of the dense list in the fusion; 0.25 suits the built-in embedder."
    )
    keyword_weight: float = Field(default=1.0, ge=0, description="Weight of the keyword list in the fusion.")
    rrf_constant: int = Field(default=10, ge=1, description="k of reciprocal rank fusion (Cormack et al. 2009).")
    unreadable_share: float = Field(
        default=0.3, ge=0, le=1, description="Share of unknown tokens above which the dense list is left out."
    )
    min_similarity: float = Field(default=0.0, ge=0, le=1, description="Hits below this are dropped.")
    rerank: bool = Field(
        default=True, description="Whether candidates are ordered anew: by models.default_rerank, else by their words."
    )
    reranked: int = Field(default=60, ge=1, le=500, description="Candidates that are ordered anew, at most.")
    widen_chars: int = Field(
        default=0,
        ge=0,
        le=20_000,
        description="A passage is given to the model with its neighbours in its section, up to so many characters; "
        "0: alone.",
    )


class Parsing(Node):
    """Limits on the processes that read files."""

    stall_seconds: float = Field(default=45.0, gt=0, description="Longest time without progress on one file.")
    limit_seconds: float = Field(default=21_600.0, gt=0, description="Longest time one file may take in all.")
    memory_bytes: int = Field(default=1_000_000_000, ge=100_000_000, description="Most memory a file may take.")
    files_per_process: int = Field(default=100, ge=1, description="Files a process reads before a fresh one follows.")
    idle_seconds: float = Field(default=30.0, gt=0, description="How long a process without work is kept.")


class Temporary(Node):
    """Files that are uploaded for a file chat, and forgotten after it."""

    minutes: float = Field(default=120, gt=0, description="How long they are kept after they were last used.")
    sets: int = Field(default=100, ge=1, description="File chats whose files are kept at a time.")
    files: int = Field(default=20, ge=1, le=1000, description="Most files of one file chat.")
    limit_mb: int = Field(default=50, ge=1, description="Most megabytes of one file chat, all its files together.")
    wait_seconds: float = Field(
        default=60, ge=0, description="Longest time an upload waits for its files to be searchable."
    )


class Knowledge(Node):
    """Ingestion, storage and retrieval."""

    default_base: str = Field(default="samples", description="Knowledge base the web UI selects first.")
    database_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the metadata database; None: SQLite info.db in the data folder."
    )
    chunk_chars: int = Field(
        default=250, ge=20, le=4000, description="Longest chunk: an ideograph counts 1, another character 1/3."
    )
    overlap_chars: int = Field(default=50, ge=0, description="What two neighbours share at most, counted likewise.")
    splitter: Choice = Field(default=Choice(name="sentences"), description="Splitter of new files.")
    vector_store: Choice = Field(default=Choice(name="milvus"), description="Vector store of new knowledge bases.")
    text_index: Choice = Field(
        default=Choice(name="auto"), description="Keyword index; auto: beside the metadata, sqlite_fts or postgres."
    )
    file_limit_bytes: int = Field(default=200_000_000, ge=1, description="Largest upload.")
    ingest_processes: int = Field(default=1, ge=1, le=64, description="Processes that index files.")
    parallel_files: int = Field(default=2, ge=1, le=64, description="Files ingested at a time, by each process.")
    embed_batch: int = Field(default=32, ge=1, le=1024, description="Chunks embedded per request.")
    check_hours: float = Field(
        default=24,
        ge=0,
        description="Hours between checks that disk, database and indexes agree, by the first ingest process; 0: none.",
    )
    temporary: Temporary = Field(default=Temporary(), description="Files of a file chat.")
    parsing: Parsing = Field(default=Parsing(), description="Limits on the processes that read files.")
    retrieval: Retrieval = Field(default=Retrieval(), description="Retrieval.")
    answering: Answering = Field(default=Answering(), description="Answers from passages.")


class Settings(Node):
    """The whole tree; `configs/<branch>.yaml` fills the branch of the same name."""

    server: Server = Field(default=Server(), description="configs/server.yaml")
    models: Models = Field(default=Models(), description="configs/models.yaml")
    knowledge: Knowledge = Field(default=Knowledge(), description="configs/knowledge.yaml")
    presets: dict[str, Preset] = Field(
        default={}, description="configs/presets.yaml: what a chat request may choose by name."
    )

    @model_validator(mode="after")
    def _a_reranker_is_used(self) -> Settings:
        if self.models.default_rerank is not None and not self.knowledge.retrieval.rerank:
            raise ValueError("models.default_rerank has no effect while knowledge.retrieval.rerank is off: unset one")
        return self

    @property
    def embeds_milvus(self) -> bool:
        """Whether Milvus Lite keeps the vectors; a process of its own has it open then."""
        chosen = self.knowledge.vector_store
        return chosen.name == "milvus" and chosen.options.get("uri") is None

    @property
    def text_index(self) -> Choice:
        """The keyword index; it lies beside the metadata unless another is chosen."""
        chosen = self.knowledge.text_index
        if chosen.name != "auto":
            return chosen
        beside = "postgres" if self.database_url.startswith("postgresql") else "sqlite_fts"
        return Choice(name=beside, options=chosen.options)

    @property
    def vectors_folder(self) -> Path:
        """Where the embedded vector store keeps its files."""
        return self.server.data_dir / "vectors.milvus"

    @property
    def database_url(self) -> str:
        """URL of the metadata database, with the SQLite default filled in."""
        named = self.knowledge.database_url
        if named is not None:
            return named.get_secret_value()
        return f"sqlite+aiosqlite:///{self.server.data_dir.resolve() / 'info.db'}"
