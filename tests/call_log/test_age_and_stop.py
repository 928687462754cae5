"""What the log knows counts as soon as it can be read, and a stop saves all that was answered."""

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


def test_a_clock_set_back_does_not_reopen_the_window_on_a_log_that_was_empty_at_the_start(
    servers: Servers, clock: Clock
) -> None:
    other, app = servers.start(), servers.start()
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(3600)
    clock.utc -= timedelta(seconds=3590)
    assert [post(each, INCOMING) for each in (other, app)] == [facts.HANGUP] * 2


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
