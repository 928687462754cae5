"""`forget`: every call that holds a number is deleted, and no copy of the number is left."""

import io
import json
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import rows, written_down
from command_line import deliver_some_calls, ids, in_the_files, of, run
from databases import EACH_DATABASE, log_in_sqlite
from helpers import Clock
from processes import ServerProcess

from call_log import saved, writer
from call_log.store import Row
from tools.commands import forget

log_url = log_in_sqlite


@EACH_DATABASE
def test_a_number_is_forgotten_however_it_was_written(
    deliver: Any, ask: Any, clock: Clock, log_url: str
) -> None:
    deliver_some_calls(deliver, clock)
    answer = ask("forget", "+1 202 555 0123", "--yes")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "deleted 3 calls with ...0123\n"
    assert ids(ask("calls", "--json")) == ["=1+1", "end-only"]
    store = writer.store_of(log_url)
    store.open(write=False)
    assert store.find_purged(["answered", "busy", "refused", "end-only"]) == {
        "answered",
        "busy",
        "refused",
    }
    store.close()
    deliver("answered", "incoming_call")
    (row,) = rows(log_url, "answered")
    assert row.reason == "replayed"


@pytest.mark.parametrize(
    "member",
    [
        {"caller": "12025550123"},
        {"caller": "bad 0012025550123"},
        {"dialled": "12025550123"},
        {"reply": '{"method":"dial","params":{"to":"12025550123"}}'},
    ],
    ids=["caller", "SIP address", "dialled", "destination"],
)
def test_a_number_is_found_in_every_part_of_a_row(
    log_url: str, ask: Any, member: dict[str, Any]
) -> None:
    """A destination is in no event until the call has ended."""
    row = row_of_call("one", b"{}")
    other = {name: text.replace("23", "24") for name, text in member.items()}
    keep(log_url, [row._replace(**member), row._replace(reference_id="two", **other)])
    assert ask("forget", facts.CALLER, "--yes").stdout == "deleted 1 call with ...0123\n"
    assert kept(log_url) == {"two"}


def row_of_call(call: str, body: bytes) -> Row:
    return Row(call, "incoming_call", b"1", None, None, None, "{}", None, 1, 1, 1, None, None, body)


def with_texts(*texts: str) -> list[Row]:
    """Return rows of calls `call-0` and so on, each with a text that somebody has sent."""
    bodies = [f'{{"event":"new","reference_id":"x","data":{text}}}' for text in texts]
    return [row_of_call(f"call-{n}", body.encode()) for n, body in enumerate(bodies)]


def keep(log_url: str, rows: list[Row]) -> None:
    store = writer.store_of(log_url)
    store.open()
    with store.transaction():
        store.keep(rows)
    store.close()


def kept(log_url: str) -> set[str]:
    """Return the calls that are left in the log."""
    store = writer.store_of(log_url)
    store.open(write=False)
    found = {call for (call,) in store.execute("SELECT reference_id FROM call_event")}
    store.close()
    return found


@EACH_DATABASE
def test_what_may_be_the_number_is_named_and_deleted_where_that_is_asked_for(
    log_url: str, ask: Any
) -> None:
    texts = "493023125123", "4903023125123", "03023125123", "493023125124"
    keep(log_url, with_texts(*(f'{{"who":"{text}"}}' for text in texts)))
    answer = ask("forget", "493023125123", "--yes")
    assert (answer.returncode, answer.stdout) == (0, "deleted 1 call with ...5123\n")
    assert answer.stderr == (
        "forget: 2 calls that are not deleted may have ...5123 in another form, or another"
        " person's number:\n  call-1\n  call-2\nforget: look at each with"
        " `calls REFERENCE_ID --json --full`; --also deletes them as well\n"
    )
    answer = ask("forget", "493023125123", "--yes")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "\n  call-1\n  call-2\n" in answer.stderr
    answer = ask("forget", "493023125123", "--also", "--yes")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == "deleted 2 calls with ...5123\n"
    assert kept(log_url) == {"call-3"}


