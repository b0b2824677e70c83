"""What every test gets: an environment without our settings or proxies, and a folder of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import ABSENT, PostgresServer, binaries, running

# A property holds however busy the machine is: speed is measured by benches.
settings.register_profile("house", deadline=None)
settings.load_profile("house")

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):  # noqa: TID251
        if name.startswith("CHATCHAT_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LOGDIR", "")


@pytest.fixture
def corpora() -> Path:
    """The folder of real documents; the test is skipped, saying so, where it is absent."""
    if not CORPORA.is_dir():
        pytest.skip(f"{CORPORA} is absent")
    return CORPORA


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests; they are skipped, saying so, where none is installed."""
    programs = binaries()
    if programs is None:
        pytest.skip(ABSENT)
    with running(programs) as server:
        yield server


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    await postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    await postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")
