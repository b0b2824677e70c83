"""SentenceTransformersOptions, and what the embedder and the reranker have in common of it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from services.worker.engines.local.batching import CALLERS
from services.worker.engines.local.instructions import Asked
from services.worker.engines.local.work_queue import BatchLimits
from services.worker.engines.options import Options

_CPU_LIMITS = BatchLimits(texts=16, tokens=1024)
_GPU_LIMITS = BatchLimits(texts=64, tokens=16384)
"""Measured on two cores: four passages of 250 tokens at a time are as fast as sixteen, and a question waits less."""


class NetworkOptions(Options):
    """Where a model lies, where it runs, and how much at a time."""

    path: str = Field(
        min_length=1,
        description="Model folder: absolute, inside model_dir, 'package:<name>' for the folder 'model' of an installed "
        "package, or the id of a model on a hub.",
    )
    device: str = Field(
        default="cpu", pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto: CUDA, else MPS, else the CPU."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="Precision; auto: bfloat16 where the processor computes in it, else float32."
    )
    batch_size: int | None = Field(
        default=None, ge=1, le=1024, description="Most texts computed at a time; None: 16 on a CPU, 64 elsewhere."
    )
    batch_tokens: int | None = Field(
        default=None, ge=1, description="Most tokens computed at a time, padding included; None: 1024 or 16384."
    )
    trust_remote_code: bool = Field(default=False, description="Run Python code that lies beside the weights.")
    limit_worker_concurrency: int = Field(
        default=CALLERS, ge=1, le=1024, description="Requests admitted at a time; their texts share batches."
    )

    def limits_on(self, device: str) -> BatchLimits:
        """How much goes into one batch on that device."""
        usual = _CPU_LIMITS if device == "cpu" else _GPU_LIMITS
        return BatchLimits(self.batch_size or usual.texts, self.batch_tokens or usual.tokens)


class SentenceTransformersOptions(NetworkOptions):
    """Options of the sentence_transformers engine."""

    max_tokens: int | None = Field(
        default=None, ge=8, description="Cut texts here, if the model's own limit is not lower; None: at that."
    )
    instructions: Literal["auto", "off"] = Field(
        default="auto",
        description="auto: what the model's folder says stands before a query or passage, or its family.",
    )
    query_instruction: str | None = Field(default=None, description="Put before queries instead; may be empty.")
    passage_instruction: str | None = Field(default=None, description="Put before passages instead; may be empty.")
    backend: Literal["torch", "openvino"] = Field(
        default="torch", description="openvino: faster on Intel and AMD processors; needs the package openvino."
    )
    openvino_cache: str = Field(
        default=".cache/openvino", min_length=1, description="Folder for models converted for OpenVINO."
    )

    @field_validator("instructions", mode="before")
    @classmethod
    def _yaml_reads_off_as_false(cls, given: object) -> object:
        return {True: "auto", False: "off"}.get(given, given) if isinstance(given, bool) else given

    @property
    def asked_instructions(self) -> Asked:
        """What is said here about instructions."""
        return Asked(self.instructions, self.query_instruction, self.passage_instruction)
