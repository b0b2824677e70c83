"""The text index shelf: one file per variant, one line here."""

from services.api.domain.ports import TextIndex
from services.foundation.registry import Registry

TEXT_INDEXES: Registry[TextIndex] = Registry(
    "text index",
    __name__,
    {
        "postgres": "postgres.index:PostgresIndex",
        "sqlite_fts": "sqlite_fts:SqliteFtsIndex",
    },
)
