"""What a process remembers of the log from its start on: what it answers while the log fails."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import facts
import pytest
from call_logs import (
    COMPLETED,
    DIAL,
    ID,
    INCOMING,
    FaultyStore,
    Opener,
    Servers,
    deliver,
    forget,
    numbered,
    rows,
)
from databases import one_database
from helpers import START, Clock, eventually, payload, post

import events
from call_log import purge, writer
from call_log.memory import InMemoryCalls, Memory
from call_log.store import Store, row_of
from calls import PURGED, UNKNOWN, CallState, Delivery
from events import IncomingCall
from phone import PhoneNumber

DIAL_WIRE = DIAL.command.to_wire()
EVENT = IncomingCall(ID, PhoneNumber(facts.DIALLED), PhoneNumber(facts.CALLER))


@one_database
@pytest.mark.parametrize("ended", [False, True], ids=["going on", "completed"])
def test_a_captured_request_of_an_earlier_process_is_refused_while_the_log_fails(
    servers: Servers, faulty: FaultyStore, clock: Clock, ended: bool
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    if ended:
        post(app, COMPLETED)
    clock.sleep(0 if ended else 121)
    app = servers.start_on(faulty)  # type: ignore[arg-type]
    faulty.fails = True
    assert post(app, INCOMING) == facts.HANGUP
    assert servers.lines.read()[-1]["reason"] == "replayed"
    assert app.get("/health", status=503).json["answered_unkept"] == 1


@one_database
def test_a_call_that_goes_on_is_known_to_the_next_process_while_the_log_fails(
    servers: Servers, faulty: FaultyStore, clock: Clock
) -> None:
    app = servers.start()
    post(app, INCOMING)
    post(app, payload("dial_completed_busy"))
    clock.sleep(60)
    app = servers.start_on(faulty)  # type: ignore[arg-type]
    faulty.fails = True
    assert post(app, payload("speak_completed")) == facts.HANGUP
    assert post(app, INCOMING) == facts.DIAL  # a repeat within two minutes
    other = INCOMING.replace(facts.CALLER.encode(), facts.STRANGER.encode())
    assert post(app, other) == facts.HANGUP


@one_database
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("received_again", [False, True])
def test_a_captured_request_of_a_call_that_another_process_forgot_is_refused_while_the_log_fails(
    opened: Opener,
    faulty: FaultyStore,
    log_url: str,
    clock: Clock,
    restart: bool,
    received_again: bool,
) -> None:
    log = opened(store=faulty)
    deliver(log, INCOMING, clock)
    deliver(log, COMPLETED, clock)
    forget(log_url, ID)
    if received_again:
        deliver(log, COMPLETED, clock)
    if restart:
        log.close()
        log = opened(store=faulty)
    faulty.fails = True
    known = deliver(log, INCOMING, clock)
    assert known.completed
    assert (known is PURGED) == (restart or received_again)


def test_a_file_that_is_deleted_takes_no_call_out_of_memory(
    servers: Servers, tmp_path: Any, clock: Clock
) -> None:
    url = f"sqlite:///{tmp_path}/calls.db"
    app = servers.start_on(writer.store_of(url))
    post(app, numbered(1))
    post(app, numbered(2))
    forget(url, "call-2")
    app = servers.start_on(writer.store_of(url))
    clock.sleep(121)
    (tmp_path / "calls.db").unlink()
    assert eventually((tmp_path / "calls.db").exists, 1)
    for n in (1, 2):
        assert post(app, numbered(n)) == facts.HANGUP
    (kept,) = rows(url, "call-2")
    assert (kept.reason, kept.body) == ("replayed", b"")


def test_calls_of_another_process_are_known_as_far_as_they_were_read(
    opened: Opener, faulty: FaultyStore, clock: Clock
) -> None:
    other = opened()
    deliver(other, numbered(1), clock)
    log = opened(store=faulty)
    deliver(other, numbered(2), clock)
    deliver(other, numbered(3), clock)
    deliver(log, payload("speak_completed").replace(ID.encode(), b"call-2"), clock)
    faulty.fails = True
    knew = [deliver(log, numbered(n), clock) for n in (1, 2, 3)]
    assert [known.incoming is not None for known in knew] == [True, True, False]


def filled(path: Any, calls: int, clock: Clock) -> Store:
    """Return a log of so many calls, each begun and ended, the earlier ones before the later."""
    store = writer.store_of(f"sqlite:///{path}/calls.db")
    store.open()
    begun = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    ended = begun._replace(event="call_completed", caller=None, dialled=None, reply="{}")
    with store.transaction():
        for n in range(calls):
            call = f"call-{n}"
            store.keep([begun._replace(reference_id=call), ended._replace(reference_id=call)])
    return store


def test_the_last_twenty_thousand_calls_are_read_whole(tmp_path: Any, clock: Clock) -> None:
    most = InMemoryCalls().max_states
    store = filled(tmp_path, most + 10, clock)
    memory = Memory(store, clock())
    whole = CallState(
        IncomingCall("call-10", EVENT.dialled, EVENT.caller), DIAL_WIRE, 1000.0, completed=True
    )
    assert most == 20_000
    assert memory.state("call-10") == whole
    assert memory.state(f"call-{most + 9}").completed
    assert memory.state("call-9") is UNKNOWN
    memory.put("one more", whole)  # the oldest one goes first
    assert memory.state("call-10") is UNKNOWN
    assert memory.state("call-11").completed
    store.close()


def test_purged_calls_are_known_up_to_a_limit(
    log_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = writer.store_of(log_url)
    store.open()
    ids = [f"call-{n}" for n in range(2_500)]
    for begin in range(0, len(ids), 50):
        store.purge(ids[begin : begin + 50])
    assert Memory(store, clock()).purged([*ids, "another call"]) == set(ids)
    monkeypatch.setattr(purge, "MAX_PURGED", 100)
    assert len(Memory(store, clock()).purged(ids)) == 100
    store.close()


@one_database
@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)], ids=["back", "ahead"])
def test_a_clock_that_jumps_changes_nothing_while_the_server_runs(
    servers: Servers, clock: Clock, jump: timedelta
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.utc += jump
    assert post(app, INCOMING) == facts.DIAL
    clock.monotonic_s += 121
    assert post(app, INCOMING) == facts.HANGUP


@one_database
@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)], ids=["back", "ahead"])
def test_a_clock_that_jumped_before_a_restart_never_opens_the_window_wider(
    servers: Servers, clock: Clock, jump: timedelta
) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.utc += jump
    assert post(servers.start(), INCOMING) == facts.HANGUP


@one_database
def test_a_clock_set_back_to_the_very_time_does_not_reopen_the_window(
    servers: Servers, clock: Clock
) -> None:
    """The newest event in the log shows that it was later already."""
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(3600)
    post(app, numbered(2))
    clock.utc = START + timedelta(seconds=30)
    assert post(servers.start(), INCOMING) == facts.HANGUP


Jump = Callable[[Clock], None]


def of(days: float) -> Jump:
    def jump(clock: Clock) -> None:
        clock.utc += timedelta(days=days)

    return jump


def to_the_very_time(clock: Clock) -> None:
    clock.utc = START + timedelta(seconds=30)


@one_database
@pytest.mark.parametrize("jump", [of(-1), of(365), to_the_very_time], ids=["-1", "365", "same"])
@pytest.mark.parametrize("fails", [False, True], ids=["working", "failing"])
def test_a_clock_that_jumped_before_the_start_never_opens_the_window_wider(
    servers: Servers, faulty: FaultyStore, clock: Clock, jump: Jump, fails: bool
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(130)
    post(app, numbered(1))
    jump(clock)
    app = servers.start_on(faulty)  # type: ignore[arg-type]
    faulty.fails = fails
    assert post(app, INCOMING) == facts.HANGUP


@one_database
@pytest.mark.parametrize("jump", [of(-1), of(365), to_the_very_time], ids=["-1", "365", "same"])
@pytest.mark.parametrize("fails", [False, True], ids=["working", "failing"])
def test_a_clock_that_jumps_after_the_start_never_opens_the_window_wider(
    servers: Servers, faulty: FaultyStore, clock: Clock, jump: Jump, fails: bool
) -> None:
    """The monotonic clock goes on from the age that the call had at the start."""
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.sleep(60)
    app = servers.start_on(faulty)  # type: ignore[arg-type]
    jump(clock)
    faulty.fails = fails
    clock.monotonic_s += 61
    assert post(app, INCOMING) == facts.HANGUP


@one_database
def test_a_clock_that_was_behind_at_the_start_and_is_put_right_closes_the_window(
    servers: Servers, clock: Clock
) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.sleep(30)
    app = servers.start()
    clock.utc += timedelta(hours=1)
    assert post(app, INCOMING) == facts.HANGUP


def test_the_age_of_a_row_is_the_higher_one_of_two(tmp_path: Any, clock: Clock) -> None:
    """The example of the docstring: set back, the wall clock says 30 s, and the log an hour."""
    store = filled(tmp_path, 0, clock)
    row = row_of(Delivery(events.parse(INCOMING), INCOMING, clock()), DIAL)
    newest = row.first_seen + 3_600_000_000
    with store.transaction():
        store.keep([row, row._replace(reference_id="newest", first_seen=newest)])
    clock.utc, clock.monotonic_s = START + timedelta(seconds=30), 500.0
    memory_at_start = Memory(store, clock())
    clock.monotonic_s = 510.0
    states = memory_at_start.states([ID], store.rows([ID]), clock())
    assert states == {ID: CallState(EVENT, DIAL_WIRE, -3100.0)}
    store.close()
