"""Whole tables at a time: drop and make them again, copy the rows of another database. Called by `SqlStorage`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, MetaData, Table, create_engine, inspect, select
from sqlalchemy.exc import DatabaseError

from services.api.storage.failures import STORE
from services.api.storage.migrate import migrate
from services.api.storage.tables import Record
from services.foundation.errors import StoreFailed

_METADATA: MetaData = Record.metadata
_ROWS_PER_INSERT = 500
_REVISION_TABLE = "alembic_version"


def clear(connection: Connection) -> None:
    """Drop every table of ours and make them again, empty."""
    _METADATA.drop_all(connection)
    Table(_REVISION_TABLE, MetaData()).drop(connection, checkfirst=True)
    connection.commit()
    migrate(connection)
    connection.commit()


def import_rows(connection: Connection, file: Path) -> int:
    """Copy the rows of another SQLite database, table by table, keeping the columns both sides have.

    Everything is copied or nothing is.

    Returns:
        The number of rows copied.

    Raises:
        StoreFailed: the file is absent, is no SQLite database, or holds no table of ours.
    """
    if not file.is_file():
        raise StoreFailed(store=STORE, reason=f"there is no file {file}")
    engine = create_engine(f"sqlite:///{file.resolve().as_uri()}?mode=ro&uri=true")
    try:
        with engine.connect() as source:
            copied = _copy(connection, source, file)
    except DatabaseError as failure:
        reason = f"the rows of {file} cannot be copied: {failure.orig}"
        raise StoreFailed(store=STORE, reason=reason) from failure
    finally:
        engine.dispose()
    connection.commit()
    return copied


def _copy(connection: Connection, source: Connection, file: Path) -> int:
    there = set(inspect(source).get_table_names())
    shared = [table for table in _METADATA.sorted_tables if table.name in there]
    if not shared:
        raise StoreFailed(store=STORE, reason=f"{file} holds none of the tables {', '.join(sorted(_METADATA.tables))}")
    return sum(_copy_table(connection, source, table) for table in shared)


def _copy_table(connection: Connection, source: Connection, table: Table) -> int:
    """Copy a table; rows that the database numbers get new numbers, in the old order."""
    there = {column["name"] for column in inspect(source).get_columns(table.name)}
    number = table.autoincrement_column
    columns = [column for column in table.columns if column.name in there and column is not number]
    wanted = select(*columns) if number is None else select(*columns).order_by(number)
    copied = 0
    for rows in source.execute(wanted).mappings().partitions(_ROWS_PER_INSERT):
        connection.execute(table.insert(), [dict(row) for row in rows])
        copied += len(rows)
    return copied
