"""Every scenario passes at the real server, and fails at a server that answers wrongly."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import PAYLOADS, payload
from processes import ServerProcess
from raw_servers import raw_server, saying
from reply_table import CASES, MESSAGES, SCREENING, Case
from scripted_server import Answer, incoming_calls, scripted_server, well_but

from tools import console
from tools.simulation import own_list, scenarios
from tools.simulation.call import Signer
from tools.simulation.own_list import OwnList
from tools.simulation.play import Target
from tools.simulation.scenarios import SCENARIOS, Chooser, ScenarioError, Unplayable
from tools.simulation.validator import Answer as Answered
from tools.simulation.validator import read_reply

SIGNER = Signer.from_environment(facts.KEYS)
UNSCREENED = [scenario.name for scenario in SCENARIOS.values() if not scenario.screened]


# At the real server


@pytest.fixture(scope="module")
def screening_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that asks for a digit and speaks to people who are not connected."""
    settings = SCREENING | MESSAGES
    environment = {f"MASKING_{name.upper()}": value for name, value in settings.items()}
    with ServerProcess(tmp_path_factory.mktemp("screening"), facts.KEYS | environment) as server:
        yield server


def assert_passes(name: str, server: ServerProcess) -> None:
    result = Target(server.url, SIGNER).play(SCENARIOS[name])
    assert (result.outcome, result.to_do) == ("passed", ""), result.verdict
    ids = [json.loads(exchange.sent)["reference_id"] for exchange in result.exchanges]
    assert ids
    assert all(reference_id.startswith("SIMULATED") for reference_id in ids)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_passes(name: str, screening_server: ServerProcess) -> None:
    assert_passes(name, screening_server)


@pytest.mark.parametrize("name", UNSCREENED)
def test_every_scenario_but_screening_passes_without_a_digit_set(
    name: str, verified_server: ServerProcess
) -> None:
    assert_passes(name, verified_server)


@pytest.mark.parametrize(("skips", "outcome"), [(False, "failed"), (True, "skipped")])
def test_screening_fails_without_a_digit_set_or_is_skipped(
    skips: bool, outcome: str, verified_server: ServerProcess
) -> None:
    target = Target(verified_server.url, SIGNER, skips=skips)
    result = target.play(SCENARIOS["screening-declined"])
    assert (result.outcome, result.verdict) == (
        outcome,
        "wanted speak with collect_digits (set accept_digit), got speak",
    )


@pytest.mark.parametrize("name", ["forged", "unsigned"])
def test_where_neither_side_has_a_key_a_rejection_is_skipped(name: str) -> None:
    def play(signer: Signer, answer: Answer, *, skips: bool) -> tuple[str, str]:
        with scripted_server(answer) as url:
            result = Target(url, signer, skips=skips).play(SCENARIOS[name])
        return result.outcome, result.verdict

    no_key = (
        "status: wanted 401 without a valid signature, got 200 (the server verifies no signatures)"
    )
    assert play(Signer(), well_but(), skips=True) == ("skipped", no_key)
    assert play(Signer(), well_but(), skips=False) == ("failed", no_key)
    assert play(SIGNER, well_but(), skips=True) == ("failed", no_key)
    leak: Answer = lambda _: ("401 No", {"to": "12025550111"})  # noqa: E731
    assert play(Signer(), leak, skips=True)[0] == "failed"


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row.event} after {row.before}")
def test_every_row_of_the_reply_table_is_what_telesign_takes(row: Case) -> None:
    event = json.loads(payload(row.event))
    answer = Answered(200, "application/json", json.dumps(row.answer).encode(), 0.1)
    assert read_reply(event["event"], event["data"].get("from"), answer).faults == ()


# At servers that answer wrongly

SPEAK = {"method": "speak", "params": {"tts": {"message": "Hello"}}}
ASK = {"method": "speak", "params": {"tts": {"message": "1?"}, "collect_digits": {"max": 1}}}


