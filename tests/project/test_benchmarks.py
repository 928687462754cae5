"""The benchmarks do not lie: what they work out is right, and each of them still runs."""

import math
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from call_logs import kept, written_down

from benchmarks import (
    allow_list,
    call_log,
    chart,
    figures,
    in_process,
    lifetime,
    load,
    open_loop,
    over_http,
    rides,
    run_all,
    servers,
    wire,
)
from benchmarks.figures import Figure
from records import Disposition

DIAL = b'{"method":"dial","params":{"to":"12025550111"}}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(DIAL), DIAL)
CLOSING = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
HANGUP = b'HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{"method":"hangup"}'
FAILED = OK.replace(b"200 OK", b"500 No")


@contextmanager
def answering(*answers: bytes, pause_s: float = 0.0) -> Iterator[int]:
    """Answer one connection after the other, each once, and close it; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def answer() -> None:
            for text in answers:
                client, _ = door.accept()
                with client:
                    client.recv(65_536)
                    threading.Event().wait(pause_s)
                    client.sendall(text)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield door.getsockname()[1]
        thread.join(timeout=10)


def requests(count: int) -> list[bytes]:
    return [wire.http(body) for body in islice(wire.bodies("test"), count)]


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_one_of_the_values(percent: float, value: int) -> None:
    assert figures.percentile(list(range(100, 0, -1)), percent) == value


def test_a_percentile_of_few_values_is_the_worst_of_them() -> None:
    assert figures.percentile([1.0, 2.0, 9.0], 99) == 9.0
    assert math.isnan(figures.percentile([], 99))


def test_a_ratio_is_that_of_the_same_round() -> None:
    """The machine is ten times slower in the second round; the ratio does not see it."""
    rounds = {"base": [100.0, 10.0, 100.0], "other": [50.0, 5.0, 40.0]}
    assert figures.ratio_to("base", rounds) == {"base": 1.0, "other": 0.5}


@pytest.mark.parametrize(
    ("value", "holds"), [(9.9, True), (10.0, True), (10.1, False), (math.nan, False)]
)
def test_the_verdict_is_made_from_the_figure(value: float, *, holds: bool) -> None:
    figure = Figure("p99", value, "ms", at_most=10)
    assert figure.holds is holds
    assert ("**no**" in figures.table([figure])) is not holds
    assert f"| {figures.format_value(value, 'ms')} | at most 10 ms |" in figures.table([figure])


def test_at_least_is_the_other_way_round() -> None:
    assert Figure("rate", 85.0, "%", at_least=85).holds
    assert not Figure("rate", 84.9, "%", at_least=85).holds


def test_an_answer_is_right_only_if_it_connects_the_call() -> None:
    assert wire.is_right(OK)
    assert not wire.is_right(HANGUP)
    assert not wire.is_right(FAILED)


@pytest.mark.parametrize("wrong", [HANGUP, FAILED, OK[:-1], b""])
def test_a_wrong_or_cut_answer_is_an_error(wrong: bytes) -> None:
    with answering(CLOSING, wrong, CLOSING) as port:
        seen = load.play(port, requests(3), clients=1)
    assert (seen.answered, seen.errors) == (2, 1)


def test_nobody_listening_is_an_error_each_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    assert load.play(port, requests(5), clients=2).errors == 5


def test_an_answer_in_pieces_is_read_to_its_end() -> None:
    assert not any(load.is_whole(OK[:length]) for length in range(len(OK)))
    assert load.is_whole(OK)


def test_an_open_loop_counts_the_waiting() -> None:
    """Three are due at once and one client is there: the last waits for the two before it."""
    with answering(*[CLOSING] * 3, pause_s=0.1) as port:
        seen = load.play(port, requests(3), clients=1, rate=1e6)
    assert (seen.answered, seen.errors) == (3, 0)
    assert seen.longest_ms >= 300


def test_an_open_loop_does_not_send_early() -> None:
    with servers.run(servers.CEILING) as server:
        before = time.perf_counter()
        seen = load.play(server.port, requests(21), rate=100)
        took_s = time.perf_counter() - before
    assert (seen.answered, seen.errors) == (21, 0)
    assert took_s >= 0.2


def test_the_chart_draws_the_values_it_is_given() -> None:
    drawn = Xml.fromstring(chart.bars("a < b", {"slow": 50.0, "fast": 200.0}, ours={"slow"}))
    widths = [float(shape.get("width", "")) for shape in drawn.iter() if "rect" in shape.tag]
    assert widths[0] == pytest.approx(4 * widths[1])
    texts = [shape.text for shape in drawn.iter() if shape.tag.endswith("text")]
    assert texts == ["a < b", "fast", "200", "slow", "50"]


def test_what_is_not_installed_is_left_out_and_named() -> None:
    missing = servers.Variant("no such server", ("no-such-program", "{port}"))
    assert over_http.find_missing([servers.BARE, missing]) == ["no such server"]


def test_a_server_that_does_not_start_says_why() -> None:
    faulty = servers.Variant(
        "faulty", servers.PRODUCT.command, {**servers.PRODUCT.environment, "MASKING_THREADS": "0"}
    )
    with pytest.raises(servers.ServerError, match="MASKING_THREADS"), servers.run(faulty):
        pass


@pytest.mark.load
def test_side_by_side_runs_and_its_page_is_made_from_it() -> None:
    variants = [servers.CEILING, servers.BARE, servers.PRODUCT, servers.OTHERS[0]]
    seen = over_http.measure(variants, events=50, rounds=1)
    assert {
        name: [(result.answered, result.errors) for result in got] for name, got in seen.items()
    } == {variant.name: [(50, 0)] for variant in variants}
    measured = over_http.figures_of(seen)
    assert len(measured) == 3
    page = run_all.results("a machine", measured, seen)
    assert all(f"{rate:,.0f}" in page for rate in over_http.rates(seen).values())
    assert servers.CEILING.name not in run_all.picture(seen)


def test_in_process_runs() -> None:
    measured = in_process.measure(batch=20, rounds=10)
    assert [figure.unit for figure in measured] == ["µs", "µs", "times"]
    assert all(figure.value > 0 for figure in measured)


def test_the_lists_run() -> None:
    measured = allow_list.measure([10, 2_000], rounds=3)
    assert len(measured) == 9
    assert all(figure.value > 0 for figure in measured if figure.unit != "MB")


@pytest.mark.load
def test_the_open_loop_runs() -> None:
    measured = open_loop.measure(rate=50, seconds=0.4)
    assert measured[-1].holds


@pytest.mark.load
@pytest.mark.skipif(shutil.which("cc") is None, reason="no compiler for the slow disk")
def test_the_call_log_runs() -> None:
    rate, p99_ms, errors, shared = call_log.slow_syncs(events=160)
    assert rate.value > 16
    assert p99_ms.value > call_log.SYNC_MS
    assert errors.value == 0
    assert 1 <= shared.value <= 32
    assert [figure.unit for figure in call_log.measure_reading(kept=400)] == ["ms"] * 7
    assert [figure.unit for figure in call_log.measure_opening(kept=400)] == ["ms", "ms"]


def test_what_software_waits_for_is_measured_beside_a_server() -> None:
    assert rides.pair(20, pairs=1) > 0
    assert len(rides.follow(calls=1)) == 1


def test_a_log_that_is_filled_holds_calls_that_are_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_log, "KEPT_ONE_BY_ONE", 40)
    call_log.fill(tmp_path / "calls.db", 120)
    records = written_down(f"sqlite:///{tmp_path}/calls.db")
    assert len({record.reference_id for record in records}) == 30
    assert {(record.disposition, record.wait_s, record.talk_s) for record in records} == {
        (Disposition.CONNECTED, 10.0, 20.0),
        (Disposition.BUSY, None, None),
    }
    assert [record.began for record in records] == sorted(record.began for record in records)
    assert sum(kept(f"sqlite:///{tmp_path}/calls.db").values()) == 120


@pytest.mark.load
def test_start_and_memory_run() -> None:
    (start,) = lifetime.start(times=1)
    assert 0 < start.value < 20
    memory, growth, errors = lifetime.memory(warm_up=20, events=100)
    assert memory.value > 5
    assert growth.value < 20
    assert errors.value == 0
