"""The access-key check, shared by gateway and api. Reads `scope`, never `request.url` (a Host header can poison it)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from pydantic import SecretStr

from services.foundation.errors import Unauthenticated

OPEN_PATHS = frozenset({"/healthz"})


class AccessCheck:
    """Compares the key a caller shows with the configured ones, in constant time."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._digests = [_digest(key.get_secret_value()) for key in keys]

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Let the caller pass or raise.

        Args:
            path: the routed path (`scope["path"]`).
            headers: request headers, names in lower case.

        Raises:
            Unauthenticated: keys are configured and the caller shows none of them.
        """
        if not self._digests or path in OPEN_PATHS:
            return
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        shown = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        given = _digest(shown)
        matches = [hmac.compare_digest(given, known) for known in self._digests]  # all of them: constant time
        if not any(matches):
            raise Unauthenticated


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