def dial(to: str, shown: str = facts.MASKING_ID, **more: str) -> dict[str, Any]:
    return {"method": "dial", "params": {"to": to, "caller_id_number": shown, **more}}


OTHER_DIAL = dial("12025550144")
LEAK = dial("12025550144", facts.CALLER)

WRONG = [
    ("connected", well_but(incoming_call=facts.HANGUP), "wanted dial, got hangup"),
    ("connected", well_but(incoming_call=SPEAK), "wanted dial, got speak"),
    ("connected", well_but(incoming_call=LEAK),
     "params.caller_id_number: wanted a masking ID, got the caller's own number"),
    ("connected", well_but(dial_completed=facts.HANGUP),
     "wanted the live call to go on, got hangup"),
    ("connected", well_but(dial_completed=SPEAK, speak_completed=facts.HANGUP),
     "wanted the live call to go on, got hangup"),
    ("connected", well_but(call_completed=("500 Oops", {})), "status: wanted 200, got 500"),
    ("refused", well_but(), "wanted a refusal, got dial"),
    ("refused", well_but(incoming_call=SPEAK), "wanted hangup, got no action"),
    ("wrong-caller", well_but(), "wanted a refusal, got dial"),
    ("withheld-caller", well_but(), "wanted a refusal, got dial"),
    ("expired", well_but(), "wanted a refusal, got dial"),
    ("busy", well_but(), "wanted hangup, got no action"),
    ("no-answer", well_but(dial_completed=SPEAK), "wanted hangup, got no action"),
    ("failed", well_but(), "wanted hangup, got no action"),
    ("callee-hangs-up", well_but(call_leg_completed={}), "wanted hangup, got no action"),
    ("caller-hangs-up", well_but(dial_completed=("503 No", {})), "status: wanted 200, got 503"),
    ("screening-accepted", well_but(dial_completed=ASK, speak_completed=facts.HANGUP),
     "wanted the live call to go on after 1 was pressed (--digit), got hangup"),
    ("screening-declined", well_but(dial_completed=ASK), "wanted hangup, got no action"),
    ("pair", well_but(),
     "params.to: wanted another person's number, got the caller's own number"),
    ("pair", incoming_calls(facts.DIAL, OTHER_DIAL),
     "wanted 12025550111 to reach 12025550123, got 12025550144"),
    ("duplicate", incoming_calls(OTHER_DIAL, facts.HANGUP),
     'wanted the same answer to both deliveries, got dial {"to": "12025550144",'
     ' "caller_id_number": "12025550199"} and hangup {}'),
    ("duplicate", incoming_calls(OTHER_DIAL, dial("12025550111")),
     'wanted the same answer to both deliveries, got dial {"to": "12025550144",'
     ' "caller_id_number": "12025550199"} and dial {"to": "12025550111",'
     ' "caller_id_number": "12025550199"}'),
    ("out-of-order", well_but(speak_completed=facts.HANGUP),
     "wanted the live call to go on, got hangup"),
    ("replay", well_but(), "wanted hangup, got dial"),
    ("forged", well_but(),
     "status: wanted 401 without a valid signature, got 200 (the server verifies no signatures)"),
    ("unsigned", lambda _: ("401 No", {"to": "12025550111"}),
     "body: wanted no number without a valid signature, got one"),
    ("unknown-event", well_but(call_quality_reported=facts.HANGUP),
     "wanted the live call to go on, got hangup"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "answer", "verdict"), WRONG)
def test_a_scenario_fails_at_a_server_that_answers_wrongly(
    name: str, answer: Answer, verdict: str
) -> None:
    with scripted_server(answer) as url:
        result = Target(url, SIGNER).play(SCENARIOS[name])
    assert (result.outcome, result.verdict) == ("failed", verdict)


def test_every_scenario_is_failed_by_some_server() -> None:
    assert {name for name, _, _ in WRONG} == set(SCENARIOS)


