"""Brings the metadata database to the shape of this code, in one transaction. Called by `SqlStorage.start`."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from services.api.storage.failures import STORE
from services.foundation.errors import StoreFailed

log = logging.getLogger(__name__)
MIGRATIONS = Path(__file__).with_name("migrations")
_ADVISORY_LOCK = 0x43484154


def migrate(connection: Connection, revision: str = "head") -> None:
    """Run the revisions the database has not seen, up to one of them; the caller commits.

    Two processes never migrate at once: the second waits and then finds nothing to do. A database with tables is copied
    to `<file>.bak-<revision>` first.

    Raises:
        StoreFailed: the database was made by a newer version of this program.
    """
    with _alone(connection):
        scripts = ScriptDirectory(str(MIGRATIONS))
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        _refuse_newer(scripts, current)
        _back_up(connection, current)
        log.info("migrating the metadata database from %s to %s", current, scripts.get_current_head())
        _run(connection, scripts, revision)


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Hold the database's own lock, so that a crash releases it and takes back half a migration."""
    if connection.dialect.name == "sqlite":
        # Rebuilding a table drops the old one, and with foreign keys on that deletes the rows that point to it.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        connection.commit()
        connection.exec_driver_sql("PRAGMA foreign_keys=ON")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        yield


def _refuse_newer(scripts: ScriptDirectory, current: str | None) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        reason = f"it has the revision {current!r}, which is newer than this program; upgrade the program"
        raise StoreFailed(store=STORE, reason=reason)


def _back_up(connection: Connection, current: str | None) -> None:
    path = connection.engine.url.database
    if connection.dialect.name != "sqlite" or not path or not inspect(connection).get_table_names():
        return
    copy = Path(f"{path}.bak-{current or 'unversioned'}")
    incoming = copy.with_name(f".{copy.name}.incoming")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(incoming)) as target:
        source.backup(target)
    incoming.replace(copy)
    log.info("copied the metadata database to %s", copy.name)


def _run(connection: Connection, scripts: ScriptDirectory, revision: str) -> None:
    def steps(heads: str | tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        current = heads[0] if heads else "base"
        missing = reversed(list(scripts.iterate_revisions(revision, current)))
        return [MigrationStep.upgrade_from_script(scripts.revision_map, script) for script in missing]

    context = MigrationContext.configure(connection, opts={"fn": steps})
    with Operations.context(context):
        context.run_migrations()
