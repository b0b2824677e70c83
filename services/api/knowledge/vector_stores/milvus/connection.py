"""A Milvus to talk to: a server's, or Lite's, served by this process or by another. Called by the store."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pymilvus import MilvusClient

from services.api.knowledge.vector_stores.milvus.failures import milvus_failures
from services.api.knowledge.vector_stores.milvus.options import Options
from services.foundation.errors import ChatchatError

_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0
_LISTENER_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class MilvusConnection:
    """A client, and how to let go of what stands behind it.

    Attributes:
        is_lite: whether writes are flushed by us; a server does so itself and limits how often it may be asked.
    """

    client: MilvusClient
    is_lite: bool
    release: Callable[[], None]

    def close(self) -> None:
        """Close the client, then Lite, which frees the lock on its folder."""
        self.client.close()
        self.release()


def connect(folder: Path, options: Options) -> MilvusConnection:
    """Open Lite in `folder`, or reach the server, or the process with Lite, that the options name.

    Tries for some seconds: a server may be starting, and a process that is ending holds Lite's folder a moment longer.

    Raises:
        StoreFailed: another process holds the folder, or the server cannot be reached.
    """
    logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs what it also raises
    for _ in range(_ATTEMPTS - 1):
        try:
            return _connect(folder, options)
        except ChatchatError:
            time.sleep(_PAUSE_SECONDS)
    return _connect(folder, options)


def _connect(folder: Path, options: Options) -> MilvusConnection:
    if options.uri is not None:
        token = options.token.get_secret_value() if options.token else ""
        return MilvusConnection(_client(options.uri, token, options), is_lite=False, release=lambda: None)
    if options.lite_uri is not None:
        _await_listener(options.lite_uri, options.timeout_seconds)
        return MilvusConnection(_client(options.lite_uri, "", options), is_lite=True, release=lambda: None)
    return _open_lite(folder, options)


def _await_listener(uri: str, seconds: float) -> None:
    """Wait until somebody listens there, or so long: gRPC tries again ever more rarely, seconds after it could."""
    parts = urlsplit(uri)
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        try:
            socket.create_connection((parts.hostname, parts.port or 80), timeout=1.0).close()
        except OSError:
            time.sleep(_LISTENER_POLL_SECONDS)
        else:
            return


def _open_lite(folder: Path, options: Options) -> MilvusConnection:
    from services.api.knowledge.vector_stores.milvus.lite import LiteServer  # its engine is large; clients need none

    server = LiteServer(folder)
    try:
        client = _client(f"http://127.0.0.1:{server.port}", "", options)
    except ChatchatError:
        server.close()
        raise
    return MilvusConnection(client, is_lite=True, release=server.close)


def _client(uri: str, token: str, options: Options) -> MilvusClient:
    with milvus_failures():
        # gRPC would send even loopback traffic through a proxy that the environment names.
        return MilvusClient(
            uri=uri, token=token, timeout=options.timeout_seconds, grpc_options={"grpc.enable_http_proxy": 0}
        )