def test_a_busy_call_passes_where_hangup_answers_the_failed_dial() -> None:
    def answer(event: dict[str, Any]) -> Any:
        failed = event["event"] == "dial_completed" and event["data"]["status"] != "answered"
        return facts.HANGUP if failed else well_but()(event)

    with scripted_server(answer) as url:
        assert Target(url, SIGNER).play(SCENARIOS["busy"]).outcome == "passed"


def test_the_two_calls_of_a_pair_have_ids_of_their_own(verified_server: ServerProcess) -> None:
    result = Target(verified_server.url, SIGNER).play(SCENARIOS["pair"])
    assert len({json.loads(exchange.sent)["reference_id"] for exchange in result.exchanges}) == 2


# Whose list is known

HEADER = "to,from,destination,greeting,language,external_id,send_dtmf\n"
TO_THE_DESK = f"{facts.DIALLED},,{facts.DESTINATION}"
SAYS_ALL = f'{HEADER}{TO_THE_DESK},"Hello, driver",es-ES,trip 1,ww6458#\n'
SAYS_NOTHING = f"{HEADER}{TO_THE_DESK},,,,\n"


def asking(**more: str) -> dict[str, Any]:
    return dial(facts.DESTINATION, **more)


def speaking(**tts: str) -> dict[str, Any]:
    return {"method": "speak", "params": {"tts": tts}}


AS_LISTED = asking(external_id="trip 1", send_dtmf="ww6458#")
DRIVER = speaking(message="Hello, driver", language="es-ES")


def verdict_on(text: str, dialled: Any, greeted: Any, folder: Path, *, is_served: bool) -> str:
    """Return what is said of a call to a server that answers so, whose list may be known."""
    connected = chooser(folder, text, is_served=is_served).choose(SCENARIOS["connected"])
    with scripted_server(well_but(incoming_call=dialled, dial_completed=greeted)) as url:
        result = Target(url, SIGNER).play(connected)
    return f"{result.outcome}: {result.verdict}"


CONNECTED = "passed: connected: neither person saw the other's number"


@pytest.mark.parametrize(
    ("text", "dialled", "greeted", "verdict"),
    [
        (SAYS_ALL, AS_LISTED, DRIVER, CONNECTED),
        (SAYS_ALL, asking(send_dtmf="ww6458#"), DRIVER,
         "failed: external_id: wanted 'trip 1', as in the list, got nothing"),
        (SAYS_ALL, asking(external_id="trip 2", send_dtmf="ww6458#"), DRIVER,
         "failed: external_id: wanted 'trip 1', as in the list, got 'trip 2'"),
        (SAYS_ALL, asking(external_id="trip 1", send_dtmf="6458#"), DRIVER,
         "failed: send_dtmf: wanted keys 'ww6458#', as in the list, got keys '6458#'"),
        (SAYS_ALL, AS_LISTED, speaking(message="Hello", language="es-ES"),
         "failed: greeting: wanted 'Hello, driver', as in the list, got 'Hello'"),
        (SAYS_ALL, AS_LISTED, {},
         "failed: greeting: wanted 'Hello, driver', as in the list, got nothing"),
        (SAYS_ALL, AS_LISTED, speaking(message="Hello, driver"),
         "failed: language: wanted 'es-ES', as in the list, got nothing"),
        (SAYS_NOTHING, asking(), speaking(message="Hello", language="en-US"), CONNECTED),
        (SAYS_NOTHING, asking(), {}, CONNECTED),
        (SAYS_NOTHING, asking(external_id="trip 1"), {},
         "failed: external_id: wanted nothing, as in the list, got 'trip 1'"),
        (SAYS_NOTHING, asking(send_dtmf="1"), {},
         "failed: send_dtmf: wanted nothing, as in the list, got keys '1'"),
        (f"{HEADER}{TO_THE_DESK},,es-ES,,\n", asking(), {}, CONNECTED),
        (f"{HEADER}{TO_THE_DESK},,es-ES,,\n", asking(), speaking(message="Hi", language="en-US"),
         "failed: language: wanted 'es-ES', as in the list, got 'en-US'"),
    ],
)  # fmt: skip
def test_where_the_list_of_the_server_is_known_a_call_is_what_its_row_says(
    text: str, dialled: Any, greeted: Any, verdict: str, tmp_path: Path
) -> None:
    assert verdict_on(text, dialled, greeted, tmp_path, is_served=True) == verdict
    assert verdict_on(text, dialled, greeted, tmp_path, is_served=False) == CONNECTED


