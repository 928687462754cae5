"""Which file may import which: the rooms stay apart."""

import ast

import pytest
from conftest import ROOT

# A file, what it may import of ours, and what of others' it must never import.
WEB = {"bottle", "waitress", "requests", "telesign", "http", "socket", "wsgiref"}
IO = {"os", "pathlib", "time", "logging", "sqlite3", "sys", "threading", "subprocess", "select"}
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "phone": (set(), WEB | IO | {"json"}),
    "signature": (set(), WEB | IO | {"json"}),
    "events": ({"phone"}, WEB | IO),
    "commands": ({"phone"}, WEB | IO | {"json"}),
    "calls": ({"events", "commands"}, (WEB | IO | {"json"}) - {"threading"}),
    "routing": ({"events", "commands", "phone", "calls"}, WEB | IO | {"json"}),
    "records": ({"events", "commands", "calls", "phone"}, WEB | IO | {"json"}),
    "logstore": ({"calls", "events", "commands", "phone"}, WEB | IO),
    "sqlite_store": ({"logstore"}, WEB | {"json", "time", "threading"}),
    "postgres_store": ({"logstore"}, (WEB - {"socket"}) | (IO - {"os"}) | {"json"}),
    "memory": ({"calls", "events", "logstore"}, WEB | IO | {"json"}),
    "purge": ({"calls", "logstore"}, WEB | IO | {"json"}),
    "waiting": ({"logstore"}, WEB | {"sqlite3", "psycopg", "time", "threading"}),
    "batch": (
        {"calls", "logstore", "memory", "waiting"},
        WEB | {"json", "sqlite3", "psycopg", "time"},
    ),
    "calllog": (
        {
            "batch",
            "calls",
            "events",
            "logstore",
            "memory",
            "postgres_store",
            "purge",
            "sqlite_store",
            "waiting",
        },
        WEB | {"json", "sqlite3", "psycopg"},
    ),
    "history": (
        {"calllog", "config", "console", "events", "logstore", "phone", "records", "waiting"},
        WEB | {"sqlite3", "psycopg"},
    ),
    "allowlist": ({"phone", "commands", "routing"}, WEB | (IO - {"pathlib"}) | {"json"}),
    "watch": ({"routing"}, WEB | {"json"}),
    "config": ({"phone", "commands", "signature"}, WEB | (IO - {"pathlib"}) | {"json"}),
    "journal": ({"phone", "calls", "events", "routing"}, WEB),
    "server": (set(), {"bottle", "json"}),
    "app": (
        {
            "allowlist",
            "calllog",
            "calls",
            "cli",
            "commands",
            "config",
            "events",
            "journal",
            "logstore",
            "routing",
            "signature",
            "watch",
        },
        {"hmac", "hashlib", "sqlite3", "socket", "waitress", "requests"},
    ),
    "cli": (
        {
            "advice",
            "phone",
            "app",
            "calllog",
            "calls",
            "config",
            "console",
            "events",
            "history",
            "journal",
            "logstore",
            "records",
            "routing",
            "server",
            "session",
            "watch",
        },
        {"bottle", "hmac", "sqlite3", "waitress", "requests"},
    ),
    "session": (
        {
            "allowlist",
            "app",
            "commands",
            "config",
            "listwriter",
            "phone",
            "routing",
            "telesign_api",
        },
        {"bottle", "hmac", "sqlite3", "waitress", "requests", "json"},
    ),
    "advice": ({"phone", "routing"}, WEB | IO | {"json"}),
    "console": (set(), WEB | {"json"}),
    "telesign_reader": (set(), WEB | IO),
    "http_client": (set(), {"bottle", "waitress", "json", "os"}),
    "scenarios": (
        {"console", "http_client", "signature", "telesign_reader"},
        {"bottle", "waitress", "telesign"},
    ),
    "telesign_api": ({"http_client", "phone"}, {"bottle", "waitress", "hmac", "requests", "json"}),
    "listwriter": ({"allowlist", "routing", "watch"}, WEB | {"json"}),
    "api_simulator": ({"signature"}, {"bottle", "waitress", "requests", "telesign"}),
    "simulator": (
        {"api_simulator", "console", "http_client", "scenarios", "signature"},
        {"bottle", "waitress", "telesign"},
    ),
}


def imports(room: str) -> set[str]:
    """Return the top-level names of all modules that a file imports, wherever it does so."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / f"{room}.py").read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_every_file_has_its_room() -> None:
    assert {path.stem for path in ROOT.glob("*.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    of_ours, never = ROOMS[room]
    found = imports(room)
    assert found & set(ROOMS) <= of_ours
    assert found & never == set()


def test_what_the_simulator_uses_never_reads_telesign_as_the_server_does() -> None:
    waiting, used = {"simulator"}, set()
    while waiting:
        room = waiting.pop()
        used.add(room)
        waiting |= (imports(room) & set(ROOMS)) - used
    assert used == {
        "api_simulator",
        "console",
        "http_client",
        "scenarios",
        "signature",
        "simulator",
        "telesign_reader",
    }


@pytest.mark.parametrize("room", ROOMS)
def test_a_file_opens_with_its_rule(room: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / f"{room}.py").read_text()))
    assert docstring is not None
    assert len(docstring.splitlines()) > 1
