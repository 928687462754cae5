"""`why`: what it prints, to whom, and with which exit status."""

import json
from pathlib import Path
from typing import Any

import facts
import pytest
from databases import EACH_DATABASE, log_in_sqlite

log_url = log_in_sqlite


LIST = facts.ALLOW_LIST
EXPIRED_PERSON = "12025550112"
WHY = """\
Rows of ...0123: 2, open now: 2.
line  caller   dialled      destination  now
----  -------  -----------  -----------  -----------------------------
3     ...0123  12025550101  ...0145      open, expires in 26,367 d 5 h
4     ...0145  12025550101  ...0123      open

Rows for any caller that connect them: 1 (at most 5 are shown).
line  caller  dialled      destination  now
----  ------  -----------  -----------  ----
2     anyone  12025550100  ...0111      open

Their own calls, the newest first (at most 10), live now: 1:
UTC          id ends  caller   dialled  wait  talk  what became of it
-----------  -------  -------  -------  ----  ----  ----------------------------
11-23 12:00  four     ...0123  ...0101              in progress: ...0145 saw
                                                    12025550101
11-23 12:00  three    ...0123  ...0102              refused: expired
11-23 12:00  one      ...0123  ...0100              busy: ...0111 saw
                                                    12025550199
refused: expired 1

Other calls, the newest first (at most 10):
UTC          id ends  caller   dialled  wait  talk  what became of it
-----------  -------  -------  -------  ----  ----  --------------------------
11-23 12:00  two      ...0188  ...0101              refused: caller_not_listed
refused: caller_not_listed 1
"""


@pytest.fixture
def ask(ask: Any) -> Any:
    """The same command line, with the list of these tests."""
    Path("allowlist.csv").write_text(LIST)
    return ask


def some_calls(deliver: Any) -> None:
    deliver("one", "incoming_call", "dial_completed_busy", "call_without_legs")
    deliver("two", "incoming_call", DIALLED=facts.PAIR_NUMBER, CALLER=facts.STRANGER)
    deliver("two", "call_without_legs")
    deliver("three", "incoming_call", DIALLED="12025550102")
    deliver("three", "call_without_legs")
    deliver("SIMULATED1", "incoming_call", DIALLED="12025550102")
    deliver("four", "incoming_call", DIALLED=facts.PAIR_NUMBER)


@pytest.mark.usefixtures("terminal")
def test_why_shows_rows_calls_and_refusals(deliver: Any, ask: Any) -> None:
    some_calls(deliver)
    answer = ask("why", facts.RIDER)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == WHY


@pytest.mark.usefixtures("terminal")
def test_why_of_a_person_whose_only_row_has_expired(deliver: Any, ask: Any) -> None:
    some_calls(deliver)
    answer = ask("why", EXPIRED_PERSON, "--full", "--simulated")
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "Rows of 12025550112: 1, open now: 0.",
        "line  caller  dialled      destination  now",
        "----  ------  -----------  -----------  ----------------------",
        "5     anyone  12025550102  12025550112  expired 295 d 18 h ago",
        "",
        "Rows for any caller that connect them: 1 (at most 5 are shown).",
        "line  caller  dialled      destination  now",
        "----  ------  -----------  -----------  ----",
        "2     anyone  12025550100  12025550111  open",
        "",
        "Their own calls: none.",
        "",
        "Other calls, the newest first (at most 10):",
        "UTC          id ends    caller       dialled      wait  talk  what became of it",
        "-----------  ---------  -----------  -----------  ----  ----  ------------------",
        "11-23 12:00  MULATED1*  12025550123  12025550102              in progress,",
        "                                                              refused: expired",
        "11-23 12:00  three      12025550123  12025550102              refused: expired",
        "* simulated",
        "refused: expired 2",
    ]


