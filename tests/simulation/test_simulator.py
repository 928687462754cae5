"""The simulator at the real server, where every call goes well, and at servers that lie."""

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import facts
import pytest
import requests
from helpers import PAYLOADS, ROOT, payload
from processes import ServerProcess
from raw_servers import (
    OPENSSL,
    hang_up,
    make_certificate,
    over_tls,
    raw_server,
    say_nothing,
    saying,
)
from reply_table import CASES, MESSAGES, SCREENING

import signature
import simulator
from simulation.scenarios import SCENARIOS, Signer, SimulatedCall
from simulator import Target

KEY = signature.decode_key(facts.API_KEY)
SENDER = Signer(facts.CUSTOMER_ID, KEY)


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in facts.KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(
    scope="module", params=[SCREENING, SCREENING | MESSAGES], ids=["silent", "with messages"]
)
def screening_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    settings = {f"MASKING_{name.upper()}": value for name, value in request.param.items()}
    with ServerProcess(tmp_path_factory.mktemp("screening"), facts.KEYS | settings) as server:
        yield server


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_goes_well(name: str, screening_server: ServerProcess) -> None:
    played = Target(screening_server.url, SENDER).play(SCENARIOS[name])
    assert played.passed, played.verdict
    assert played.verdict
    assert len(played.exchanges) >= 1


@pytest.mark.parametrize("name", sorted(SCENARIOS.keys() - {n for n in SCENARIOS if "screen" in n}))
def test_every_scenario_but_screening_goes_well_without_it(
    name: str, verified_server: ServerProcess
) -> None:
    played = Target(verified_server.url, SENDER).play(SCENARIOS[name])
    assert played.passed, played.verdict


def test_screening_fails_where_it_is_not_set(verified_server: ServerProcess) -> None:
    played = Target(verified_server.url, SENDER).play(SCENARIOS["screening-declined"])
    assert (played.passed, played.verdict) == (
        False,
        "wanted speak with collect_digits (set accept_digit), got speak",
    )


@pytest.mark.parametrize("settings", [{}, MESSAGES, SCREENING], ids=["plain", "messages", "digit"])
def test_every_row_of_the_reply_table_is_what_telesign_takes(
    settings: dict[str, str], tmp_path: Path
) -> None:
    environment = facts.KEYS | {f"MASKING_{k.upper()}": v for k, v in settings.items()}
    rows = [row for row in CASES if row.settings == settings]
    assert len(rows) >= 4
    with ServerProcess(tmp_path, environment) as server, requests.Session() as session:
        for row in rows:
            call = SimulatedCall(session, server.url, SENDER, to=facts.DIALLED, caller=facts.CALLER)
            for name in [*row.before, row.event]:
                message = json.loads(payload(name)) | {"reference_id": call.reference_id}
                call.post(json.dumps(message).encode(), message["event"])
            assert json.loads(call.exchanges[-1].answer) == row.answer


# Servers that lie

