"""By which clock a call is as old as it is, and what a stop saves while the log hangs."""

from datetime import timedelta
from functools import partial
from typing import Any

import facts
import pytest
from call_logs import INCOMING, Opener, Servers, at_once, deliver, kept, numbered
from databases import one_database
from helpers import Clock, eventually, post

from call_log import writer
from calls import LogUnavailable

pytestmark = one_database


def replayed_after(app: Any, servers: Servers, clock: Clock) -> list[Any]:
    """Return what a server answers to the call again, a minute after its log has recovered."""
    assert eventually(lambda: app.get("/health", status="*").json["status"] == "ok")
    clock.sleep(60)
    return [post(app, INCOMING), servers.lines.read()[-1].get("reason")]


@pytest.mark.parametrize("trouble", ["fails", "slow"])
def test_a_call_that_was_decided_without_the_log_is_as_old_as_the_log_says_afterwards(
    trouble: str, servers: Servers, faulty: Any, clock: Clock
) -> None:
    """This server does not know of the other one's call while it cannot read the log."""
    app = servers.start_on(faulty)
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.sleep(3600)
    faulty.fails, faulty.takes_s = trouble == "fails", 0.8 * (trouble == "slow")
    post(app, INCOMING)
    faulty.fails, faulty.takes_s = False, 0
    assert replayed_after(app, servers, clock) == [facts.HANGUP, "replayed"]


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


@pytest.mark.parametrize("jump", [timedelta(days=-1), timedelta(days=365)], ids=["back", "ahead"])
def test_a_clock_that_jumped_before_a_restart_never_opens_the_window_wider(
    servers: Servers, clock: Clock, jump: timedelta
) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.utc += jump
    assert post(servers.start(), INCOMING) == facts.HANGUP


@pytest.mark.parametrize(
    ("ahead_s", "answer"), [(3, facts.DIAL), (60, facts.HANGUP)], ids=["a little", "more"]
)
def test_a_call_that_began_in_the_future_is_old_unless_two_clocks_differ_a_little(
    servers: Servers, clock: Clock, ahead_s: float, answer: Any
) -> None:
    assert post(servers.start(), INCOMING) == facts.DIAL
    clock.utc -= timedelta(seconds=ahead_s)
    assert post(servers.start(), INCOMING) == answer


def test_a_call_that_began_here_is_as_old_as_the_monotonic_clock_says(
    servers: Servers, clock: Clock
) -> None:
    app = servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(3600)
    clock.utc -= timedelta(seconds=3590)
    assert post(app, INCOMING) == facts.HANGUP


def test_a_stop_saves_what_is_queued_while_the_log_hangs(
    opened: Opener, faulty: Any, clock: Clock, log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MAX_CLOSING_S", 0.1)
    log = opened(store=faulty)
    faulty.takes_s = 2
    at_once([partial(deliver, log, numbered(n), clock) for n in range(256)])
    assert log.close() == 0
    faulty.takes_s = 0
    opened().close()
    assert kept(log_url) == {(f"call-{n}", "incoming_call"): 1 for n in range(256)}


def test_a_closed_log_answers_nothing(opened: Opener, clock: Clock) -> None:
    log = opened()
    log.close()
    with pytest.raises(LogUnavailable):
        deliver(log, INCOMING, clock)
