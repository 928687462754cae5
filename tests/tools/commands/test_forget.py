"""`forget`: every call that holds a number is deleted, and no copy of the number is left."""

from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import rows
from command_line import deliver_some_calls, ids, in_the_files, of, run
from databases import EACH_DATABASE, log_in_sqlite
from helpers import Clock
from processes import ServerProcess

import phone
from call_log import writer
from call_log.store import Row
from records import finds
from tools.commands import forget

log_url = log_in_sqlite


@EACH_DATABASE
def test_a_number_is_forgotten_however_it_was_written(
    deliver: Any, ask: Any, clock: Clock, log_url: str
) -> None:
    deliver_some_calls(deliver, clock)
    answer = ask("forget", "+1 202 555 0123")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "deleted 3 calls with ...0123\n"
    assert ids(ask("calls", "--json")) == ["=1+1", "end-only"]
    store = writer.store_of(log_url)
    store.open(write=False)
    assert store.purged(["answered", "busy", "refused", "end-only"]) == {
        "answered",
        "busy",
        "refused",
    }
    store.close()
    deliver("answered", "incoming_call")
    (row,) = rows(log_url, "answered")
    assert row.reason == "replayed"


@pytest.mark.parametrize(
    "written",
    [
        '"+1 (202) 555-0123"',
        '"1-202-555-0123"',
        '"2025550123"',
        "12025550123",
        '"001 (202) 555-0123"',
        '"+1\\u00a0202\\u00a0555\\u00a00123"',
        '"0 202 555 0123"',
        '"\\u0031202555\\u00301\\u00323"',
    ],
)
def test_every_way_to_write_a_number_is_found(log_url: str, written: str) -> None:
    body = b'{"event":"x","reference_id":"one","data":{"who":%s}}' % written.encode()
    store = writer.store_of(log_url)
    store.open()
    row = Row("one", "x", b"1", None, None, None, "{}", None, 1, 1, 1, None, None, body)
    with store.transaction(["one"]):
        store.keep([row, row._replace(reference_id="two", body=body.replace(b"23", b"24"))])
    number = phone.parse(facts.CALLER)
    assert store.calls_where(finds(number, "1")) == {"one"}
    store.close()


@pytest.mark.parametrize(
    "held",
    [
        {"caller": "12025550123"},
        {"caller": "bad 0012025550123"},
        {"dialled": "12025550123"},
        {"reply": '{"method":"dial","params":{"to":"12025550123"}}'},
    ],
    ids=["caller", "SIP address", "dialled", "destination"],
)
def test_a_number_is_found_in_every_part_of_a_row(log_url: str, held: dict[str, Any]) -> None:
    """A destination is in no event until the call has ended."""
    store = writer.store_of(log_url)
    store.open()
    row = Row(
        "one", "incoming_call", b"1", None, None, None, "{}", None, 1, 1, 1, None, None, b"{}"
    )
    other = {name: text.replace("23", "24") for name, text in held.items()}
    with store.transaction(["one", "two"]):
        store.keep([row._replace(**held), row._replace(reference_id="two", **other)])
    assert store.calls_where(finds(phone.parse(facts.CALLER), "1")) == {"one"}
    store.close()


def test_what_is_forgotten_is_nowhere_in_the_files(tmp_path: Path) -> None:
    """Also between other calls, in pages that were split, and while the server runs."""
    with ServerProcess(tmp_path) as server:
        for n in range(150):
            caller = f"1202555{n % 3 + 1:02}{n % 100:02}".encode()
            server.deliver(of(f"call-{n}", "incoming_call").replace(b"12025550123", caller))
        assert in_the_files(tmp_path, b"12025550142")
        ended = run(tmp_path, "forget", "12025550142")
        assert ended.stderr == ""
        assert not in_the_files(tmp_path, b"12025550142")
        assert in_the_files(tmp_path, b"12025550145")
        assert ids(run(tmp_path, "calls", "--json", "--last", "1")) == ["call-149"]


@pytest.mark.usefixtures("deliver")
def test_a_number_that_is_in_no_call_is_not_forgotten(ask: Any) -> None:
    answer = ask("forget", "2025550123")
    assert (answer.returncode, answer.stdout) == (1, "")
    message = "forget: no call in the log has ...0123; include the country code\n"
    assert answer.stderr == message


def test_what_is_no_number_is_not_forgotten(ask: Any) -> None:
    answer = ask("forget", "12")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "wanted a country code and digits" in answer.stderr


def test_forgetting_needs_a_log_and_makes_none(ask: Any, tmp_path: Path) -> None:
    ended = ask("forget", facts.CALLER)
    assert ended.returncode == 1
    assert (
        ended.stderr
        == f"forget: {tmp_path}/calls.db: there is no call log yet; a server makes it\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_log_in_use_is_reported_with_what_to_do(
    deliver: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver("one", "incoming_call")
    monkeypatch.setattr(forget, "_erase_deleted", lambda _: False)
    answer = ask("forget", facts.CALLER)
    assert (answer.returncode, answer.stdout) == (0, "deleted 1 call with ...0123\n")
    assert answer.stderr == (
        "forget: the log is in use, so a copy may still be in the file; run it again\n"
    )