Answer = Callable[[dict[str, Any]], Any]


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def lying() -> Iterator[Callable[[Answer], str]]:
    """Return a function that starts a server with these answers, whatever the signature."""
    servers = []

    def start(answer: Answer) -> str:
        def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            got = answer(json.loads(body))
            status, message = got if isinstance(got, tuple) else ("200 OK", got)
            start_response(status, [("Content-Type", "application/json")])
            return [json.dumps(message).encode()]

        server = make_server("127.0.0.1", 0, app, handler_class=_Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def says(**answers: Any) -> Answer:
    """Answer each event with its answer, or as a good server would that greets nobody."""
    good: dict[str, Any] = {"incoming_call": facts.DIAL, "call_leg_completed": facts.HANGUP}
    return lambda event: (good | answers).get(event["event"], {})


def by_status(event: dict[str, Any]) -> Any:
    failed = event["event"] == "dial_completed" and event["data"]["status"] != "answered"
    return facts.HANGUP if failed else says()(event)


SPEAK = {"method": "speak", "params": {"tts": {"message": "Hello"}}}
ASK = {"method": "speak", "params": {"tts": {"message": "1?"}, "collect_digits": {"max": 1}}}
OTHER_DIAL = {"method": "dial", "params": {"to": "12025550144", "caller_id_number": "12025550199"}}
LEAK = {"method": "dial", "params": {"to": "12025550144", "caller_id_number": facts.CALLER}}


def alternating(*answers: Any) -> Answer:
    waiting = list(answers)
    return lambda event: (
        waiting.pop(0) if event["event"] == "incoming_call" and waiting else says()(event)
    )


@pytest.mark.parametrize(
    ("name", "answer", "verdict"),
    [
        ("connected", says(incoming_call=facts.HANGUP), "wanted dial, got hangup"),
        ("connected", says(incoming_call=SPEAK), "wanted dial, got speak"),
        ("connected", says(incoming_call=LEAK),
         "params.caller_id_number: wanted a masking ID, got the caller's own number"),
        ("connected", says(dial_completed=facts.HANGUP),
         "wanted the live call to go on, got hangup"),
        ("connected", says(dial_completed=SPEAK, speak_completed=facts.HANGUP),
         "wanted the live call to go on, got hangup"),
        ("connected", says(call_completed=("500 Oops", {})), "status: wanted 200, got 500"),
        ("refused", says(), "wanted a refusal, got dial"),
        ("refused", says(incoming_call=SPEAK), "wanted hangup, got no action"),
        ("wrong-caller", says(), "wanted a refusal, got dial"),
        ("withheld-caller", says(), "wanted a refusal, got dial"),
        ("expired", says(), "wanted a refusal, got dial"),
        ("busy", says(), "wanted hangup, got no action"),
        ("no-answer", says(dial_completed=SPEAK), "wanted hangup, got no action"),
        ("failed", says(), "wanted hangup, got no action"),
        ("callee-hangs-up", says(call_leg_completed={}), "wanted hangup, got no action"),
        ("caller-hangs-up", says(dial_completed=("503 No", {})), "status: wanted 200, got 503"),
        ("screening-accepted", says(dial_completed=ASK, speak_completed=facts.HANGUP),
         "wanted the live call to go on after 1 was pressed (--digit), got hangup"),
        ("screening-declined", says(dial_completed=ASK), "wanted hangup, got no action"),
        ("pair", says(), "params.to: wanted somebody else's number, got the caller's own"),
        ("pair", alternating(facts.DIAL, OTHER_DIAL),
         "wanted 12025550111 to reach 12025550123, got 12025550144"),
        ("duplicate", alternating(facts.DIAL, OTHER_DIAL),
         "wanted the same answer twice, got dial and dial"),
        ("out-of-order", says(speak_completed=facts.HANGUP),
         "wanted the live call to go on, got hangup"),
        ("replay", says(), "wanted hangup, got dial"),
        ("forged", says(),
         "status: wanted 401 for a request forged, got 200 (it verifies no signatures)"),
        ("forged", lambda _: ("401 No", {"to": "12025550111"}),
         "body: wanted no number for a request forged, got one"),
        ("unsigned", says(),
         "status: wanted 401 for a request unsigned, got 200 (it verifies no signatures)"),
        ("unknown-event", says(call_quality_reported=facts.HANGUP),
         "wanted the live call to go on, got hangup"),
    ],
)  # fmt: skip
def test_each_scenario_fails_where_it_must(
    name: str, answer: Answer, verdict: str, lying: Callable[[Answer], str]
) -> None:
    played = Target(lying(answer), SENDER).play(SCENARIOS[name])
    assert (played.passed, played.verdict) == (False, verdict)


def test_every_scenario_has_a_server_that_fails_it() -> None:
    (mark,) = test_each_scenario_fails_where_it_must.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} == set(SCENARIOS)


