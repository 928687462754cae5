"""One call has one answer: the first one stands, and a dial over any other, whatever happens.

Somebody may be talking: an answer that was given while the log could not be read must be the one
that the log holds, and no later event may be answered by another.
"""

import contextlib
import json
import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import DIAL, ID, INCOMING, FaultyStore, Opener, numbered, rows
from command_line import run
from databases import EACH_DATABASE
from helpers import Clock, PrintedLines, eventually, live, payload, settings_of, web
from processes import ServerProcess

import events
from app import Handlers
from call_log import writer
from call_log.writer import CallLog
from calls import UNKNOWN, CallState, Decision, Delivery
from commands import Hangup
from routing import Reason

REFUSING = facts.ALLOW_LIST.replace(f"{facts.DIALLED},,", "12025550103,,")
FROM_ANOTHER = INCOMING.replace(facts.CALLER.encode(), facts.STRANGER.encode())
REFUSED = Decision(Hangup(), Reason.NOT_LISTED)


@contextlib.contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody from writing to a log."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("COMMIT")
    else:
        import psycopg

        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE call_event IN ACCESS EXCLUSIVE MODE")
            yield


def replies(url: str, call: str = ID) -> list[Any]:
    return [json.loads(row.reply) for row in rows(url, call) if row.event == "incoming_call"]


def is_well(server: ServerProcess) -> bool:
    return bool(server.health()["status"] == "ok")


@pytest.mark.faults
@pytest.mark.parametrize("change", ["row removed", "another caller"])
def test_a_dial_that_was_answered_while_the_log_was_locked_is_what_is_kept(
    log_url: str, tmp_path: Path, change: str
) -> None:
    environment = {"MASKING_CALL_LOG": log_url}
    with ServerProcess(tmp_path, environment) as server:
        with locked(log_url):
            assert server.deliver(INCOMING) == (200, facts.DIAL)
            if change == "row removed":
                (tmp_path / "allowlist.csv").write_text(REFUSING)
                assert eventually(lambda: server.deliver(INCOMING) == (200, facts.HANGUP))
            else:
                assert server.deliver(FROM_ANOTHER) == (200, facts.HANGUP)
            time.sleep(1)
        assert eventually(lambda: is_well(server))
        assert server.deliver(payload("dial_completed_answered"))[1]["method"] == "speak"
        assert server.deliver(payload("speak_completed")) == (200, facts.NO_ACTION)
        assert server.deliver(payload("call_completed")) == (200, facts.NO_ACTION)
        assert replies(log_url)[0] == facts.DIAL
    told = run(tmp_path, "calls", ID, "--json", **environment)
    assert json.loads(told.stdout)[0]["disposition"] == "connected"


@pytest.mark.faults
@pytest.mark.parametrize("first", ["dial", "refusal"])
def test_of_two_servers_whose_lists_differ_the_one_that_dials_is_right(
    log_url: str, tmp_path: Path, first: str
) -> None:
    folders = [tmp_path / "connects", tmp_path / "refuses"]
    environment = {"MASKING_CALL_LOG": log_url}
    for folder in folders:
        folder.mkdir()
    with (
        ServerProcess(folders[0], environment) as connects,
        ServerProcess(folders[1], environment, REFUSING) as refuses,
    ):
        wanted = [(connects, facts.DIAL), (refuses, facts.HANGUP)]
        with locked(log_url):
            for server, answer in wanted if first == "dial" else reversed(wanted):
                assert server.deliver(INCOMING) == (200, answer)
        assert eventually(lambda: is_well(connects) and is_well(refuses))
        for server in (refuses, connects):
            answer = server.deliver(payload("dial_completed_answered"))[1]
            assert answer.get("method") != "hangup"
            assert server.deliver(payload("speak_completed")) == (200, facts.NO_ACTION)
        assert replies(log_url) == [facts.DIAL]


def decide_always(decision: Decision, _: CallState) -> Decision:
    return decision


def state_in(url: str) -> CallState:
    """Return the state of the call as a server reads it from the log."""
    state = UNKNOWN
    for row in rows(url):
        state = state.after(row.to_event(), row.wire, 0.0, row.accept_digit)
    return state


def is_kept(log: CallLog) -> bool:
    return log.health()["call_log"] == "ok"


