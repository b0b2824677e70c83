"""FastChat's control wire (register, heartbeat, look-up), our additions (task, token, leases), and the supervisor's.

Source: fastchat/serve/controller.py and base_model_worker.py of fschat 0.2.36. Fields we add are optional, so that a
stock FastChat worker can join our controller and our worker can join a stock FastChat controller.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

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
    """Answer of POST /release_worker, in 0.2.10's envelope. `reason` is ours: why it failed, where `msg` is silent."""

    code: int = 200
    msg: str
    reason: str | None = None


class DrainWorker(_Message):
    """Ours: body of POST /drain_worker. The worker keeps its lease and is routed to no more."""

    worker_name: str = Field(description="The worker's base URL.")


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


class ProcessReport(_Message):
    """Ours: one process of a supervisor, as GET /processes lists it."""

    name: str
    state: str = Field(description="starting, ready, degraded, restarting or failed.")
    reason: str | None = Field(default=None, description="Why it is not ready.")
    pid: int | None = Field(default=None, description="None while it does not run.")
    models: list[str] = Field(default=[], description="What it serves, when it is a worker.")
    port: int
    since: datetime = Field(description="When it came into this state.")
    restarts: int = Field(default=0, description="How often it was started again.")


class ProcessList(_Message):
    """Answer of GET /processes."""

    processes: list[ProcessReport]


class ReplaceModel(_Message):
    """Body of POST /models/{name}/replace. Without `first`, the old one stops first only if both cannot run at once."""

    by: str = Field(min_length=1, description="The model to serve instead.")
    first: Literal["start", "stop"] | None = Field(default=None, description="What is done first.")


class Progress(_Message):
    """One event while a model is started, stopped or replaced; the last one is "done", or else a failure."""

    model: str = Field(description="The model that is at work at the moment.")
    state: Literal["waiting", "starting", "draining", "stopping", "done"]
    seconds: float = Field(description="Since the request was accepted.")
    line: str = Field(default="", description="What its process wrote last.")
