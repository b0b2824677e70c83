"""A PostgreSQL server of the tests' own: a scratch folder, a unix socket in it and no port; fixtures in `conftest`."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

ABSENT = "no PostgreSQL server is installed: `make browser` installs it, or apt-get install postgresql"
_PACKAGED = Path("/usr/lib/postgresql")
_USER = "postgres"
_START_SECONDS = 60
# Nothing here outlives the tests, so nothing need reach the disk.
_SETTINGS = ("listen_addresses=", "fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server.

    Attributes:
        folder: where its socket is.
    """

    folder: Path

    def url(self, database: str) -> str:
        """How `knowledge.database_url` names a database of this server."""
        return f"postgresql+asyncpg://{_USER}@/{database}?host={self.folder}"

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(host=str(self.folder), user=_USER, database="postgres")
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian keeps it off the PATH."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    packaged = sorted(_PACKAGED.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return packaged[-1].parent if packaged else None


@contextmanager
def running(programs: Path) -> Iterator[PostgresServer]:
    """A server while the block runs. Sorts as a person would (ICU), so that what relies on byte order is found out."""
    folder = Path(tempfile.mkdtemp(prefix="chatchat-postgres-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _USER)
        _run(programs / "initdb", "-D", f"{folder}/data", "-U", _USER, "-A", "trust", "-E", "UTF8", "--no-sync",
             "--locale=C", "--locale-provider=icu", "--icu-locale=en-US")  # fmt: skip
        settings = [f"-c{setting}" for setting in (*_SETTINGS, f"unix_socket_directories={folder}")]
        with (folder / "log").open("w") as log:
            command = _command(programs / "postgres", "-D", f"{folder}/data", *settings)
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await_ready(programs, folder, process)
            yield PostgresServer(folder)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)  # SIGTERM waits for clients to leave
            process.send_signal(2)
            process.wait(_START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(*words: object) -> list[str]:
    """The server refuses root; and it is not to outlive a test run that was killed."""
    allowed = ["setpriv", "--pdeathsig=INT"] if shutil.which("setpriv") else []
    if os.geteuid() == 0:
        allowed += [f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"]
    return [*allowed, *map(str, words)]


def _run(*words: object) -> None:
    done = subprocess.run(_command(*words), cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _await_ready(programs: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    asking = [str(programs / "pg_isready"), "--quiet", "--host", str(folder)]
    ends = time.monotonic() + _START_SECONDS
    while subprocess.run(asking, check=False).returncode != 0:
        is_going = process.poll() is None and time.monotonic() < ends
        assert is_going, (folder / "log").read_text()
        time.sleep(0.05)
