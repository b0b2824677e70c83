"""FastChat's control wire (register, heartbeat, look-up) and our additions (task, token, leases).

Source: fastchat/serve/controller.py and base_model_worker.py of fschat 0.2.36. Fields we add are optional, so that a
stock FastChat worker can join our controller and our worker can join a stock FastChat controller.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class _Message(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())


class WorkerStatus(_Message):
    """What a worker says of itself."""

    model_names: list[str]
    speed: int = 1
    queue_length: int = 0
    tasks: dict[str, str] = Field(default={}, description="Ours: model name → chat, embedding or rerank.")
    dialect: str = Field(default="fastchat", description="Ours: 'openai' when the worker serves /v1, else 'fastchat'.")
    supervisor: str | None = Field(default=None, description="Ours: control address of the supervisor that owns it.")


class RegisterWorker(_Message):
    """Body of POST /register_worker."""

    worker_name: str = Field(description="The worker's base URL.")
    check_heart_beat: bool = True
    worker_status: WorkerStatus | None = None
    multimodal: bool = False


class HeartBeat(_Message):
    """Body of POST /receive_heart_beat."""

    worker_name: str
    queue_length: int = 0


class HeartBeatAnswer(_Message):
    """`exist` is false when the controller does not know the worker (it should register again)."""

    exist: bool


class ModelQuery(_Message):
    """Body of POST /get_worker_address."""

    model: str


class WorkerAddress(_Message):
    """Answer of POST /get_worker_address; an empty address when nothing serves the model.

    `dialect` and `replicas` (how many workers serve the model) are ours.
    """

    address: str
    dialect: str = "fastchat"
    replicas: int | None = None


class ReleaseWorker(_Message):
    """Body of POST /release_worker (0.2.10's addition to FastChat's wire): stop a model, or replace it by another.

    Without a new name the model is stopped. With one it is replaced; with `keep_origin` the new one is started beside.
    """

    model_name: str = Field(min_length=1)
    new_model_name: str | None = None
    keep_origin: bool = False


class ReleaseAnswer(_Message):
    """Answer of POST /release_worker, in 0.2.10's envelope."""

    code: int = 200
    msg: str


class ModelNames(_Message):
    """Answer of POST /list_models."""

    models: list[str]


class Lease(_Message):
    """Ours: one worker's right to be routed to, as GET /leases lists it."""

    worker: str
    status: WorkerStatus
    expires_in_seconds: float


class LeaseList(_Message):
    """Answer of GET /leases."""

    leases: list[Lease]
