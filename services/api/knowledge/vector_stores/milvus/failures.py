"""Whatever Milvus could not do becomes StoreFailed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pymilvus.exceptions import MilvusException

from services.foundation.errors import StoreFailed

STORE = "vector store"
_REASON_LIMIT_CHARS = 200


@contextlib.contextmanager
def milvus_failures(kind: type[Exception] = MilvusException) -> Iterator[None]:
    """Raise StoreFailed, with Milvus's own words, for what Milvus raises: its client, or `kind`."""
    try:
        yield
    except kind as failure:
        reason = str(getattr(failure, "message", "") or failure).partition("\n")[0]
        raise StoreFailed(store=STORE, reason=reason[:_REASON_LIMIT_CHARS]) from failure
