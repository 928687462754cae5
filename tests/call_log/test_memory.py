"""What a process remembers of calls: by this it answers while the log fails."""

import facts
import pytest
from call_logs import COMPLETED, INCOMING, FaultyStore, Opener, Servers, deliver, forget, numbered
from databases import one_database
from helpers import Clock, eventually, payload, post

from call_log.memory import States
from calls import PURGED, UNKNOWN, CallState


def test_the_oldest_goes_but_none_that_waits_to_be_kept() -> None:
    states = States(max_states=3, waiting={"a"})
    for call in "abcd":
        states.put(call, CallState(collected=frozenset({call})))
    assert [call for call in "abcd" if call in states] == ["a", "c", "d"]
    assert states.state("b") is UNKNOWN
    assert states.state("a") == CallState(collected=frozenset({"a"}))


@one_database
def test_a_call_of_another_process_is_known_once_an_event_of_it_was_kept(
    opened: Opener, faulty: FaultyStore, clock: Clock
) -> None:
    other = opened()
    for n in (1, 2):
        deliver(other, numbered(n), clock)
    log = opened(store=faulty)
    spoken = payload("speak_completed").replace(facts.REFERENCE_ID.encode(), b"call-2")
    deliver(log, spoken, clock)
    faulty.fails = True
    knew = [deliver(log, numbered(n), clock) for n in (1, 2)]
    assert [known.incoming is not None for known in knew] == [False, True]


@one_database
def test_a_captured_request_of_this_process_is_refused_while_the_log_fails(
    servers: Servers, faulty: FaultyStore, clock: Clock
) -> None:
    app = servers.start_on(faulty)  # type: ignore[arg-type]
    assert post(app, INCOMING) == facts.DIAL
    clock.sleep(121)
    faulty.fails = True
    assert post(app, INCOMING) == facts.HANGUP
    assert servers.lines.read()[-1]["reason"] == "replayed"
    assert app.get("/health", status=503).json["answered_unkept"] == 1


@one_database
def test_a_captured_request_of_a_call_that_was_forgotten_is_refused_while_the_log_fails(
    opened: Opener, faulty: FaultyStore, log_url: str, clock: Clock
) -> None:
    log = opened(store=faulty)
    deliver(log, INCOMING, clock)
    forget(log_url, facts.REFERENCE_ID)
    deliver(log, COMPLETED, clock)  # with this it is noticed
    faulty.fails = True
    assert deliver(log, INCOMING, clock) is PURGED


@one_database
@pytest.mark.parametrize("came_back", [False, True], ids=["away", "back"])
def test_a_refusal_in_memory_gives_way_to_a_dial_that_the_log_knows(
    servers: Servers, faulty: FaultyStore, came_back: bool
) -> None:
    """Another server, whose list differs, has connected the call."""
    refusing = "to,destination\n12025550103,12025550113\n"
    app = servers.start_on(faulty, refusing)  # type: ignore[arg-type]
    faulty.fails = True
    assert post(app, INCOMING) == facts.HANGUP
    assert post(servers.start(), INCOMING) == facts.DIAL
    faulty.fails = False
    assert eventually(lambda: app.get("/health", status="*").json["status"] == "ok")
    faulty.fails = not came_back
    assert post(app, payload("speak_completed")) == facts.NO_ACTION