def test_a_server_that_is_not_there_fails() -> None:
    played = Target("http://127.0.0.1:9/", SENDER).play(SCENARIOS["connected"])
    assert played.verdict == (
        "wanted an answer to incoming_call, got none: the connection is refused; start the server"
        " there, or check the port"
    )
    assert played.exchanges[0].status == 0


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://no-such-name.invalid/", "the name no-such-name.invalid is unknown; "),
        ("https://127.0.0.1:9/", "the connection is refused; "),
        ("https://a..b/", "the request cannot be made (LocationParseError); "),
    ],
)
def test_what_is_in_the_way_of_an_answer_is_said(url: str, cause: str) -> None:
    played = Target(url, SENDER).play(SCENARIOS["connected"])
    assert played.verdict.startswith(f"wanted an answer to incoming_call, got none: {cause}")


@pytest.mark.skipif(OPENSSL is None, reason="no openssl here")
def test_an_untrusted_certificate_is_said(tmp_path: Path) -> None:
    with raw_server(over_tls(make_certificate(tmp_path), saying(b""))) as server:
        played = Target(f"https://localhost:{server.port}/", SENDER).play(SCENARIOS["connected"])
    assert "got none: the certificate of localhost is not trusted (self-signed" in played.verdict


def test_a_broken_answer_and_none_in_time_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulation.scenarios.MAX_WAIT_S", 0.2)
    for play, cause in (hang_up, "the connection broke"), (say_nothing, "no answer came in time"):
        with raw_server(play) as server:
            url = f"http://127.0.0.1:{server.port}/"
            played = Target(url, SENDER).play(SCENARIOS["connected"])
        assert f"got none: {cause}" in played.verdict


def test_a_customer_id_that_no_header_can_hold_is_said() -> None:
    played = Target("http://127.0.0.1:9/", Signer("\u0100", KEY)).play(SCENARIOS["connected"])
    assert "got none: the request cannot be made (UnicodeEncodeError); " in played.verdict


# The calls are marked


def reference_ids(played: simulator.ScenarioResult) -> set[str]:
    return {json.loads(each.sent)["reference_id"] for each in played.exchanges}


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_call_bears_an_id_that_says_it_is_simulated(
    name: str, lying: Callable[[Answer], str]
) -> None:
    ids = reference_ids(Target(lying(says()), SENDER).play(SCENARIOS[name]))
    assert ids
    assert all(re.fullmatch("SIMULATED[0-9A-F]{23}", each) for each in ids)