def test_many_calls_that_may_have_the_number_are_not_all_named(log_url: str, ask: Any) -> None:
    keep(log_url, with_texts(*['"2025550123"'] * 53))
    lines = ask("forget", "12025550123", "--yes").stderr.splitlines()
    assert lines[0].startswith("forget: 53 calls that are not deleted may have ...0123 ")
    assert lines[-2] == "  and 3 more"
    assert len(lines) == 1 + 50 + 2
    answer = ask("forget", "12025550123", "--also", "--yes")
    assert answer.stdout == "deleted 53 calls with ...0123\n"


def test_what_a_stopped_server_saved_is_deleted_too(log_url: str, ask: Any, tmp_path: Path) -> None:
    keep(log_url, [])
    store = writer.store_of(log_url)
    assert saved.save(store, with_texts('"12025550123"', '"12025550124"'), print) == 0
    answer = ask("forget", "12025550123", "--yes")
    assert (answer.returncode, answer.stdout) == (0, "deleted 1 call with ...0123\n")
    assert kept(log_url) == {"call-1"}
    assert not list(tmp_path.glob("*.unkept-*"))


@pytest.mark.parametrize("line", [b"{}\n", b"12025550123\n", b"\xff\n", b"[" * 50_000])
def test_a_file_of_saved_events_that_cannot_be_taken_in_is_said_and_fails(
    log_url: str, ask: Any, tmp_path: Path, line: bytes
) -> None:
    """The number may be in it: nobody may believe that all is gone."""
    keep(log_url, with_texts('"12025550123"'))
    path = tmp_path / "calls.db.unkept-1"
    path.write_bytes(line)
    answer = ask("forget", "12025550123", "--yes")
    assert (answer.returncode, answer.stdout) == (1, "deleted 1 call with ...0123\n")
    assert f"{path}: wanted a file of saved events" in answer.stderr
    assert answer.stderr.endswith(
        f"forget: {path} may hold the number too: run it again once the file is repaired or gone\n"
    )
    assert path.read_bytes() == line
    path.unlink()
    assert ask("forget", "12025550123", "--yes").stderr == (
        "forget: no call in the log has ...0123; include the country code\n"
    )


def test_what_is_forgotten_is_nowhere_in_the_files(tmp_path: Path) -> None:
    """Also between other calls, in pages that were split, and while the server runs."""
    with ServerProcess(tmp_path) as server:
        for n in range(150):
            caller = f"1202555{n % 3 + 1:02}{n % 100:02}".encode()
            server.deliver(of(f"call-{n}", "incoming_call").replace(b"12025550123", caller))
        assert in_the_files(tmp_path, b"12025550142")
        ended = run(tmp_path, "forget", "12025550142", "--yes")
        assert ended.stderr == ""
        assert not in_the_files(tmp_path, b"12025550142")
        assert in_the_files(tmp_path, b"12025550145")
        assert ids(run(tmp_path, "calls", "--json", "--last", "1")) == ["call-149"]


@pytest.mark.usefixtures("deliver")
def test_a_number_that_is_in_no_call_is_not_forgotten(ask: Any) -> None:
    answer = ask("forget", "2025550123", "--yes")
    assert (answer.returncode, answer.stdout) == (1, "")
    message = "forget: no call in the log has ...0123; include the country code\n"
    assert answer.stderr == message


def test_what_is_no_number_is_not_forgotten(ask: Any) -> None:
    answer = ask("forget", "12")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "wanted a country code and digits" in answer.stderr


def test_forgetting_needs_a_log_and_makes_none(ask: Any, tmp_path: Path) -> None:
    ended = ask("forget", facts.CALLER, "--yes")
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
    answer = ask("forget", facts.CALLER, "--yes")
    assert (answer.returncode, answer.stdout) == (0, "deleted 1 call with ...0123\n")
    assert answer.stderr == (
        "forget: the log is in use, so a copy may still be in the file; run it again\n"
    )


