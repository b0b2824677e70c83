"""Provider: how a remote service of models is reached; the catalogue stands in configs/models.yaml."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from services.foundation.settings.node import Node


class Provider(Node):
    """A remote service. Its key is never written into configs: a variable or a secret file holds it."""

    base_url: str = Field(description="Base URL, with the /v1 where it has one.")
    api_key: SecretStr | None = Field(
        default=None, description="The key itself; better kept in key_variable or key_file."
    )
    key_variable: str | None = Field(default=None, description="Environment variable that holds the key.")
    key_file: Path | None = Field(default=None, description="File that holds the key, e.g. /run/secrets/deepseek.")
