"""The call log of real server processes: killed, restarted, several on one file."""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import OddServer, at_once, is_healthy, is_intact, kept, numbered, rows
from helpers import ROOT, eventually, payload
from processes import Load, ServerProcess

from call_log import writer
from call_log.store import Row

pytestmark = pytest.mark.faults


INCOMING, COMPLETED = payload("incoming_call"), payload("call_completed")


EVENTS = ["incoming_call", "dial_completed_answered", "speak_completed", "call_completed"]


SPEAK = {
    "method": "speak",
    "params": {"tts": {"message": "Your call is connected.", "language": "en-US"}},
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/calls.db"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as running:
        yield running


def killed_under_load(
    make: Callable[[], ServerProcess],
) -> Iterator[tuple[float, list[tuple[str, str]]]]:
    """Start a server, kill it under load, again and again.

    Yield, each time, how long it took to its first answer, and all that it has answered till then.
    """
    answered: list[tuple[str, str]] = []
    while True:
        started = time.monotonic()
        with make() as server:
            server.deliver(numbered(len(answered)))
            answered.append((f"call-{len(answered)}", "incoming_call"))
            yield time.monotonic() - started, answered
            with Load(server) as load:
                time.sleep(0.05 + len(answered) % 7 / 50)
                server.kill()
        answered += load.answered


def test_killed_at_any_moment_it_has_kept_what_it_answered(tmp_path: Path, url: str) -> None:
    cycles, times = 25, []
    killing = killed_under_load(lambda: ServerProcess(tmp_path))
    for _, (seconds, answered) in zip(range(cycles), killing, strict=False):
        times.append(seconds)
        there = kept(url)
        assert set(answered) <= set(there)
        assert set(there.values()) <= {1}
        assert is_intact(tmp_path / "calls.db")
    killing.close()  # type: ignore[attr-defined]
    assert len(answered) > 10 * cycles
    assert statistics.median(times) < 1, times


def test_a_server_that_answers_first_would_be_caught(tmp_path: Path, url: str) -> None:
    odd = {"ODD": "early", "PYTHONPATH": str(ROOT)}
    killing = killed_under_load(lambda: OddServer(tmp_path, odd))
    lost = (
        not set(answered) <= set(kept(url))
        for _, (_, answered) in zip(range(20), killing, strict=False)
    )
    assert any(lost)
    killing.close()  # type: ignore[attr-defined]


def test_restarts_under_load_lose_nothing(tmp_path: Path, url: str) -> None:
    answered: list[tuple[str, str]] = []
    for _ in range(10):
        with ServerProcess(tmp_path) as server, Load(server) as load:
            time.sleep(0.2)
            assert server.stop() == 0
        assert [file.name for file in tmp_path.glob("calls.db*")] == ["calls.db"]
        answered += load.answered
    assert len(answered) > 100
    assert set(kept(url)) >= set(answered)
    assert set(kept(url).values()) == {1}


def test_fifty_copies_at_once_are_answered_alike_and_kept_once(
    server: ServerProcess, url: str
) -> None:
    answers: list[Any] = []
    at_once([lambda: answers.append(server.deliver(INCOMING))] * 50)
    assert answers == [(200, facts.DIAL)] * 50
    assert kept(url) == {(facts.REFERENCE_ID, "incoming_call"): 50}


def answers_in_order(names: tuple[str, ...]) -> list[Any]:
    """Return what has to be answered to some of the four events, in this order."""
    over = (
        "call_completed" in names[: names.index("incoming_call")] if EVENTS[0] in names else False
    )
    answer = {
        "incoming_call": facts.HANGUP if over else facts.DIAL,
        "dial_completed_answered": SPEAK,
        "speak_completed": facts.NO_ACTION,
        "call_completed": facts.NO_ACTION,
    }
    replies = []
    for place, name in enumerate(names):
        refused = over and "incoming_call" in names[:place]
        replies.append(facts.HANGUP if refused and name == "speak_completed" else answer[name])
    return replies


@pytest.mark.parametrize("restart", [False, True], ids=["", "restarted"])
def test_every_order_and_every_subset_of_four_events(
    tmp_path: Path, url: str, restart: bool
) -> None:
    orders = [
        *permutations(EVENTS),
        *(some for count in range(1, 4) for some in combinations(EVENTS, count)),
    ]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ServerProcess(tmp_path))
        for place in range(len(EVENTS)):
            for number, names in enumerate(orders):
                if place < len(names):
                    body = payload(names[place]).replace(
                        facts.REFERENCE_ID.encode(), f"call-{number}".encode()
                    )
                    expected = answers_in_order(names)[place]
                    assert server.deliver(body) == (200, expected), (names, place)
            if restart:
                assert server.stop() == 0
                server = stack.enter_context(ServerProcess(tmp_path))
        for number, names in enumerate(orders):
            assert len(rows(url, f"call-{number}")) == len(names)


