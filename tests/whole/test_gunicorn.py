"""The plain callable under gunicorn, with two worker processes, answers as our own server does.

Compared are whole answers: the status, the body and every header that is ours.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import facts
import pytest
import requests
from call_logs import all_rows
from gunicorn_process import WORKERS, GunicornProcess
from helpers import eventually, payload, signed
from processes import ServerProcess
from request_table import BAD, GOOD, Bad, ask, whole


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GunicornProcess]:
    with GunicornProcess(tmp_path_factory.mktemp("gunicorn"), facts.KEYS) as server:
        yield server


HANGUP = Bad("a number that is not listed", 200, "", payload("incoming_call_not_listed"))
NO_ACTION = Bad("an unknown event", 200, "", payload("unknown_event"))


@pytest.mark.parametrize("one", [*BAD, *GOOD, HANGUP, NO_ACTION], ids=lambda one: one.name)
def test_a_request_gets_the_same_answer_as_from_our_own_server(
    one: Bad, gunicorn: GunicornProcess, verified_server: ServerProcess
) -> None:
    assert whole(ask(gunicorn, one)) == whole(ask(verified_server, one))


def test_health_tells_the_same_things(
    gunicorn: GunicornProcess, verified_server: ServerProcess
) -> None:
    first, second = (
        requests.get(f"http://127.0.0.1:{server.port}/health", timeout=10)
        for server in (gunicorn, verified_server)
    )
    assert first.status_code == second.status_code == 200
    assert list(first.json()) == list(second.json())
    for name in ("status", "signatures", "routes", "allow_list"):
        assert first.json()[name] == second.json()[name]


def test_two_workers_share_one_log_and_with_it_their_calls(gunicorn: GunicornProcess) -> None:
    """Each copy may be answered by either worker, and each is answered as the first one was."""
    for call in range(20):
        body = payload("incoming_call").replace(facts.REFERENCE_ID.encode(), b"call-%d" % call)
        other = body.replace(facts.CALLER.encode(), facts.STRANGER.encode())
        answers = []
        for sent in (body, body, other, other, body):
            answer = requests.post(gunicorn.url, sent, headers=signed(sent), timeout=10)
            answers.append(answer.json()["method"])
        assert answers == ["dial", "dial", "hangup", "hangup", "dial"]
    deliveries: Counter[str] = Counter()
    for row in all_rows(f"sqlite:///{gunicorn.folder}/calls.db"):
        deliveries[row.reference_id] += row.deliveries
    assert {deliveries[f"call-{call}"] for call in range(20)} == {5}


class OneWorker(GunicornProcess):
    command: ClassVar[list[str]] = [*GunicornProcess.command, "--workers", "1"]


def test_the_log_is_closed_when_gunicorn_stops(tmp_path: Path) -> None:
    """With one worker: of two that close at the same moment neither may remove the side files."""
    with OneWorker(tmp_path) as server:
        # A worker that is only just made does not hear the signal: it has to be ready.
        assert eventually(lambda: "NOT VERIFIED" in server.output())
        server.deliver(payload("incoming_call"))
        assert server.stop() == 0, server.output()
    assert [file.name for file in tmp_path.glob("calls.db*")] == ["calls.db"]


def test_it_runs_several_worker_processes(gunicorn: GunicornProcess) -> None:
    assert len(re.findall("Booting worker", gunicorn.output())) == WORKERS
