"""The databases that a call log may be in."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pooler
import pytest

TEST_DATABASE = os.environ.get("TEST_DATABASE_URL", "")


needs_postgresql = pytest.mark.skipif(not TEST_DATABASE, reason="TEST_DATABASE_URL is not set")


@contextlib.contextmanager
def postgresql_url() -> Iterator[str]:
    """Yield the URL of a schema of the test's own in the test database."""
    import psycopg

    schema = f"test_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(TEST_DATABASE, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        try:
            mark = "&" if "?" in TEST_DATABASE else "?"
            yield f"{TEST_DATABASE}{mark}options=-csearch_path%3D{schema}"
        finally:
            connection.execute(f"DROP SCHEMA {schema} CASCADE")


POSTGRESQL = pytest.param("postgresql", marks=needs_postgresql)
POOLED = pytest.param(
    "pooled", marks=[pytest.mark.faults, needs_postgresql, pooler.needs_pgbouncer]
)
behind_a_pooler_too = pytest.mark.parametrize(
    "log_url", ["sqlite", POSTGRESQL, POOLED], indirect=True
)
one_database = pytest.mark.parametrize("log_url", ["sqlite"], indirect=True)
"""For a test of what no database takes part in: others would only run the same again."""


@pytest.fixture
def log_in_sqlite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A call log of the test's own, for tests of what is the same in every database.

    A file takes it with `log_url = log_in_sqlite`. With `EACH_DATABASE` a test in it runs in each.
    """
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path}/calls.db"
    else:
        with postgresql_url() as url:
            yield url


EACH_DATABASE = pytest.mark.parametrize("log_url", ["sqlite", POSTGRESQL], indirect=True)