@pytest.fixture
def listed(tmp_path: Path) -> None:
    """The list of these tests, in the folder of the command."""
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)


@pytest.mark.usefixtures("listed")
def test_what_would_be_deleted_is_said_and_without_a_yes_nothing_is(
    deliver: Any, ask: Any, clock: Clock, log_url: str
) -> None:
    deliver("one", "incoming_call")
    clock.sleep(86_400)
    deliver("two", "incoming_call")
    answer = ask("forget", facts.CALLER)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert " ".join(answer.stderr.split()) == (
        "2 calls with ...0123, from 2026-11-23 12:00 UTC to 2026-11-24 12:00 UTC, will be deleted."
        " ...0123 stays in the allow-list: lines 3, 4."
        " forget: nothing was deleted: wanted --yes, as there is nobody to ask"
    )
    assert kept(log_url) == {"one", "two"}


@pytest.mark.usefixtures("listed")
def test_a_program_is_told_as_json_why_nothing_is_deleted(
    deliver: Any, ask: Any, log_url: str
) -> None:
    deliver("one", "incoming_call")
    unconfirmed = ask("forget", facts.CALLER, "--json")
    assert (unconfirmed.returncode, json.loads(unconfirmed.stdout)) == (
        1,
        {
            "error": "not_confirmed",
            "message": "nothing was deleted: wanted --yes, as there is nobody to ask",
        },
    )
    ours = ask("forget", facts.DIALLED, "--yes", "--json")
    assert (ours.returncode, json.loads(ours.stdout)["error"], ours.stderr) == (1, "our_number", "")
    assert kept(log_url) == {"one"}


@pytest.mark.parametrize(("said", "left"), [("y\n", set()), ("n\n", {"one"}), ("", {"one"})])
def test_a_person_is_asked(
    deliver: Any, ask: Any, log_url: str, monkeypatch: pytest.MonkeyPatch, said: str, left: set[str]
) -> None:
    deliver("one", "incoming_call")
    keyboard = io.StringIO(said)
    monkeypatch.setattr(keyboard, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", keyboard)
    answer = ask("forget", facts.CALLER)
    assert "Delete them? [y/N]" in answer.stderr
    assert answer.returncode == (1 if left else 0)
    assert kept(log_url) == left


@pytest.mark.usefixtures("listed")
def test_rows_that_still_name_the_person_are_named(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call")
    answer = ask("forget", facts.CALLER, "--yes")
    assert answer.stdout == "deleted 1 call with ...0123\n"
    assert answer.stderr == "forget: the allow-list still names ...0123: lines 3, 4\n"


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize("number", [facts.DIALLED, facts.MASKING_ID])
def test_one_of_our_own_numbers_is_not_taken_for_a_persons(
    deliver: Any, ask: Any, log_url: str, number: str
) -> None:
    deliver("one", "incoming_call")
    answer = ask("forget", number, "--yes")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"forget: {number} is a virtual number or masking ID of yours")
    assert kept(log_url) == {"one"}
    assert ask("forget", number, "--yes", "--virtual").returncode == 0
    assert kept(log_url) == set()


@pytest.mark.usefixtures("listed")
def test_what_was_done_as_json(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call")
    answer = ask("forget", facts.CALLER, "--yes", "--json")
    assert json.loads(answer.stdout) == {
        "deleted": 1,
        "perhaps": [],
        "rows": [3, 4],
        "files": [],
    }


@EACH_DATABASE
def test_the_record_of_a_call_is_forgotten_with_it(deliver: Any, ask: Any, log_url: str) -> None:
    deliver("one", "incoming_call", "dial_completed_answered", "call_completed")
    assert [record.reference_id for record in written_down(log_url)] == ["one"]
    assert ask("forget", facts.CALLER, "--yes").returncode == 0
    assert written_down(log_url) == []