def test_both_calls_of_a_pair_are_marked_and_differ(verified_server: ServerProcess) -> None:
    ids = reference_ids(Target(verified_server.url, SENDER).play(SCENARIOS["pair"]))
    assert len(ids) == 2
    assert all(each.startswith("SIMULATED") for each in ids)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ('{"event": "a", "reference_id": "a"}', '{"event": "a", "reference_id": "SIMULATEDa"}'),
        ('{"reference_id"\n:\t"b" ,', '{"reference_id"\n:\t"SIMULATEDb" ,'),
        ('{"reference_id": "SIMULATED1"}', '{"reference_id": "SIMULATED1"}'),
        ('{"reference_id": ""}', '{"reference_id": ""}'),
        ('{"reference_id": 1}', '{"reference_id": 1}'),
        ('{"x": "\\"reference_id\\": \\"y\\""}', '{"x": "\\"reference_id\\": \\"y\\""}'),
    ],
)
def test_an_event_of_a_file_is_marked_and_otherwise_sent_as_it_is(
    text: str, sent: str, tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(text)
    with raw_server(saying(b"")) as server:
        url = f"http://127.0.0.1:{server.port}/"
        assert simulator.main(["--url", url, "--event", str(path)]) == 1
    assert server.got[0].partition(b"\r\n\r\n")[2].decode() == sent


# A proxy of the environment


def test_the_server_beside_it_is_found_and_used_whatever_the_proxy(
    verified_server: ServerProcess, tmp_path: Path
) -> None:
    with raw_server(saying(b"")) as proxy:
        way = f"http://127.0.0.1:{proxy.port}"
        environment = {"MASKING_PORT": str(verified_server.port), "http_proxy": way, **facts.KEYS}
        code, out, _ = simulate(tmp_path, **environment)
    assert (code, proxy.connections) == (0, 0)
    assert out.startswith(f"server: {verified_server.url}\n")


def test_load_goes_by_no_proxy(
    verified_server: ServerProcess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    load = ("--url", verified_server.url, "--calls", "3", "--rate", "100")
    assert "3 x connected: neither person saw" in run(capsys, *load)[1]


def test_a_call_that_is_busy_goes_well_with_a_hangup(lying: Callable[[Answer], str]) -> None:
    assert Target(lying(by_status), SENDER).play(SCENARIOS["busy"]).passed


# The command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = simulator.main(arguments)
    return code, capsys.readouterr().out


def test_a_call_is_drawn_with_what_people_see_and_what_went_over_the_wire(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "connected")
    drawn = re.sub(r"[0-9.]+ ms", "0 ms", re.sub("SIMULATED[0-9A-F]{23}", "ID", out))
    lines, words = drawn.splitlines(), re.sub(r"\s+", " ", drawn)
    assert code == 0
    assert lines.pop(0) == f"server: {verified_server.url}"
    assert lines[0].startswith(
        "connected: A listed number: both talk, neither sees a real number. "
    )
    assert lines[1] == (
        " Caller                 TeleSign                 Server                  Called"
    )
    assert "dials and sees" in lines[2]
    assert "12025550100" in lines[3]
    assert any(line.endswith("           sees 12025550199") for line in lines)
    assert any("1 dial 0 ms" in line for line in lines)
    assert '1 > {"event": "incoming_call", "reference_id": "ID",' in words
    assert "(assumed: how the two parts are laid out)" in words
    assert "(assumed: {} is taken here) 3 < 200 {}" in words
    assert "4 < 200 {}\nPASSED: connected: neither person saw the other's number\n" in drawn
    assert all(len(line) <= 80 for line in out.splitlines())


def test_two_calls_are_played_unless_others_are_named(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url)
    assert code == 0
    assert re.findall("^(?:PASSED|FAILED)", out, re.MULTILINE) == ["PASSED", "PASSED"]
    assert "refused: nobody was called" in out


def test_a_call_that_fails_says_so_and_exits_with_1(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "connected", "--to", facts.NOT_LISTED)
    assert code == 1
    assert out.splitlines()[-2] == "FAILED: wanted dial, got hangup"


def test_other_numbers_may_call(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = ("--from", facts.DRIVER, "--to", facts.PAIR_NUMBER)
    code, out = run(capsys, "--url", verified_server.url, "connected", "--json", *numbers)
    (played,) = json.loads(out)
    first = played["exchanges"][0]
    assert (code, played["scenario"], played["passed"]) == (0, "connected", True)
    assert json.loads(first["sent"])["data"] == {"to": facts.PAIR_NUMBER, "from": facts.DRIVER}
    assert json.loads(first["answer"])["params"]["to"] == facts.RIDER
    assert first.keys() == {
        "event", "sent", "assumed", "status", "answer", "milliseconds", "faults",
    }  # fmt: skip


@pytest.mark.parametrize("option", ["--no-signature", "--bad-signature"])
def test_what_is_not_signed_as_it_should_be_must_be_turned_away(
    option: str, verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "connected", option)
    assert code == 0
    assert "PASSED: turned away: no number was told" in out


def test_an_open_server_is_told_from_a_verified_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in facts.KEYS:
        monkeypatch.delenv(name)
    with ServerProcess(tmp_path) as server:
        code, out = run(capsys, "--url", server.url, "forged")
    assert code == 1
    assert "FAILED: status: wanted 401 for a request forged, got 200" in out


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("incoming_call", "dial: TeleSign would take it"),
        ("incoming_call_not_listed", "hangup: TeleSign would take it"),
        ("call_completed", "no action: TeleSign would take it"),
        ("sms_session_callback", "status: wanted 200, got 400"),
    ],
)
def test_a_file_is_sent_as_an_event(
    name: str, verdict: str, verified_server: ServerProcess, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / f"{name}.json"
    path.write_bytes(payload(name).replace(facts.REFERENCE_ID.encode(), name.encode()))
    code, out = run(capsys, "--url", verified_server.url, "--event", str(path))
    assert verdict in out
    assert code == (0 if "TeleSign" in verdict else 1)


def test_a_file_that_is_not_there_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        simulator.main(["--url", "http://127.0.0.1:9/", "--event", str(PAYLOADS / "none.json")])
    assert ended.value.code == 2
    assert "none.json: No such file or directory" in capsys.readouterr().err


def test_the_scenarios_are_listed_with_a_sentence_each(capsys: pytest.CaptureFixture[str]) -> None:
    code, out = run(capsys, "--list")
    head, _, *rows = out.splitlines()
    assert (code, head) == (0, "scenario            what happens")
    assert [row.split(" ", 1)[0] for row in rows] == list(SCENARIOS)
    assert all(row.endswith(".") and len(row) <= 80 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "no scenario 'nonsense'; --list tells their names"),
        (["--calls", "0"], "wanted 1 to 100000 calls at a rate of up to 1000 a second"),
        (["--calls", "9", "--rate", "0"], "wanted 1 to 100000 calls at a rate of up to 1000"),
        (["--calls", "9", "--rate", "1001"], "wanted 1 to 100000 calls at a rate of up to 1000"),
        (["--calls", "9", "--url", "https://example.com/"], "load is for a server on this machine"),
        (
            ["--calls", "9", "--url", "http://a.example\\@127.0.0.1/"],
            "load is for a server on this",
        ),
        (["--calls", "9", "busy"], "--calls takes no scenarios"),
        (["--calls", "9", "--json"], "--calls tells its figures as a table, not with --json"),
        (["--event", "x.json", "busy"], "--event takes no scenarios"),
        (["--api", "busy"], "--api takes no scenarios"),
        (["--rate", "20"], "--rate goes with --calls"),
        (["--port", "8082"], "--port goes with --api"),
        (["--answer", "2702", "--calls", "9"], "--answer goes with --api"),
        (["--unit", "days"], "--unit goes with --api"),
        (["--digit", "12"], "--digit: invalid choice: '12'"),
        (["--event", "x.json", "--calls", "9"], "not allowed with argument"),
        (["--no-signature", "--bad-signature"], "not allowed with argument"),
        (["--url", "127.0.0.1:8080"], "--url: wanted http://... or https://..."),
        (["--url", "nonsense"], "--url: wanted http://... or https://..."),
    ],
)
def test_what_cannot_be_played_is_said(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        simulator.main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_key_that_is_none_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TELESIGN_API_KEY", "no key")
    assert simulator.main(["--url", "http://127.0.0.1:9/"]) == 1
    assert "No call was played: wanted the key in base64" in capsys.readouterr().err


def test_a_key_that_is_none_is_said_of_the_session_endpoint_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TELESIGN_API_KEY", "no key")
    assert simulator.main(["--api"]) == 1
    assert "--api: TELESIGN_API_KEY: wanted the key in base64" in capsys.readouterr().err


def test_load_is_played_and_its_figures_told(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    started = time.monotonic()
    code, out = run(capsys, "--url", verified_server.url, "--calls", "40", "--rate", "40")
    figures = dict(line.split("  ", 1) for line in out.splitlines() if "  " in line)
    figures = {name: value.strip() for name, value in figures.items()}
    assert code == 0
    assert time.monotonic() - started >= 39 / 40
    assert figures["load"] == "40 calls/s"
    assert (figures["calls"], figures["answers"]) == ("40", "160")
    assert (figures["errors"], figures["wrong verdicts"]) == ("0", "0")
    p50, p99, most = (float(figures[name].split()[0]) for name in ("p50", "p99", "maximum"))
    assert 0 < p50 <= p99 <= most


def test_load_on_a_server_that_lies_or_is_away_tells_so(
    lying: Callable[[Answer], str], capsys: pytest.CaptureFixture[str]
) -> None:
    url = lying(says(incoming_call=facts.HANGUP))
    code, out = run(capsys, "--url", url, "--calls", "3", "--rate", "100")
    assert code == 1
    assert "wrong verdicts  3" in out
    assert "3 x wanted dial, got hangup" in out
    code, out = run(capsys, "--url", "http://127.0.0.1:9/", "--calls", "3", "--rate", "100")
    assert code == 1
    assert re.search(r"answers +0\nerrors +3\nwrong verdicts +0\n", out)


def test_load_tells_every_verdict(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    load = ("--url", verified_server.url, "--calls", "3", "--rate", "100")
    assert "3 x connected: neither person saw" in run(capsys, *load)[1]
    assert "3 x turned away: no number was told" in run(capsys, *load, "--bad-signature")[1]


def test_who_names_numbers_and_no_scenario_is_connected(
    verified_server: ServerProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = run(capsys, "--url", verified_server.url, "--to", facts.DIALLED, "--json")
    assert (code, [each["scenario"] for each in json.loads(out)]) == (0, ["connected"])


def test_an_event_that_is_a_nesting_bomb_is_sent_all_the_same(
    verified_server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bomb.json"
    path.write_text("[" * 60_000)
    code, out = run(capsys, "--url", verified_server.url, "--event", str(path))
    assert code == 1
    assert "FAILED: status: wanted 200, got 400" in out


# A server, if there is none


def simulate(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, ROOT / "simulator.py", *arguments],
        cwd=folder,
        env={"PATH": "", "MASKING_PORT": "9", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_alone_it_starts_a_server_with_a_key_and_stops_it(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    code, out, err = simulate(tmp_path, "all", "--json")
    assert (code, err) == (0, "")
    played = json.loads(out)
    assert [each["scenario"] for each in played] == list(SCENARIOS)
    assert all(each["passed"] for each in played)


def test_beside_a_server_it_uses_that_one(verified_server: ServerProcess, tmp_path: Path) -> None:
    environment = {"MASKING_PORT": str(verified_server.port), **facts.KEYS}

    def events() -> int:
        counts: dict[str, int] = verified_server.health()["events"]
        return sum(counts.values())

    before = events()
    assert simulate(tmp_path, **environment)[0] == 0
    assert events() == before + 6


def test_without_one_it_says_where_it_looked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASKING_HOST", "::1")
    monkeypatch.setenv("MASKING_PORT", "1")
    own = contextlib.nullcontext("http://127.0.0.1:9/")
    monkeypatch.setattr(simulator, "own_server", lambda _: own)
    assert simulator.main(["connected"]) == 1
    told = " ".join(capsys.readouterr().out.split())
    assert told.startswith("server: http://127.0.0.1:9/, started for this: none runs on")
    assert "http://[::1]:1 (--url names another)" in told


def test_a_server_that_does_not_start_is_said(tmp_path: Path) -> None:
    code, out, err = simulate(tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("No call was played: The server did not start:\n  allowlist.csv: wanted")


def test_something_else_on_the_port_is_not_taken_for_the_server(
    lying: Callable[[Answer], str],
) -> None:
    port = lying(says()).split(":")[2].rstrip("/")
    assert simulator.running_server({"MASKING_PORT": port}) is None
