"""The vector store shelf: one folder or file per variant, one line here."""

from services.api.domain.ports import VectorStore
from services.foundation.registry import Registry

VECTOR_STORES: Registry[VectorStore] = Registry(
    "vector store",
    __name__,
    {
        "milvus": "milvus.store:MilvusStore",
    },
)