def test_each_way_of_a_pair_is_what_its_own_row_says(tmp_path: Path) -> None:
    there, back = (f"{facts.RIDER},{facts.DRIVER}", f"{facts.DRIVER},{facts.RIDER}")
    rows = f"{facts.PAIR_NUMBER},{there},,,trip 1,\n{facts.PAIR_NUMBER},{back},,,trip 2,\n"
    pair = chooser(tmp_path, HEADER + rows, is_served=True).choose(SCENARIOS["pair"])
    dials = [
        dial(to, external_id=external_id)
        for to, external_id in (
            (facts.DRIVER, "trip 1"), (facts.RIDER, "trip 2"),
            (facts.DRIVER, "trip 1"), (facts.RIDER, "trip 1"),
        )
    ]  # fmt: skip
    with scripted_server(incoming_calls(*dials)) as url:
        results = [Target(url, SIGNER).play(pair) for _ in range(2)]
    assert [result.verdict for result in results] == [
        "connected both ways: each reached the other",
        "external_id: wanted 'trip 2', as in the list, got 'trip 1'",
    ]


# The table


def test_scenarios_are_chosen_by_name_in_the_order_given() -> None:
    assert [scenario.name for scenario in scenarios.choose(["busy", "pair"])] == ["busy", "pair"]


def test_all_chooses_every_scenario() -> None:
    assert scenarios.choose(["busy", "all"]) == list(SCENARIOS.values())


def test_an_unknown_scenario_is_an_error() -> None:
    with pytest.raises(ScenarioError, match="unknown scenario 'nonsense'; see --list"):
        scenarios.choose(["busy", "nonsense", "all"])


def test_the_scenarios_are_listed_with_a_sentence_each() -> None:
    out = StringIO()
    scenarios.print_table(console.terminal(out))
    head, _, *rows = out.getvalue().splitlines()
    assert head == "scenario            what happens"
    assert [row.split(" ", 1)[0] for row in rows] == list(SCENARIOS)
    assert all(row.endswith(".") and len(row) <= 80 for row in rows)


# The numbers


def chooser(tmp_path: Path, text: str, **given: Any) -> Chooser:
    path = tmp_path / "own.csv"
    path.write_text(text)
    return Chooser(lambda: own_list.read(path), **given)


ONE_ROW = f"to,destination\n{facts.DIALLED},{facts.DESTINATION}\n"
BOTH: dict[str, Any] = {"to": facts.DIALLED, "caller": facts.CALLER}


def test_a_scenario_that_the_list_cannot_show_is_not_playable(tmp_path: Path) -> None:
    choose = chooser(tmp_path, ONE_ROW).choose
    assert choose(SCENARIOS["busy"]).to == facts.DIALLED
    with pytest.raises(Unplayable) as raised:
        choose(SCENARIOS["expired"])
    assert str(raised.value) == f"wanted a row that has expired, got none in {tmp_path}/own.csv"


def test_a_number_that_is_given_stays_and_the_other_one_fits_it(tmp_path: Path) -> None:
    text = f"{facts.ALLOW_LIST}{facts.NOT_LISTED},{facts.STRANGER},{facts.DESTINATION},,,,\n"
    to = chooser(tmp_path, text, to=facts.NOT_LISTED).choose(SCENARIOS["connected"])
    assert (to.to, to.caller) == (facts.NOT_LISTED, facts.STRANGER)
    caller = chooser(tmp_path, text, caller=facts.DRIVER).choose(SCENARIOS["pair"])
    assert (caller.to, caller.caller) == (facts.PAIR_NUMBER, facts.DRIVER)


