"""`calls`: what it shows of the log, and that no number is shown in full unless asked for."""

import csv
import io
import json
import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import facts
import pytest
from call_logs import DIAL, Servers, all_rows, delivering
from command_line import deliver_some_calls, ids, of
from databases import EACH_DATABASE, log_in_sqlite
from helpers import Clock, PrintedLines, post
from old_logs import make_old_log
from zones import machine_in, needs_tzset

import events
from call_log import writer
from call_log.store import Row, row_of
from calls import Decision, Delivery
from commands import Hangup, NoAction
from routing import Reason

log_url = log_in_sqlite


def record_of(call: str, **values: Any) -> dict[str, Any]:
    """Return a call as JSON has it, of which nothing but these is known."""
    names = ("ended", "caller", "dialled", "destination", "masking_id", "row", "external_id")
    more = ("reason", "status", "wait_s", "talk_s", "number")
    nothing = dict.fromkeys((*names, *more))
    return {"reference_id": call, "simulated": False} | nothing | values


@EACH_DATABASE
def test_the_last_calls_as_json(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver_some_calls(deliver, clock)
    answer = ask("calls", "--json", "--since", "2026-01-01")
    assert answer.returncode == 0
    assert ids(answer) == ["=1+1", "refused", "busy", "end-only", "answered"]
    _, refused, _, _, answered = json.loads(answer.stdout)
    assert refused == record_of(
        "refused",
        disposition="in progress",
        began="2026-11-24T12:00:06.000Z",
        caller="...0123",
        dialled="...0177",
        reason="not_listed",
    )
    assert isinstance(answered["number"], int)
    assert answered == record_of(
        "answered",
        disposition="connected",
        began="2026-03-15T06:48:22.151Z",
        ended="2026-03-15T06:48:28.151Z",
        caller="...0123",
        dialled="...0100",
        destination="...0111",
        masking_id=facts.MASKING_ID,
        row=2,
        status="answered",
        wait_s=1.0,
        talk_s=4.0,
        number=answered["number"],
    )


TABLE = """\
UTC          id ends   caller    dialled  wait  talk  what became of it
-----------  --------  --------  -------  ----  ----  --------------------------
11-23 12:00  aits-ABC  ...0123   ...0100  0:01        in progress: ...0111 saw
                                                      12025550199
11-23 12:00  withheld  withheld  ...0100              in progress: ...0111 saw
                                                      12025550199
11-23 12:00  refused   ...0123   ...0177              in progress, refused:
                                                      not_listed
03-15 06:48  busy      ...0123   ...0100              busy: ...0111 saw
                                                      12025550199
03-15 06:48  end-only                     0:02  0:04  connected: ...0111
"""


@pytest.mark.usefixtures("terminal")
def test_the_last_calls_as_a_table(deliver: Any, ask: Any) -> None:
    deliver("end-only", "call_completed")
    deliver("busy", "incoming_call", "dial_completed_busy")
    deliver("busy", "call_completed", OUTBOUND="inbound")
    deliver("refused", "incoming_call_not_listed")
    deliver("withheld", "incoming_call_withheld")
    deliver("waits-ABC", "incoming_call", "dial_completed_answered")
    assert ask("calls").stdout == TABLE


def test_numbers_are_shown_in_full_only_when_asked_for(
    deliver: Any, ask: Any, clock: Clock
) -> None:
    deliver_some_calls(deliver, clock)
    hidden = {facts.CALLER, facts.DIALLED, facts.DESTINATION}
    forms = ["", "answered --json"]
    for form in forms:
        words = form.split()
        assert not any(number in ask("calls", *words).stdout for number in hidden), form
        full = ask("calls", "--full", *words).stdout
        assert all(number in full for number in hidden), form


def keep(url: str, rows: list[Row]) -> None:
    store = writer.store_of(url)
    store.open()
    with store.transaction():
        store.keep(rows)
    store.close()


CARD = "4012888888881881"
SAID = "+1 (202) 555-0142"  # by TeleSign, where nobody expects a number
REVEALING = [
    {"event": f"moved_to_{SAID}", "data": {"who": SAID}},
    {"event": "dial_completed", "data": {"status": f"moved to {SAID}"}},
    {"event": "speak_completed", "data": {"collected_digits": CARD}},
    {"event": "play_completed", "data": {"collected_digits": "42"}},
    {
        "event": "call_completed",
        "data": {
            "created_on_utc": "2026-03-15T06:48:22",
            "direction": f"from {SAID}",
            "to": SAID,
            "from": SAID,
            "duration": 12025550142,
            "audio_recording_file_name": f"0e12025550142f_{SAID}_①②⓪②⑤⑤⑤⓪①④②_1773557302.wav",
        },
    },
]


@pytest.fixture
def revealing(log_url: str, clock: Clock) -> str:
    """The id of a call whose every text holds a number."""
    bodies = [json.dumps({"reference_id": "revealing", **event}).encode() for event in REVEALING]
    deliveries = [Delivery(events.parse(body), body, clock()) for body in bodies]
    keep(log_url, [row_of(delivery, Decision(NoAction())) for delivery in deliveries])
    return "revealing"


def decoded(text: str, number: int) -> str:
    """Return the digits of a text, whatever is between them, and JSON's escapes undone.

    The number of a record goes first: the time of the day makes it, so it may be any digits.
    """
    text = text.replace(str(number), "")
    text = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), text)
    return "".join(str(unicodedata.digit(char)) for char in text if char.isdigit())


