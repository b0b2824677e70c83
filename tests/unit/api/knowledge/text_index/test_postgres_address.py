"""What the driver of the PostgreSQL keyword index is called with is what SQLAlchemy calls it with."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url

from services.api.knowledge.text_index.postgres.address import arguments_of
from services.foundation.errors import InvalidSetting


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+asyncpg://me:p%40ss%2Fword@db.local:5433/chatchat",
        "postgresql+asyncpg://me@/chatchat?host=/run/postgresql",
        "postgresql+asyncpg://me:x@db/chatchat?ssl=require",
        "postgresql+asyncpg://[::1]:5432/%E5%BA%93",
        "postgresql+asyncpg://me@db/chatchat?prepared_statement_cache_size=0&application_name=a+b",
        "postgresql+asyncpg:///chatchat?host=/var/run/postgresql&port=5433",
    ],
)
def test_one_url_means_the_same_to_both(url: str):
    address = make_url(url)
    _, named = address.get_dialect()().create_connect_args(address)
    own = {"prepared_statement_cache_size", "prepared_statement_name_func"}
    assert arguments_of(url) == {name: value for name, value in named.items() if name not in own}


def test_the_drivers_name_may_be_left_out():
    assert arguments_of("postgresql://me@db/x") == {"user": "me", "host": "db", "database": "x"}


@pytest.mark.parametrize("url", ["sqlite+aiosqlite:///x.db", "postgresql+psycopg://db/x", "mysql://db/x", ""])
def test_another_database_is_refused(url: str):
    with pytest.raises(InvalidSetting, match=r"knowledge\.text_index\.name"):
        arguments_of(url)
