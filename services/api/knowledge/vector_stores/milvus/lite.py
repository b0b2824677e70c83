"""Milvus Lite as a gRPC server: inside this process, or in a process of its own that several others share.

Lite's engine loses rows to concurrent writers of one collection (3.2.2), so the server lets one write in at a time,
whichever process it comes from.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from milvus_lite.adapter.grpc.servicer import MilvusServicer
from milvus_lite.db import MilvusLite
from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError
from pymilvus.grpc_gen import milvus_pb2_grpc

from services.api.knowledge.vector_stores.milvus import lite_search
from services.api.knowledge.vector_stores.milvus.failures import STORE, milvus_failures
from services.foundation.errors import StoreFailed
from services.foundation.paths import join_inside

log = logging.getLogger(__name__)
_DATABASE = "milvus.db"
_INDEX_ENDING = ".idx"
_THREADS = 10
_MESSAGE_BYTES = 256 * 1024 * 1024
_WRITES = frozenset(
    {
        "CreateCollection",
        "DropCollection",
        "Insert",
        "Upsert",
        "Delete",
        "Flush",
        "CreateIndex",
        "DropIndex",
        "LoadCollection",
        "ReleaseCollection",
    }
)


class LiteServer:
    """Lite, open and served on a loopback port.

    Attributes:
        port: where.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Open the folder and serve it.

        Args:
            folder: Lite's data lie in it.
            host: address to bind.
            port: to bind; 0: any free one.

        Raises:
            StoreFailed: another process holds the folder, or the port is taken.
        """
        lite_search.install()
        self._collections = folder / _DATABASE / "collections"
        self._database = _open(folder)
        try:
            self._load_all()
            self.port: int = self._serve(f"{host}:{port}")
        except StoreFailed:
            self._database.close()
            raise

    def _serve(self, address: str) -> int:
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="milvus-lite"),
            interceptors=[_OneWriter()],
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_BYTES),
                ("grpc.max_send_message_length", _MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ],
        )
        milvus_pb2_grpc.add_MilvusServiceServicer_to_server(MilvusServicer(self._database), self._server)
        try:
            port: int = self._server.add_insecure_port(address)
        except RuntimeError as failure:
            raise StoreFailed(store=STORE, reason=f"it cannot listen on {address}") from failure
        self._server.start()
        return port

    def _load_all(self) -> None:
        """Make everything searchable: after a start Lite searches nothing that is not loaded."""
        with milvus_failures(MilvusLiteError):
            for name in self._database.list_collections():
                self._load(name)

    def _load(self, name: str) -> None:
        collection = self._database.get_collection(name)
        try:
            collection.load()
        except Exception as failure:
            if not self._discard_indexes(name):
                raise StoreFailed(store=STORE, reason=f"{name} cannot be loaded: {failure}") from failure
            log.warning("the index of %s cannot be loaded and is built anew: %s", name, failure)
            collection.load()

    def _discard_indexes(self, name: str) -> bool:
        """Delete what Lite builds again from the vectors; it writes index files in place, so a kill can tear one."""
        torn = list(join_inside(self._collections, name).glob(f"partitions/*/indexes/*{_INDEX_ENDING}"))
        for path in torn:
            path.unlink(missing_ok=True)
        return bool(torn)

    def close(self) -> None:
        """End what is under way and free the folder."""
        self._server.stop(grace=2).wait()
        with milvus_failures(MilvusLiteError):
            self._database.close()


def _open(folder: Path) -> MilvusLite:
    logging.getLogger("milvus_lite").setLevel(logging.CRITICAL)  # it logs what it also raises
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with milvus_failures(MilvusLiteError):
            return MilvusLite(str(folder / _DATABASE))
    except StoreFailed as failure:
        if not isinstance(failure.__cause__, DataDirLockedError):
            raise
        reason = (
            f"the folder {folder.name!r} is in use by another process; stop that process, or work through the API "
            "that is running"
        )
        raise StoreFailed(store=STORE, reason=reason) from failure


class _OneWriter(grpc.ServerInterceptor):  # type: ignore[misc]
    """Writes, one at a time."""

    def __init__(self) -> None:
        self._writing = threading.Lock()

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or details.method.rpartition("/")[2] not in _WRITES:
            return handler

        def alone(request: object, context: object) -> object:
            with self._writing:
                return handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(
            alone,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )
