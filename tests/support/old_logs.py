"""Call logs as older programs made them."""

import contextlib
import sqlite3
from typing import Any

import pytest

from call_log.store import NEWER_COLUMNS, Row

OLD_COLUMNS = [name for name in Row._fields if name not in NEWER_COLUMNS]
OLD = {
    "sqlite": """
        CREATE TABLE call_event (id INTEGER PRIMARY KEY, reference_id TEXT NOT NULL,
            event TEXT NOT NULL, sha256 BLOB NOT NULL, caller TEXT, dialled TEXT, status TEXT,
            reply TEXT NOT NULL, reason TEXT, first_seen INTEGER NOT NULL,
            last_seen INTEGER NOT NULL, deliveries INTEGER NOT NULL, body BLOB NOT NULL,
            UNIQUE (reference_id, event, sha256)) STRICT;
        CREATE TABLE purged_call (sha256 TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
        PRAGMA application_id = 1296264295;
        PRAGMA user_version = 1""",
    "postgresql": """
        CREATE TABLE call_log (version integer NOT NULL);
        CREATE TABLE call_event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            reference_id text NOT NULL, event text NOT NULL, sha256 bytea NOT NULL, caller text,
            dialled text, status text, reply text NOT NULL, reason text,
            first_seen bigint NOT NULL, last_seen bigint NOT NULL, deliveries bigint NOT NULL,
            body bytea NOT NULL, UNIQUE (reference_id, event, sha256));
        CREATE TABLE purged_call (sha256 text PRIMARY KEY);
        INSERT INTO call_log VALUES (1)""",
}


def make_old_log(url: str, *rows: Row) -> None:
    """Make a log as version 1 did, with these events."""
    names, kind = ", ".join(OLD_COLUMNS), url.partition(":")[0]
    if kind == "sqlite":
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
        mark = "?"
    else:
        connection, mark = pytest.importorskip("psycopg").connect(url), "%s"
    with contextlib.closing(connection):
        for statement in OLD[kind].split(";"):
            connection.execute(statement)
        marks = ", ".join([mark] * len(OLD_COLUMNS))
        for row in rows:
            values = [getattr(row, name) for name in OLD_COLUMNS]
            connection.execute(f"INSERT INTO call_event ({names}) VALUES ({marks})", values)
        connection.commit()
