"""Whatever Milvus could not do becomes StoreFailed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from milvus_lite.exceptions import MilvusLiteError
from pymilvus.exceptions import MilvusException

from services.foundation.errors import StoreFailed

STORE = "vector store"
_REASON_LIMIT_CHARS = 200


@contextlib.contextmanager
def milvus_failures() -> Iterator[None]:
    """Raise StoreFailed, with Milvus's own words, for what Milvus raises."""
    try:
        yield
    except (MilvusException, MilvusLiteError) as failure:
        reason = str(getattr(failure, "message", "") or failure).partition("\n")[0]
        raise StoreFailed(store=STORE, reason=reason[:_REASON_LIMIT_CHARS]) from failure