@pytest.mark.parametrize("form", ["", "--json", "--csv"])
@pytest.mark.parametrize("which", [[], ["revealing"]], ids=["the last calls", "one call"])
def test_no_text_of_telesign_shows_a_number_unless_asked_for(
    revealing: str, ask: Any, form: str, which: list[str]
) -> None:
    words = [*which, *form.split()]
    (call,) = json.loads(ask("calls", "--json").stdout)
    shown = decoded(ask("calls", *words).stdout, call["number"])
    for hidden in ("555014", "888888", "177355"):
        assert hidden not in shown
    full = ask("calls", "--full", *words).stdout
    assert SAID in full
    assert (CARD in full) == (form == "--json" and which != [])  # in the body of its event
    assert revealing[-8:] in full


def test_a_redacted_text_keeps_its_shape(revealing: str, ask: Any) -> None:
    (call,) = json.loads(ask("calls", revealing, "--json").stdout)
    assert call["status"] == "moved to +* (***) ***-0142"
    assert [event["event"] for event in call["events"]] == [
        "moved_to_+* (***) ***-0142",
        *(event["event"] for event in REVEALING[1:]),
    ]
    assert call["legs"] == [
        {
            "direction": "from +* (***) ***-0142",
            "from_number": "...0142",
            "to_number": "...0142",
            "created": "2026-03-15T06:48:22.000Z",
            "answered": None,
            "ended": None,
        }
    ]
    (full,) = json.loads(ask("calls", revealing, "--json", "--full").stdout)
    assert full["status"] == f"moved to {SAID}"
    assert "from +* (***) ***-0142, ...0142 to ...0142" in ask("calls", revealing).stdout


ONE_CALL = """\
 Caller                 TeleSign                 Server                  Called
    │ ...0123 dials ...0100 │                       │                       │
    │──────────────────────>│                       │                       │
    │                       │ 12:00:00              │                       │
    │                       │ incoming_call (2      │                       │
    │                       │ times, last 12:00:01) │                       │
    │                       │──────────────────────>│                       │
    │                       │ dial                  │                       │
    │                       │<──────────────────────│                       │
    │                       │ rings ...0111, showing 12025550199            │
    │                       │──────────────────────────────────────────────>│
    │                       │ answered              │                       │
    │                       │<──────────────────────────────────────────────│
    │                       │ 12:00:02              │                       │
    │                       │ dial_completed        │                       │
    │                       │──────────────────────>│                       │
    │                       │ speak                 │                       │
    │                       │<──────────────────────│                       │
    │                       │ 12:00:03              │                       │
    │                       │ call_completed        │                       │
    │                       │──────────────────────>│                       │
    │                       │ no action             │                       │
    │                       │<──────────────────────│                       │
    │                       │                       │                       │

times          UTC
reference id   one
disposition    connected
began          2026-03-15T06:48:22.151Z
ended          2026-03-15T06:48:28.151Z
caller         ...0123
dialled        ...0100
destination    ...0111
masking id     12025550199
row            line 2 of the allow-list, as it was
status         answered
wait           2.0 s
talk           4.0 s
leg            outbound, ...0199 to ...0111, created 2026-03-15T06:48:22.151Z,
    answered 2026-03-15T06:48:24.151Z, ended 2026-03-15T06:48:28.151Z
"""