@EACH_DATABASE
@pytest.mark.parametrize("order", [[DIAL, REFUSED], [REFUSED, DIAL]], ids=["dial", "refusal"])
@pytest.mark.parametrize(
    "bodies", [[INCOMING] * 2, [INCOMING, FROM_ANOTHER]], ids=["same", "other"]
)
def test_a_dial_stands_whichever_was_kept_first(
    opened: Opener,
    log_url: str,
    clock: Clock,
    order: list[Decision],
    bodies: list[bytes],
) -> None:
    """As when two servers have answered on their own, and keep it one after the other."""
    for body, decision in zip(bodies, order, strict=True):
        faulty = FaultyStore(writer.store_of(log_url))
        log = opened(store=faulty)
        faulty.fails = True
        delivery = Delivery(events.parse(body), body, clock())
        assert log.answer(delivery, partial(decide_always, decision))[1] == decision
        faulty.fails = False
        assert eventually(partial(is_kept, log))
    assert state_in(log_url).reply == DIAL.command.to_wire()
    assert DIAL.command.to_wire() in replies(log_url)


class Lists:
    """Two servers on one log, each with a list that changes, and stores that fail at random."""

    def __init__(self, url: str, clock: Clock, lines: PrintedLines, seed: int) -> None:
        self.random = random.Random(seed)
        self.stores = [FaultyStore(writer.store_of(url)) for _ in range(2)]
        self.logs = [
            CallLog(store, lambda _: None, keep_days=30, clock=clock)  # type: ignore[arg-type]
            for store in self.stores
        ]
        self.lists = [live(facts.ALLOW_LIST), live(REFUSING)]
        self.apps = [
            web(Handlers(settings_of(), live_list, log, lines.writer, clock=clock).app())
            for live_list, log in zip(self.lists, self.logs, strict=True)
        ]

    def disturb(self, ending: threading.Event) -> None:
        """Have the stores fail, be slow, and work again; swap the lists."""
        while not ending.wait(self.random.random() * 0.02):
            for store in self.stores:
                store.fails = self.random.random() < 0.3
                store.takes_s = 0.03 if self.random.random() < 0.2 else 0.0
            if self.random.random() < 0.3:
                one, other = self.lists
                one.current, other.current = other.current, one.current

    def post(self, server: int, body: bytes) -> Any:
        answer = self.apps[server].post(
            "/", body, content_type="application/json", expect_errors=True
        )
        return answer.json if answer.status_int == 200 else None

    def play(self, call: int) -> bool:
        """Play a call at one server, repeat it at both; return whether it was cut after a dial."""
        one = self.random.randrange(2)
        incoming = numbered(call)
        first = self.post(one, incoming)
        for _ in range(self.random.randrange(3)):
            self.post(one, incoming if self.random.random() < 0.6 else other_caller(incoming))
        if first["method"] != "dial":
            return False
        later = [
            payload(name).replace(ID.encode(), f"call-{call}".encode())
            for name in ("dial_completed_answered", "speak_completed", "play_completed")
        ]
        answers = [self.post(one, body) for body in later]
        return facts.HANGUP in answers


def other_caller(body: bytes) -> bytes:
    return body.replace(facts.CALLER.encode(), facts.STRANGER.encode())


@pytest.mark.faults
@EACH_DATABASE
@pytest.mark.parametrize("seed", range(3))
def test_no_live_call_is_cut_whatever_fails_and_changes(
    log_url: str, clock: Clock, lines: PrintedLines, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(writer, "_TICK_S", 0.01)
    monkeypatch.setattr(writer, "_MAX_WAIT_S", 0.02)
    lists, ending = Lists(log_url, clock, lines, seed), threading.Event()
    disturbing = threading.Thread(target=lists.disturb, args=(ending,))
    disturbing.start()
    calls, cut = range(1_000), list[int]()
    players = [
        threading.Thread(target=lambda some=some: cut.extend(n for n in some if lists.play(n)))
        for some in (calls[::2], calls[1::2])
    ]
    for player in players:
        player.start()
    for player in players:
        player.join()
    ending.set()
    disturbing.join()
    for store in lists.stores:
        store.repair()
    assert eventually(lambda: all(log.health()["call_log"] == "ok" for log in lists.logs), 10)
    for log in lists.logs:
        log.close()
    assert cut == []
