"""What SQLAlchemy raises → the failures the domain names. Used by the repositories and the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from services.foundation.errors import ChatchatError, StoreFailed

STORE = "metadata database"
_UNIQUE = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
_REASON_LIMIT_CHARS = 200


@contextmanager
def conflicts(*, taken: ChatchatError, absent: ChatchatError) -> Iterator[None]:
    """Raise `taken` when a row of that name or id is there already, `absent` when the row it belongs to is not."""
    try:
        yield
    except IntegrityError as failure:
        raise (taken if _is_unique(failure) else absent) from failure


@contextmanager
def database_failures() -> Iterator[None]:
    """Whatever the database could not do becomes StoreFailed."""
    try:
        yield
    except SQLAlchemyError as failure:
        raise StoreFailed(store=STORE, reason=_reason(failure)) from failure


def _is_unique(failure: IntegrityError) -> bool:
    cause = failure.orig
    return bool(_UNIQUE & {getattr(cause, "sqlstate", None), getattr(cause, "sqlite_errorname", None)})


def _reason(failure: SQLAlchemyError) -> str:
    """The driver's own first line: the statement and its values belong to the log."""
    cause = failure.orig if isinstance(failure, DBAPIError) else failure
    return (str(cause).partition("\n")[0] or type(failure).__name__)[:_REASON_LIMIT_CHARS]