@pytest.mark.usefixtures("terminal")
def test_one_call_as_a_ladder_its_record_its_row_and_its_legs(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call", "incoming_call", "dial_completed_answered", "call_completed")
    assert ask("calls", "one").stdout == ONE_CALL
    (drawn,) = json.loads(ask("calls", "one", "--json", "--full").stdout)
    assert [(event["event"], event["deliveries"]) for event in drawn["events"]] == [
        ("incoming_call", 2),
        ("dial_completed", 1),
        ("call_completed", 1),
    ]
    assert drawn["events"][0]["answer"] == facts.DIAL
    assert drawn["events"][0]["body"] == json.loads(of("one", "incoming_call"))
    assert [leg["to_number"] for leg in drawn["legs"]] == [facts.DESTINATION]


def test_a_talk_of_no_length_is_shown(deliver: Any, ask: Any) -> None:
    ended = {"ENDED_AT": "2026-03-15T06:48:24.151"}
    deliver("one", "incoming_call", "dial_completed_answered")
    deliver("one", "call_completed", **ended)
    assert "talk           0.0 s\n" in ask("calls", "one").stdout


def test_the_calls_as_csv_that_no_spreadsheet_calculates(
    deliver: Any, ask: Any, clock: Clock
) -> None:
    deliver_some_calls(deliver, clock)
    for call in "+1", "-1", "@sum":
        deliver(call, "incoming_call_not_listed")
    table = list(csv.DictReader(io.StringIO(ask("calls", "--csv").stdout)))
    assert [row["reference_id"] for row in table][:4] == ["'@sum", "'-1", "'+1", "'=1+1"]
    assert table[-1]["disposition"] == "connected"
    assert table[-1]["talk_s"] == "4.0"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("  =1+1", "  '=1+1"),
        ("busy;=1+1", "busy;'=1+1"),
        ("busy,+1,@sum", "busy,'+1,'@sum"),
        ('busy;"=1+1"', 'busy;"\'=1+1"'),
        ("busy|-1", "busy|'-1"),
        ("busy -1", "busy '-1"),
        ("\t=1", "\\t=1"),  # a backslash: there is no tab any more, nor an end of a line
        ("a\t=1\r=2\n=3", "a\\t=1\\r=2\\n=3"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("busy;\uff0b1 \uff0d1,\uff20a", "busy;'\uff0b1 '\uff0d1,'\uff20a"),
        ("no-answer a=b 1+1 x@y", "no-answer a=b 1+1 x@y"),
        ("", ""),
    ],
)
def test_a_cell_begins_no_formula_wherever_a_spreadsheet_parts_it(
    text: str, cell: str, log_url: str, ask: Any, clock: Clock
) -> None:
    event = {"event": "dial_completed", "reference_id": "one", "data": {"status": text}}
    body = json.dumps(event).encode()
    keep(log_url, [row_of(Delivery(events.parse(body), body, clock()), Decision(NoAction()))])
    (row,) = csv.DictReader(io.StringIO(ask("calls", "--csv", "--full").stdout))
    assert row["status"] == cell


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("--last 2", ["=1+1", "refused"]),
        ("--disposition connected", ["end-only", "answered"]),
        ("--disposition unknown", ["busy"]),
        ("--disposition refused", []),
        ("--reason not_listed", ["refused"]),
        ("--reason loop", []),
        ("--live", ["=1+1"]),
        ("--number 12025550177", ["refused"]),
        ("--number +1(202)555-0123", ["refused", "busy", "answered"]),
        ("--number 12025550111", ["busy", "end-only", "answered"]),
        ("--number 12025550142", []),
        ("--number 0177", ["refused"]),
        ("--number ...0177", ["refused"]),
        ("--number 550199", ["busy", "answered"]),
        ("--number 5550177", []),
        ("--number 0142", []),
        ("--since today", ["=1+1", "refused"]),
        ("--since yesterday --until today", ["busy"]),
        ("--since 25h", ["=1+1", "refused", "busy"]),
        ("--since 90m", ["=1+1", "refused"]),
        ("--until 7d", ["end-only", "answered"]),
        ("--since 2026-11-24", ["=1+1", "refused"]),
        ("--until 2026-11-23", ["end-only", "answered"]),
        ("--since 2026-11-24T13:00:00+01:00 --last 1", ["=1+1"]),
    ],
)
def test_filters_leave_out_the_other_calls(
    deliver: Any, ask: Any, clock: Clock, words: str, found: list[str]
) -> None:
    deliver_some_calls(deliver, clock)
    assert ids(ask("calls", "--json", *words.split())) == found


