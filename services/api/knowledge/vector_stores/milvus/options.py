"""What can be set of the Milvus store: `knowledge.vector_store.options`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from services.foundation.errors import InvalidSetting


class Options(BaseModel):
    """Where Milvus is and how it searches. The index is HNSW over cosine similarity in all cases."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str | None = Field(
        default=None,
        pattern="^https?://",
        description="URL of a Milvus server or cluster; None: Lite, in the data folder.",
    )
    lite_uri: str | None = Field(
        default=None,
        pattern="^https?://",
        description="URL of the process that has Lite open (`python -m services.api milvus`); None: this process. Set "
        "by startup.py's processes themselves.",
    )
    token: SecretStr | None = Field(default=None, description="'user:password' or an access key of the server.")
    m: int = Field(default=16, ge=4, le=64, description="HNSW: neighbours of a node.")
    ef_construction: int = Field(default=200, ge=8, le=2048, description="HNSW: candidates while building.")
    ef_search: int = Field(default=128, ge=1, le=4096, description="HNSW: candidates while searching.")
    consistency: Literal["Session", "Bounded"] = Field(
        default="Session", description="What a server's reads see: one's own writes, or what is a moment old."
    )
    timeout_seconds: float = Field(default=30.0, gt=0, description="Longest wait for one answer of Milvus.")


def read_options(raw: Mapping[str, object]) -> Options:
    """Validate the options, naming the wrong one by its full key.

    Raises:
        InvalidSetting: an option is unknown or out of its range.
    """
    try:
        return Options.model_validate(dict(raw))
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidSetting(setting=f"knowledge.vector_store.options.{field}", reason=first["msg"]) from failure