def test_why_as_json(deliver: Any, ask: Any) -> None:
    deliver("SIMULATED1", "incoming_call", DIALLED="12025550102")
    answer = ask("why", EXPIRED_PERSON, "--simulated", "--json")
    assert answer.returncode == 1
    (call,) = json.loads(ask("calls", "--simulated", "--json").stdout)
    assert json.loads(answer.stdout) == {
        "number": "...0112",
        "is_ours": False,
        "rows": [
            {
                "line": 5,
                "caller": None,
                "dialled": "12025550102",
                "destination": "...0112",
                "masking_id": "12025550102",
                "expires": "2026-01-31T18:00:00.000Z",
                "reason": "expired",
            }
        ],
        "open_to_anyone": [
            {
                "line": 2,
                "caller": None,
                "dialled": "12025550100",
                "destination": "...0111",
                "masking_id": facts.MASKING_ID,
                "expires": None,
                "reason": None,
            }
        ],
        "nearest": None,
        "calls": {
            "own": {"last": [], "live": 0, "refusals": {}},
            "others": {"last": [call], "live": 0, "refusals": {"expired": 1}},
        },
        "almost_this_caller": 0,
        "no_log": None,
    }


def test_why_of_a_number_in_no_row_names_the_nearest(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call", CALLER=facts.STRANGER, DIALLED=facts.NOT_LISTED)
    answer = ask("why", "12025550154")
    assert answer.returncode == 1
    assert answer.stdout.splitlines() == [
        "...0154 is in no row, neither as a destination nor as a caller.",
        "Nearest: ...0145, the `destination` of line 3 (two digits swapped).",
        "",
        "Rows for any caller that connect them: 1 (at most 5 are shown).",
        "line  caller  dialled      destination  now",
        "----  ------  -----------  -----------  ----",
        "2     anyone  12025550100  ...0111      open",
        "",
        "The log holds no call that this concerns.",
    ]
    plain = json.loads(ask("why", "12025550154", "--json").stdout)
    assert plain["nearest"] == {
        "line": 3,
        "column": "destination",
        "number": "...0145",
        "likeness": "two digits swapped",
    }
    assert "No row has a number like it." in ask("why", "13105550177").stdout


def test_a_number_asked_for_without_its_1_is_pointed_out_and_the_list_is_not(
    deliver: Any, ask: Any
) -> None:
    deliver("one", "incoming_call", DIALLED=facts.PAIR_NUMBER)
    answer = ask("why", "2025550123")
    assert answer.returncode == 1
    text = " ".join(answer.stdout.split())
    assert text.startswith(
        "...0123 lacks its country code: with 1 in front it is the `from` of line 3. Run it again"
        " with the 1."
    )
    assert "Nearest" not in text
    assert "Rows" not in text
    assert "home_country_code" not in text
    assert "with 1 in front it is the `to` of line 2." in " ".join(
        ask("why", facts.DIALLED[1:]).stdout.split()
    )


def test_at_most_five_rows_for_any_caller_are_shown(ask: Any) -> None:
    rows = [f"1202555011{n},,1202555012{n},{facts.MASKING_ID},,,\n" for n in range(7)]
    Path("allowlist.csv").write_text(LIST.splitlines()[0] + "\n" + "".join(rows))
    text = ask("why", "12025550120").stdout
    assert "Rows for any caller that connect them: 6 (at most 5 are shown).\n" in text
    assert "\n7     anyone  12025550115  ...0125      open\n\n" in text
    assert "12025550116" not in text


@pytest.mark.parametrize(
    ("arrives", "home", "advice"),
    [
        ("12025550123", "", None),
        ("442025550123", "", "set `home_country_code`, or write `from` as it arrives (--full)."),
        ("442025550123", "1", "write `from` as it arrives (--full)."),
        ("02025550123", "", "set `home_country_code`."),
        ("0012025550123", "", "set `home_country_code`."),
        ("12025550123;ext=1", "1", None),
        ("0312025550123", "1", "see how it arrives (--full)."),
    ],
)
def test_what_is_advised_on_a_caller_who_is_almost_theirs_is_what_the_list_takes(
    arrives: str,
    home: str,
    advice: str | None,
    deliver: Any,
    ask: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deliver("one", "incoming_call", DIALLED=facts.PAIR_NUMBER, CALLER=arrives)
    monkeypatch.setenv("MASKING_HOME_COUNTRY_CODE", home)
    text = " ".join(ask("why", facts.RIDER).stdout.split())
    end = f" and is another one. If it is the same phone, {advice}"
    assert text.endswith(end) if advice else "the same phone" not in text
    if advice and "from" in advice:
        row = f"{facts.PAIR_NUMBER},{arrives},{facts.DRIVER},,,,\n"
        Path("allowlist.csv").write_text(LIST + row)
        assert ask("check").returncode == 0


def test_a_caller_without_country_code_is_pointed_out(deliver: Any, ask: Any) -> None:
    deliver("one", "incoming_call", DIALLED=facts.PAIR_NUMBER, CALLER="2025550123")
    answer = ask("why", facts.RIDER)
    assert answer.returncode == 0
    assert "caller_not_listed" in answer.stdout
    assert " ".join(answer.stdout.split()).endswith(
        "1 of these calls came from a number that ends in the same seven digits and is another"
        " one. If it is the same phone, set `home_country_code`, or write `from` as it arrives"
        " (--full)."
    )


BEHIND = """\
Rows behind 12025550101: 2, open now: 2.
line  caller   dialled      destination  now
----  -------  -----------  -----------  -----------------------------
3     ...0123  12025550101  ...0145      open, expires in 26,367 d 5 h
4     ...0145  12025550101  ...0123      open

Calls by way of it, the newest first (at most 10), live now: 1:
UTC          id ends  caller   dialled  wait  talk  what became of it
-----------  -------  -------  -------  ----  ----  ----------------------------
11-23 12:00  four     ...0123  ...0101              in progress: ...0145 saw
                                                    12025550101
11-23 12:00  two      ...0188  ...0101              refused: caller_not_listed
refused: caller_not_listed 1
"""


@EACH_DATABASE
@pytest.mark.usefixtures("terminal")
def test_why_of_a_virtual_number_shows_who_is_behind_it_until_when_and_its_calls(
    deliver: Any, ask: Any
) -> None:
    some_calls(deliver)
    answer = ask("why", facts.PAIR_NUMBER)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, BEHIND, "")


def test_why_of_a_masking_id_shows_who_is_behind_it(deliver: Any, ask: Any) -> None:
    some_calls(deliver)
    answer = ask("why", facts.MASKING_ID, "--json")
    found = json.loads(answer.stdout)
    assert answer.returncode == 0
    assert [(row["line"], row["destination"]) for row in found["rows"]] == [(2, "...0111")]
    assert list(found["calls"]) == ["by_way_of_it"]
    assert [call["reference_id"] for call in found["calls"]["by_way_of_it"]["last"]] == ["one"]
    assert (found["number"], found["is_ours"]) == (facts.MASKING_ID, True)


def test_nobody_is_behind_a_number_whose_rows_have_expired_or_are_gone(
    deliver: Any, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_calls(deliver)
    answer = ask("why", "12025550102")
    assert answer.returncode == 1
    assert answer.stdout.startswith("Rows behind 12025550102: 1, open now: 0.\n")
    assert "expired 295 d 18 h ago" in answer.stdout
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", "12025550160")
    answer = ask("why", "12025550160")
    assert answer.returncode == 1
    assert answer.stdout.startswith(
        "12025550160 is a number of yours, but no row has it: nobody is behind it.\n"
    )


def test_a_number_that_was_dialled_and_is_in_no_row_any_more_has_its_calls(
    deliver: Any, ask: Any
) -> None:
    some_calls(deliver)
    Path("allowlist.csv").write_text("".join(LIST.splitlines(keepends=True)[:2]))
    answer = ask("why", facts.PAIR_NUMBER)
    assert answer.returncode == 1
    assert answer.stdout.startswith("...0101 is in no row,")
    assert "\nTheir own calls: none.\n" in answer.stdout
    assert "\nCalls by way of it, the newest first (at most 10), live now: 1:\n" in answer.stdout
    assert "refused: caller_not_listed 1\n" in answer.stdout


def test_the_last_ten_calls_are_shown_and_every_refusal_is_counted(deliver: Any, ask: Any) -> None:
    for n in range(12):
        deliver(f"call-{n}", "incoming_call", DIALLED="12025550102")
    plain = json.loads(ask("why", EXPIRED_PERSON, "--json").stdout)
    others = plain["calls"]["others"]
    assert [call["reference_id"] for call in others["last"]] == [
        f"call-{n}" for n in range(11, 1, -1)
    ]
    assert others["refusals"] == {"expired": 12}


def test_calls_of_strangers_leave_room_for_those_of_the_person(deliver: Any, ask: Any) -> None:
    deliver("made", "incoming_call", DIALLED=facts.PAIR_NUMBER)
    deliver("received", "incoming_call", CALLER=facts.DRIVER, DIALLED=facts.PAIR_NUMBER)
    for n in range(11):
        deliver(f"call-{n}", "incoming_call", CALLER=facts.STRANGER, DIALLED=facts.PAIR_NUMBER)
    own = json.loads(ask("why", facts.RIDER, "--json").stdout)["calls"]["own"]
    assert [call["reference_id"] for call in own["last"]] == ["received", "made"]
    assert own["refusals"] == {}


def test_a_row_says_how_long_it_is_still_open(ask: Any) -> None:
    row = f"{facts.DIALLED},,{facts.DESTINATION},{facts.MASKING_ID},,2026-11-23T14:05:59Z,\n"
    Path("allowlist.csv").write_text(LIST.splitlines()[0] + "\n" + row)
    assert "open, expires in 2 h 5 min" in ask("why", facts.DESTINATION).stdout


def test_a_row_that_never_connects_says_why(ask: Any) -> None:
    row = f"{facts.DIALLED},{facts.STRANGER},{facts.STRANGER},{facts.MASKING_ID},,,\n"
    Path("allowlist.csv").write_text(LIST.splitlines()[0] + "\n" + row)
    answer = ask("why", facts.STRANGER)
    assert answer.returncode == 1
    assert "never connects: caller_is_destination" in answer.stdout


def test_why_needs_neither_a_key_nor_a_log(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELESIGN_API_KEY", "no key at all")
    real = "to,destination,caller_id_number\n442079460100,442079460101,442079460100\n"
    Path("allowlist.csv").write_text(real)
    for log, words in (
        ("", "call_log is empty"),
        ("sqlite:///none.db", "there is no call log yet"),
    ):
        monkeypatch.setenv("MASKING_CALL_LOG", log)
        answer = ask("why", "442079460101")
        assert (answer.returncode, answer.stderr) == (0, "")
        assert words in " ".join(answer.stdout.split())
        assert words in json.loads(ask("why", "442079460101", "--json").stdout)["no_log"]


@pytest.mark.parametrize("command", [("why", facts.RIDER), ("live-check",)])
def test_faults_of_the_list_are_named(ask: Any, command: tuple[str, ...]) -> None:
    Path("allowlist.csv").write_text("to,who\n")
    answer = ask(*command)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "allowlist.csv:1:" in answer.stderr


def test_what_is_no_number_is_no_person(ask: Any) -> None:
    answer = ask("why", "front desk")
    assert answer.returncode == 2
    assert "wanted a country code and digits" in answer.stderr


def test_of_many_rows_behind_a_number_the_first_twenty_are_shown_open_ones_before_others(
    ask: Any,
) -> None:
    past = "2026-01-31T18:00:00Z"
    rows = [f"120255501{n},,1202555012{n % 10},{facts.MASKING_ID},,{past}\n" for n in (10, 11)]
    rows += [f"120255501{n},,1202555012{n % 10},{facts.MASKING_ID},,\n" for n in range(31, 60)]
    Path("allowlist.csv").write_text(
        LIST.splitlines()[0].removesuffix(",note") + "\n" + "".join(rows)
    )
    first, _, _, *shown = ask("why", facts.MASKING_ID).stdout.split("\n\n")[0].splitlines()
    assert first == ("Rows behind 12025550199: 31, open now: 29. The first 20 are shown, open ones")
    lines = [int(line.split()[0]) for line in shown if line[0].isdigit()]
    assert lines == list(range(4, 24))
    assert len(json.loads(ask("why", facts.MASKING_ID, "--json").stdout)["rows"]) == 31