def test_a_refused_call_is_not_live_though_its_end_is_to_come(deliver: Any, ask: Any) -> None:
    deliver("ended", "incoming_call", "call_completed")
    deliver("talks", "incoming_call", "dial_completed_answered")
    deliver("refused", "incoming_call_not_listed")
    assert ids(ask("calls", "--json", "--live")) == ["talks"]
    in_progress = ids(ask("calls", "--json", "--disposition", "in progress"))
    assert in_progress == ["refused", "talks"]


def test_the_calls_of_an_order_are_found_by_its_id_also_while_they_last(
    deliver: Any, ask: Any, servers: Servers
) -> None:
    deliver("without", "incoming_call", "call_completed")
    listed = f"to,destination,external_id\n{facts.DIALLED},{facts.DESTINATION},trip 1\n"
    app = servers.start(listed)
    post(app, of("over", "incoming_call"))
    post(app, of("over", "call_completed"))
    servers.clock.sleep(1)
    post(app, of("live", "incoming_call"))
    for words, found in {"trip 1": ["live", "over"], "trip": [], "TRIP 1": []}.items():
        assert ids(ask("calls", "--json", "--external-id", words)) == found
    shown = ask("calls", "--external-id", "trip 1", "--last", "1").stdout
    assert " ".join(shown.split()[-5:]) == "...0111 saw 12025550100, trip 1"
    assert "external id    trip 1\n" in ask("calls", "live").stdout


def test_a_number_in_a_body_alone_is_not_looked_for(deliver: Any, ask: Any) -> None:
    """Only `forget` searches every body."""
    deliver("one", "unknown_event", NOT_LISTED="12025550177")
    deliver("two", "call_completed", MASKING_ID=facts.STRANGER)
    assert ids(ask("calls", "--json", "--number", facts.STRANGER)) == []


WANTED_TIME = (
    "wanted today, yesterday, a span before now such as 2h, or a date or time such as"
    " 2026-11-23T18:00"
)


