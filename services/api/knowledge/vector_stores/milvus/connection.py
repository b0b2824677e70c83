"""A Milvus to talk to: a server's, or Lite opened in this process. Called by the store."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from services.api.knowledge.vector_stores.milvus.options import Options
from services.foundation.errors import ChatchatError, StoreFailed
from services.foundation.paths import join_inside

STORE = "vector store"
_DATABASE = "milvus.db"
_INDEX_ENDING = ".idx"
_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0
_REASON_LIMIT_CHARS = 200


@dataclass(frozen=True, slots=True)
class MilvusConnection:
    """A client, and how to let go of what stands behind it.

    Attributes:
        is_lite: whether writes are flushed by us; a server does so itself and limits how often it may be asked.
        discard_indexes: deletes the index files of a collection, if there are any here; says whether there were.
    """

    client: MilvusClient
    is_lite: bool
    release: Callable[[], None]
    discard_indexes: Callable[[str], bool]

    def close(self) -> None:
        """Close the client, then Lite, which frees the lock on its folder."""
        self.client.close()
        self.release()


@contextlib.contextmanager
def milvus_failures() -> Iterator[None]:
    """Whatever Milvus could not do becomes StoreFailed."""
    try:
        yield
    except (MilvusException, MilvusLiteError) as failure:
        reason = str(getattr(failure, "message", "") or failure).partition("\n")[0]
        raise StoreFailed(store=STORE, reason=reason[:_REASON_LIMIT_CHARS]) from failure


def connect(folder: Path, options: Options) -> MilvusConnection:
    """Open Lite in `folder`, or reach the server the options name.

    Tries for some seconds: a server may be starting, and a process that is ending holds Lite's folder a moment longer.

    Raises:
        StoreFailed: another process holds the folder, or the server cannot be reached.
    """
    # Both log to their own handlers what they also raise.
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)
    for _ in range(_ATTEMPTS - 1):
        try:
            return _connect(folder, options)
        except ChatchatError:
            time.sleep(_PAUSE_SECONDS)
    return _connect(folder, options)


def _connect(folder: Path, options: Options) -> MilvusConnection:
    if options.uri is None:
        return _open_lite(folder, options)
    token = options.token.get_secret_value() if options.token else ""
    client = _client(options.uri, token, options)
    return MilvusConnection(client, is_lite=False, release=lambda: None, discard_indexes=lambda _: False)


def _open_lite(folder: Path, options: Options) -> MilvusConnection:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with milvus_failures():
            server, database, port = start_server_in_thread(data_dir=str(folder / _DATABASE))
    except StoreFailed as failure:
        if not isinstance(failure.__cause__, DataDirLockedError):
            raise
        reason = (
            f"the folder {folder.name!r} is in use by another process; stop that process, or work through the API "
            "that is running"
        )
        raise StoreFailed(store=STORE, reason=reason) from failure

    def release() -> None:
        server.stop(grace=2).wait()
        database.close()

    try:
        client = _client(f"http://127.0.0.1:{port}", "", options)
    except ChatchatError:
        release()
        raise
    discard = partial(_discard_indexes, folder / _DATABASE / "collections")
    return MilvusConnection(client, is_lite=True, release=release, discard_indexes=discard)


def _discard_indexes(collections: Path, name: str) -> bool:
    """Delete what Lite builds again from the vectors; it writes index files in place, so a kill can tear one."""
    torn = list(join_inside(collections, name).glob(f"partitions/*/indexes/*{_INDEX_ENDING}"))
    for path in torn:
        path.unlink(missing_ok=True)
    return bool(torn)


def _client(uri: str, token: str, options: Options) -> MilvusClient:
    with milvus_failures():
        # gRPC would send even loopback traffic through a proxy that the environment names.
        return MilvusClient(
            uri=uri, token=token, timeout=options.timeout_seconds, grpc_options={"grpc.enable_http_proxy": 0}
        )