def test_copies_after_a_restart_are_known(tmp_path: Path, url: str) -> None:
    bodies = [payload(name) for name in EVENTS[:3]]
    answers = []
    for _ in range(2):
        with ServerProcess(tmp_path) as server:
            answers.append([server.deliver(body) for body in bodies])
            server.kill()
    assert answers[0] == [(200, facts.DIAL), (200, SPEAK), (200, {})]
    assert answers[1] == [(200, facts.DIAL), (200, {}), (200, {})]  # no greeting into the talk
    assert set(kept(url).values()) == {2}


def test_two_servers_that_get_different_copies_dial_once(tmp_path: Path) -> None:
    both = "to,from,destination,caller_id_number\n" + "".join(
        f"{facts.DIALLED},1202555012{n},1202555013{n},{facts.MASKING_ID}\n" for n in range(6)
    )
    (tmp_path / "other").mkdir()
    where = {"MASKING_CALL_LOG": f"sqlite:///{tmp_path}/calls.db"}
    with (
        ServerProcess(tmp_path, where, both) as one,
        ServerProcess(tmp_path / "other", where, both) as other,
    ):
        for call in range(30):
            answers: list[Any] = []

            def deliver(n: int, call: int = call, answers: list[Any] = answers) -> None:
                body = numbered(call).replace(facts.CALLER.encode(), f"1202555012{n}".encode())
                answers.append((one, other)[n % 2].deliver(body)[1]["method"])

            at_once([lambda n=n: deliver(n) for n in range(6)])  # type: ignore[misc]
            assert sorted(answers) == ["dial", *["hangup"] * 5]


def test_a_call_that_is_forgotten_while_it_goes_on_leaves_no_number(
    server: ServerProcess, tmp_path: Path
) -> None:
    """Events come all the while that `forget` writes a file of many calls anew."""
    store = writer.store_of(f"sqlite:///{tmp_path}/calls.db")
    store.open()
    seen = time.time_ns() // 1_000
    body = b'"%s"' % (b" " * 20_000)
    filler = Row("", "x", b"", None, None, None, "{}", None, seen, seen, 1, None, None, body)
    with store.transaction():
        store.keep([filler._replace(reference_id=f"old-{n}") for n in range(1_000)])
    store.close()
    server.deliver(numbered(1))
    command = [sys.executable, str(ROOT / "app.py"), "forget", facts.CALLER, "--yes"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as forgetting:
        answers = []
        while forgetting.poll() is None:
            answers.append(server.deliver(numbered(1)))
            time.sleep(0.01)
    assert (forgetting.returncode, answers[0]) == (0, (200, facts.DIAL))
    server.deliver(numbered(1))
    assert eventually(lambda: is_healthy(server), 2)
    for row in rows(f"sqlite:///{tmp_path}/calls.db", "call-1"):
        assert (row.caller, row.dialled, row.body) == (None, None, b"")
        assert row.reply in ('{"method":"dial"}', '{"method":"hangup"}')