@pytest.fixture
def many(log_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty-seven calls, of which every third was refused, and two of three have ended."""
    rows = []
    for n in range(67):
        decision = DIAL if n % 3 else Decision(Hangup(), Reason.NOT_LISTED)
        for body in [of(f"call-{n}", "incoming_call")] + [end_of(f"call-{n}")] * (n % 3 != 1):
            rows.append(row_of(Delivery(events.parse(body), body, clock()), decision))
        clock.sleep(1)
    keep(log_url, rows)
    monkeypatch.setattr("tools.history.stored._PAGE", 7)


def end_of(call: str) -> bytes:
    return f'{{"event":"call_completed","reference_id":"{call}","data":{{}}}}'.encode()


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("words", "shown", "count"),
    [
        ("", 50, 67),
        ("--last 66", 66, 67),
        ("--last 67", 67, 67),
        ("--last 999", 67, 67),
        ("--since 2026-11-23", 50, 67),
        ("--since 2026-11-23 --last 67", 67, 67),
        ("--disposition refused", 23, 23),
        ("--disposition refused --last 22", 22, 23),
        ("--since 2026-11-23T12:01:06 --last 1", 1, 1),
        ("--since 2026-11-25", 0, 0),
    ],
)
@pytest.mark.parametrize("form", ["--json", "--csv", ""])
def test_the_last_fifty_are_shown_and_how_many_pass(
    ask: Any, form: str, words: str, shown: int, count: int
) -> None:
    answer = ask("calls", *form.split(), *words.split())
    calls = [n for n in reversed(range(67)) if "refused" not in words or n % 3 == 0]
    found = re.findall(r"\bcall-[0-9]+", answer.stdout)
    assert found == [f"call-{n}" for n in calls[:shown]]
    more = f"calls: {count} calls pass, the last {shown} are shown; a larger --last shows more\n"
    assert answer.stderr == (more if shown < count else "")


@pytest.mark.usefixtures("deliver")
def test_an_empty_log_is_said_to_be_empty(ask: Any) -> None:
    nothing = "no calls: none is in the log, or none passes (--simulated: simulated ones as well)\n"
    assert ask("calls").stdout == nothing
    assert ask("calls", "--json").stdout == "[]\n"


@pytest.mark.parametrize("filter_", ["--last 3", "--number 0123", "--since today"])
def test_one_call_and_filters_are_not_asked_for_at_once(ask: Any, filter_: str) -> None:
    answer = ask("calls", "call-1", *filter_.split())
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == ("calls: wanted a reference id or filters, got both\n")


@pytest.mark.usefixtures("deliver")
def test_an_unknown_reference_id_is_no_call(ask: Any) -> None:
    answer = ask("calls", "nowhere")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == (
        "calls: wanted the reference id of a call in the log, or its last 6 or more characters,"
        " got 'nowhere'\n"
    )


def test_reading_needs_a_log_and_makes_none(ask: Any, tmp_path: Path) -> None:
    ended = ask("calls")
    assert ended.returncode == 1
    assert (
        ended.stderr == f"calls: {tmp_path}/calls.db: there is no call log yet; a server makes it\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["calls", "report", "live-check", "forget 12025550123"])
def test_no_command_reads_a_log_that_is_not_kept(
    ask: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("MASKING_CALL_LOG", "")
    Path("allowlist.csv").write_text(facts.ALLOW_LIST)
    answer = ask(*command.split())
    assert (answer.returncode, answer.stdout) == (1, "")
    name = command.split(maxsplit=1)[0]
    assert answer.stderr == f"{name}: call_log is empty, so no call is kept\n"


def test_the_calls_are_shown_though_the_allow_list_is_faulty(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call")
    Path("allowlist.csv").write_text("to,who\n")
    assert ids(ask("calls", "--json")) == ["one"]


@pytest.mark.usefixtures("terminal")
def test_the_table_of_the_longest_reason_fits_on_80_columns(
    log_url: str, ask: Any, deliver: Any, clock: Clock
) -> None:
    deliver("one", "incoming_call", "dial_completed_answered", "call_completed")
    body = of(f"SIMULATED{'F' * 23}", "incoming_call_withheld")
    longest = Decision(Hangup(), Reason.CALLER_IS_DESTINATION)
    keep(log_url, [row_of(Delivery(events.parse(body), body, clock()), longest)])
    shown = ask("calls", "--simulated").stdout.splitlines()
    assert max(map(len, shown)) <= 80
    assert "in progress, refused: caller_is_destination" in " ".join("".join(shown).split())
    assert shown[-1] == "* simulated"


def test_calls_of_long_ago_are_shown_with_their_year(deliver: Any, ask: Any, clock: Clock) -> None:
    deliver("one", "incoming_call")
    clock.sleep(86_400 * 300)
    assert "\n2026-11-23 12:00  one" in ask("calls").stdout


SIMULATED = "SIMULATED0123456789ABCDEF0123456"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ["real"]),
        ("--simulated", [SIMULATED, "real"]),
        ("--number 12025550123", ["real"]),
        ("--number 12025550123 --simulated", [SIMULATED, "real"]),
        (SIMULATED, [SIMULATED]),
        ("ABCDEF0123456", [SIMULATED]),
    ],
)
def test_simulated_calls_are_shown_where_they_are_asked_for_and_marked(
    deliver: Any, ask: Any, words: str, found: list[str]
) -> None:
    deliver("real", "incoming_call")
    deliver(SIMULATED, "incoming_call")
    answer = ask("calls", "--json", *words.split())
    assert ids(answer) == found
    assert [call["simulated"] for call in json.loads(answer.stdout)] == [
        name == SIMULATED for name in found
    ]


def test_a_simulated_call_is_marked_in_every_form(deliver: Any, ask: Any) -> None:
    deliver(SIMULATED, "incoming_call")
    assert "  F0123456*  " in ask("calls", "--simulated").stdout
    assert "simulated      yes" in ask("calls", SIMULATED).stdout
    (row,) = csv.DictReader(io.StringIO(ask("calls", SIMULATED, "--csv").stdout))
    assert row["simulated"] == "true"


ALIKE = ["0" * 20 + end for end in ("AAAA11112222", "BBBB11112222", "CCCC_%112222")]


@pytest.mark.parametrize(
    ("name", "found", "said"),
    [
        (ALIKE[0], ALIKE[:1], ""),
        ("AAAA11112222", ALIKE[:1], ""),
        ("_%112222", ALIKE[2:], ""),
        ("11112222", [], "2 calls in the log end in '11112222': give more of the reference id"),
        ("112222", [], "3 calls in the log end in '112222': give more of the reference id"),
        ("12222", [], "got '12222'"),
        ("short", ["short"], ""),
        ("a11112222", [], "got 'a11112222'"),
    ],
)
def test_a_call_is_named_by_the_end_of_its_reference_id(
    deliver: Any, ask: Any, name: str, found: list[str], said: str
) -> None:
    for call in (*ALIKE, "short"):
        deliver(call, "incoming_call", "dial_completed_busy")
    answer = ask("calls", name, "--json")
    if found:
        assert (answer.returncode, ids(answer)) == (0, found)
    else:
        assert (answer.returncode, answer.stderr) == (1, "")
        assert json.loads(answer.stdout)["message"].endswith(said)


def test_telesigns_own_status_and_the_wait_are_in_every_form(deliver: Any, ask: Any) -> None:
    deliver("failed", "incoming_call", "dial_completed_busy", BUSY="rejected")
    deliver("failed", "call_completed", OUTBOUND="inbound")
    deliver("answered", "incoming_call", "dial_completed_answered")
    rows = list(csv.DictReader(io.StringIO(ask("calls", "--csv").stdout)))
    shown = [(row["status"], row["wait_s"]) for row in rows]
    assert shown == [("answered", "1.0"), ("rejected", "")]
    assert "failed: rejected: ...0111" in ask("calls").stdout
    assert "status         rejected" in ask("calls", "failed").stdout
    assert "wait           1.0 s" in ask("calls", "answered").stdout


@needs_tzset
def test_local_times_say_their_zone_as_utc_does(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call")
    shown = {}
    with machine_in("TEST-05:30"):
        for words in ("", "one", "one --json", "--since 17:30", "--until 17:30", "--until today"):
            shown[words] = ask("calls", "--local", *words.split()).stdout
    assert shown[""].startswith("UTC+05:30 ")
    assert "\n11-23 17:30  one " in shown[""]
    assert " 17:30:00 " in shown["one"]
    assert "times          UTC+05:30\n" in shown["one"]
    assert json.loads(shown["one --json"])[0]["began"] == "2026-11-23T17:30:00.000+05:30"
    assert " one " in shown["--since 17:30"]
    assert " one " not in shown["--until 17:30"] + shown["--until today"]
    assert ask("calls").stdout.startswith("UTC ")
    assert "times          UTC\n" in ask("calls", "one").stdout


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of this machine cannot be set")
@pytest.mark.parametrize("zone", ["TEST-05:30", "TEST+05:30"])
def test_a_time_that_the_zone_of_this_machine_does_not_have_is_in_utc(
    log_url: str, ask: Any, clock: Clock, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    body = (
        b'{"event":"call_completed","reference_id":"one","data":{"direction":"outbound",'
        b'"created_on_utc":"0001-01-01T00:00:00","ended_on_utc":"9999-12-31T23:59:59"}}'
    )
    keep(log_url, [row_of(Delivery(events.parse(body), body, clock()), Decision(NoAction()))])
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        answers = [
            ask("calls", "--local", *words.split())
            for words in ("", "one", "one --json --full", "--csv", "--until 9999-01-01")
        ]
    time.tzset()
    assert [(answer.returncode, answer.stderr) for answer in answers] == [(0, "")] * 5
    (call,) = json.loads(answers[2].stdout)
    edge, whole = ("began", "ended") if zone.startswith("TEST+") else ("ended", "began")
    assert call[edge][:4] in ("0001", "9999")
    assert call[edge].endswith("Z")
    assert call[whole].endswith(("+05:30", "-05:30"))


@pytest.mark.parametrize("depth", [100, 480, 900, 3_000, 8_000, 30_000])
def test_an_event_of_any_depth_is_shown_and_forgotten(
    log_url: str, ask: Any, tmp_path: Path, depth: int
) -> None:
    """How deep Python reads and writes JSON differs with its version, and where it is asked to."""
    deep = f'{"[" * depth}"\\u002b1 202 555 0142"{"]" * depth}'
    body = f'{{"event":"play_completed","reference_id":"deep","data":{deep}}}'
    keep(log_url, [row_with(body, "play_completed")])
    answer = ask("calls", "deep", "--json", "--full")
    assert (answer.returncode, answer.stderr) == (0, "")
    (event,) = json.loads(answer.stdout)[0]["events"]
    assert event["body"] == body
    for words in ["deep"], []:
        answer = ask("calls", *words)
        assert (answer.returncode, answer.stderr) == (0, "")
        assert "deep" in answer.stdout
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    assert "a member nested too deeply in play_completed" in ask("live-check").stdout
    assert ask("forget", "12025550142", "--yes").stdout.startswith("deleted 1 call")


def row_with(body: str, event: str) -> Row:
    """Return the row of a call `deep`, also of a body that this Python would not take."""
    values = (None, None, None, "{}", None, 1, 1, 1, None, None, body.encode())
    return Row("deep", event, b"1", *values)


def test_an_event_that_is_not_nested_deeply_is_shown_as_json(log_url: str, ask: Any) -> None:
    deep = f"{'[' * 99}1{']' * 99}"
    body = f'{{"event":"new","reference_id":"deep","data":{deep}}}'
    keep(log_url, [row_with(body, "new")])
    (event,) = json.loads(ask("calls", "deep", "--json", "--full").stdout)[0]["events"]
    assert event["body"] == json.loads(body)


def test_a_call_is_found_by_telesigns_time_though_the_clock_of_the_server_is_slow(
    log_url: str, ask: Any, clock: Clock
) -> None:
    body = of("one", "call_completed").replace(b"2026-03-15T06:48:22", b"2026-11-23T13:00:00")
    keep(log_url, [row_of(Delivery(events.parse(body), body, clock()), Decision(NoAction()))])
    assert ids(ask("calls", "--json", "--since", "2026-11-23T12:30")) == ["one"]


@pytest.mark.parametrize("since", ["0001-01-01", "1969-12-31", "9999d"])
def test_every_time_that_there_is_may_be_the_first(deliver: Any, ask: Any, since: str) -> None:
    deliver("one", "incoming_call")
    assert ids(ask("calls", "--json", "--since", since)) == ["one"]


def test_both_times_that_cannot_be_read_are_said(ask: Any) -> None:
    answer = ask("calls", "--since", "soon", "--until", "later")
    assert (answer.returncode, answer.stdout) == (2, "")
    first, second = answer.stderr.split("; ")
    assert first == f"calls: --since: {WANTED_TIME}, got 'soon'"
    assert second == f"--until: {WANTED_TIME}, got 'later'\n"


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([""], "REFERENCE_ID: wanted the id of a call or its end, got an empty text"),
        (["--since", ""], f"--since: {WANTED_TIME}, got ''"),
        (["--until", ""], f"--until: {WANTED_TIME}, got ''"),
    ],
)
def test_an_empty_text_is_no_call_and_no_time(ask: Any, words: list[str], fault: str) -> None:
    answer = ask("calls", *words)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr == f"calls: {fault}\n"


def screened(url: str, clock: Clock, lines: PrintedLines) -> None:
    """Make calls to people who are asked for a key, in an app and with everything kept."""
    with delivering(url, clock, lines, accept_digit="1") as deliver:
        deliver("taken", "incoming_call", "dial_completed_answered", "speak_completed_digit_1")
        deliver("taken", "call_completed")
        deliver("declined", "incoming_call", "dial_completed_answered", "speak_completed")
        deliver("declined", "call_completed")
        deliver("mailbox", "incoming_call", "dial_completed_answered", "call_completed")


@EACH_DATABASE
def test_who_does_not_press_the_key_is_not_connected_and_has_no_talk(
    log_url: str, ask: Any, clock: Clock, lines: PrintedLines
) -> None:
    screened(log_url, clock, lines)
    shown = {
        call["reference_id"]: (call["disposition"], call["status"], call["talk_s"])
        for call in json.loads(ask("calls", "--json").stdout)
    }
    assert shown == {
        "taken": ("connected", "answered", 4.0),
        "declined": ("declined", "answered", None),
        "mailbox": ("declined", "answered", None),
    }
    assert ids(ask("calls", "--json", "--disposition", "declined")) == ["mailbox", "declined"]
    assert "declined: ...0111 saw 12025550199" in ask("calls").stdout
    report = json.loads(ask("report", "--json", "--since", "2026-01-01").stdout)
    tally = {"calls": 3, "connected": 1, "declined": 2, "no_answer": 0, "busy": 0, "failed": 0}
    assert report["total"] == tally | {"refused": 0, "unknown": 0}
    assert report["talk"] == {"mean_s": 4.0, "median_s": 4.0, "p95_s": 4.0}


@EACH_DATABASE
def test_a_log_of_an_older_version_is_read_in_full(
    log_url: str, ask: Any, clock: Clock, lines: PrintedLines, tmp_path: Path
) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    with delivering(source, clock, lines) as deliver:
        deliver_some_calls(deliver, clock)
    make_old_log(log_url, *all_rows(source))
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    found = {
        words: [
            (call["reference_id"], call["disposition"], call["talk_s"], call["number"])
            for call in json.loads(ask("calls", "--json", *words.split()).stdout)
        ]
        for words in ("", "answered", "--number 0123", "--disposition connected", "--live")
    }
    answered, end_only = ("answered", "connected", 4.0, None), ("end-only", "connected", 4.0, None)
    live = ("=1+1", "in progress", None, None)
    refused = ("refused", "in progress", None, None)
    busy = ("busy", "unknown", None, None)
    assert sorted(found[""]) == sorted([live, refused, busy, end_only, answered])
    assert found["answered"] == [answered]
    assert found["--number 0123"] == [refused, busy, answered]
    assert sorted(found["--disposition connected"]) == [answered, end_only]
    assert found["--live"] == [live]
    report = json.loads(ask("report", "--json", "--since", "2026-01-01").stdout)["total"]
    assert (report["calls"], report["connected"], report["unknown"]) == (5, 2, 1)
    (own, others) = json.loads(ask("why", facts.CALLER, "--json").stdout)["calls"].values()
    assert [call["reference_id"] for call in own["last"]] == ["refused", "busy", "answered"]
    assert (own["refusals"], others["last"]) == ({"not_listed": 1}, [])
    assert json.loads(ask("live-check", "--json").stdout)["calls"] == 5


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (["nowhere"], 1, "no_call"),
        (["11112222"], 1, "several_calls"),
        ([""], 2, "bad_arguments"),
        (["--since", "soon"], 2, "bad_arguments"),
    ],
)
def test_an_error_is_json_where_json_was_asked_for(
    deliver: Any, ask: Any, words: list[str], status: int, error: str
) -> None:
    for call in ALIKE:
        deliver(call, "incoming_call")
    answer = ask("calls", "--json", *words)
    assert (answer.returncode, answer.stderr) == (status, "")
    found = json.loads(answer.stdout)
    assert (list(found), found["error"]) == (["error", "message"], error)
