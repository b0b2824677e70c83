"""SQLAlchemy's URL of a PostgreSQL database → what its driver is called with. Called by the index."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from services.foundation.errors import InvalidSetting

Arguments = dict[str, str | int]

_DIALECTS = {"postgresql", "postgresql+asyncpg"}
# SQLAlchemy keeps these to itself.
_NOT_THE_DRIVERS = {"prepared_statement_cache_size", "prepared_statement_name_func"}


def arguments_of(url: str) -> Arguments:
    """The driver's arguments for the database that the metadata storage opens by the same URL.

    Raises:
        InvalidSetting: the URL names no PostgreSQL.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DIALECTS:
        reason = "postgres lies beside the metadata, and knowledge.database_url names no PostgreSQL database"
        raise InvalidSetting(setting="knowledge.text_index.name", reason=reason)
    asked = {name: value for name, value in parse_qsl(parts.query) if name not in _NOT_THE_DRIVERS}
    given = {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": parts.hostname or "",
        "port": parts.port or "",
        "database": unquote(parts.path.removeprefix("/")),
        **asked,
    }
    return {name: int(value) if name == "port" else value for name, value in given.items() if value}