def test_a_number_that_does_not_fit_is_played_unless_all_scenarios_are(tmp_path: Path) -> None:
    """Somebody asks for this scenario with this number, so that its answer is of interest."""
    given: dict[str, Any] = {"to": facts.NOT_LISTED}
    chosen = chooser(tmp_path, ONE_ROW, **given).choose(SCENARIOS["connected"])
    assert (chosen.to, chosen.caller) == (facts.NOT_LISTED, facts.CALLER)
    chosen = chooser(tmp_path, "to\n", **given).choose(SCENARIOS["pair"])
    assert (chosen.to, chosen.caller) == (facts.NOT_LISTED, facts.CALLER)
    with pytest.raises(Unplayable, match=r"got none in .*own\.csv for the number"):
        chooser(tmp_path, ONE_ROW, **given, skips=True).choose(SCENARIOS["connected"])


@pytest.mark.parametrize("skips", [True, False])
def test_the_list_is_not_read_for_two_numbers_that_are_given(*, skips: bool) -> None:
    def read_list() -> OwnList:
        raise AssertionError

    choose = Chooser(read_list, **BOTH, skips=skips, is_served=True).choose
    for name in "connected", "forged":
        chosen = choose(SCENARIOS[name])
        assert (chosen.to, chosen.caller) == (facts.DIALLED, facts.CALLER)
    if skips:
        with pytest.raises(Unplayable, match="--from and --to name a call to connect"):
            choose(SCENARIOS["refused"])
    else:
        assert choose(SCENARIOS["refused"]).to == facts.DIALLED
    any_numbers = Chooser(read_list, is_served=True).choose(SCENARIOS["forged"])
    assert any_numbers == SCENARIOS["forged"]


# Events from a file


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"event": "a", "reference_id": "a"}, {"event": "a", "reference_id": "SIMULATEDa"}),
        ({"reference_id": "SIMULATED1"}, {"reference_id": "SIMULATED1"}),
        ({"reference_id": 1}, {"reference_id": 1}),
        ({"x": "y"}, {"x": "y"}),
    ],
)
def test_the_event_of_a_file_is_marked_and_otherwise_sent_as_it_is(
    message: dict[str, Any], sent: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(message))
    with raw_server(saying(b"")) as server:
        target = Target(f"http://127.0.0.1:{server.port}/", SIGNER)
        assert target.play(scenarios.from_file(path)).outcome == "failed"
    assert json.loads(server.got[0].partition(b"\r\n\r\n")[2]) == sent


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("incoming_call", "dial: TeleSign would take it"),
        ("incoming_call_not_listed", "hangup: TeleSign would take it"),
        ("call_completed", "no action: TeleSign would take it"),
        ("sms_session_callback", "status: wanted 200, got 400"),
    ],
)
def test_the_answer_to_the_event_of_a_file_is_read_as_telesign_would(
    name: str, verdict: str, verified_server: ServerProcess, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.json"
    path.write_bytes(payload(name).replace(facts.REFERENCE_ID.encode(), name.encode()))
    result = Target(verified_server.url, SIGNER).play(scenarios.from_file(path))
    assert (result.scenario, result.verdict) == (path.name, verdict)
    assert (result.outcome == "passed") == ("TeleSign" in verdict)


def test_the_answer_may_not_show_the_caller_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(payload("incoming_call"))
    with scripted_server(well_but(incoming_call=LEAK)) as url:
        result = Target(url, SIGNER).play(scenarios.from_file(path))
    assert "wanted a masking ID, got the caller's own number" in result.verdict


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "[" * 60_000, "\ud800"])
def test_a_file_that_holds_no_event_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "event.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ScenarioError, match=r"event\.json: wanted the JSON object of one event"):
        scenarios.from_file(path)


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(ScenarioError, match=r"none\.json: No such file or directory"):
        scenarios.from_file(PAYLOADS / "none.json")
