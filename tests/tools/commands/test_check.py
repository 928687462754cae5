"""check and explain, as an operator runs them."""

import json
from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import run_here


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs a command on a list, with an environment, at 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("MASKING_PORT", "1")  # where nobody answers

    def ask_about(*words: str, text: str = facts.ALLOW_LIST, **environment: str) -> Any:
        Path("allowlist.csv").write_text(text)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        ended = run_here(capsys, *words)
        return ended.returncode, ended.stdout, ended.stderr

    return ask_about


TABLE = """\
line  who calls  dials        reaches  who sees     in  until (UTC)
----  ---------  -----------  -------  -----------  --  ----------------
2     anyone     12025550100  ...0111  12025550199  US
3     ...0123    12025550101  ...0145  12025550101  US  2099-01-31 18:00
4     ...0145    12025550101  ...0123  12025550101  US
5     anyone     12025550102  ...0112  12025550102  US  2026-01-31 18:00

line 2: caller_id_number: nobody can call 12025550199 back: no row has it as
    `to`
line 5: expires: this row expired at 2026-01-31 18:00:00 UTC
countries: US 8
no server answers on http://127.0.0.1:1
rows: 4, warnings: 2
"""
FULL = """\
line  who calls    dials        reaches      who sees     in  until (UTC)
----  -----------  -----------  -----------  -----------  --  ----------------
2     anyone       12025550100  12025550111  12025550199  US
3     12025550123  12025550101  12025550145  12025550101  US  2099-01-31 18:00
4     12025550145  12025550101  12025550123  12025550101  US
5     anyone       12025550102  12025550112  12025550102  US  2026-01-31 18:00
"""


def test_check_shows_who_may_call_whom_and_warns_of_doubtful_rows(ask: Any) -> None:
    assert ask("check") == (0, TABLE, "")
    assert ask("check", "--strict") == (1, TABLE, "")


def test_check_shows_peoples_numbers_in_full_only_if_asked_to(ask: Any) -> None:
    code, out, _ = ask("check", "--full")
    assert (code, out.partition("\n\n")[0] + "\n") == (0, FULL)


def test_check_tells_a_program_the_same(ask: Any) -> None:
    code, out, err = ask("check", "--json", "--strict", text=ONE_ROW)
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "rows": [
            {
                "line": 2,
                "from": None,
                "to": "12025550100",
                "destination": "...0111",
                "caller_id_number": "12025550100",
                "country": "US",
                "expires": None,
                "greeting": None,
                "language": None,
                "external_id": None,
                "send_dtmf": None,
            }
        ],
        "warnings": [],
        "start_faults": [],
        "refuses_withheld": False,
        "countries": {"US": 2},
        "live": None,
        "server": "no server answers on http://127.0.0.1:1",
    }
    code, out, _ = ask("check", "--json", "--strict", "--full")
    found = json.loads(out)
    assert (code, found["rows"][1]["from"], len(found["warnings"])) == (1, "12025550123", 2)


SAYING = """\
to,destination,greeting,language,external_id,send_dtmf
12025550100,12025550111,Press 1,es-ES,,
12025550101,12025550145,,de-DE,,
12025550102,12025550112,,,trip-1,ww6458#
12025550103,12025550113,,,,
"""
SAID = """\
line  who calls  dials        reaches  who sees     in  until (UTC)  says
----  ---------  -----------  -------  -----------  --  -----------  ---------------------------
2     anyone     12025550100  ...0111  12025550100  US               hears "Press 1" in es-ES
3     anyone     12025550101  ...0145  12025550101  US               hears the greeting in de-DE
4     anyone     12025550102  ...0112  12025550102  US               id trip-1, keys *******
5     anyone     12025550103  ...0113  12025550103  US
"""


def test_check_shows_what_each_row_says(ask: Any) -> None:
    code, out, _ = ask("check", text=SAYING)
    assert (code, out.partition("\n\n")[0] + "\n") == (0, SAID)
    code, out, _ = ask("check", "--json", text=SAYING)
    columns = "greeting", "language", "external_id", "send_dtmf"
    assert [[row[column] for column in columns] for row in json.loads(out)["rows"]] == [
        ["Press 1", "es-ES", None, None],
        [None, "de-DE", None, None],
        [None, None, "trip-1", "*******"],
        [None, None, None, None],
    ]


def test_keys_which_may_be_a_code_are_shown_only_in_full(ask: Any) -> None:
    call = ("--from", "", "--to", "12025550102", "--json")
    for words, shown in {"": "*******", "--full": "ww6458#"}.items():
        _, out, _ = ask("check", "--json", *words.split(), text=SAYING)
        assert json.loads(out)["rows"][2]["send_dtmf"] == shown
        _, out, _ = ask("explain", *call, *words.split(), text=SAYING)
        assert json.loads(out)["answer"]["params"]["send_dtmf"] == shown


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_number_in_what_strangers_hear_is_shown_only_in_full(
    ask: Any, form: tuple[str, ...]
) -> None:
    message = {"MASKING_REFUSAL_MESSAGE": "Call 12025550142"}
    call = ("--from", facts.CALLER, "--to", facts.NOT_LISTED, *form)
    assert '"message":"Call *******0142"' in ask("explain", *call, **message)[1].replace(": ", ":")
    full = ask("explain", *call, "--full", **message)[1]
    assert '"message":"Call 12025550142"' in full.replace(": ", ":")


def test_check_shows_a_number_in_a_greeting_only_in_full(ask: Any) -> None:
    row = "12025550100,12025550111,Call 12025550142"
    for words, shown in {"": "Call *******0142", "--full": "Call 12025550142"}.items():
        text = f"to,destination,greeting\n{row}\n"
        _, out, _ = ask("check", "--json", *words.split(), text=text)
        assert json.loads(out)["rows"][0]["greeting"] == shown


@pytest.mark.parametrize(
    ("accept_digit", "warnings"),
    [
        ("", []),
        ("1", []),
        ("2", ["line 2: greeting: accept_digit is 2, but this greeting does not ask for it"]),
    ],
)
def test_check_warns_of_a_greeting_that_does_not_ask_for_the_digit(
    ask: Any, accept_digit: str, warnings: list[str]
) -> None:
    settings = {"MASKING_ACCEPT_DIGIT": accept_digit}
    _, out, _ = ask("check", "--json", text=SAYING, **settings)
    assert json.loads(out)["warnings"] == warnings


def test_a_greeting_of_digits_alone_needs_no_digit_that_is_not_asked_for(ask: Any) -> None:
    _, out, _ = ask("check", "--json", text=f"to,destination,greeting\n{ROW},247\n")
    assert json.loads(out)["warnings"] == []


@pytest.mark.parametrize(
    ("external_id", "is_warned_of"),
    [
        ("trip-1", False),
        ("20261130-17", False),
        ("1234567", False),
        ("12025550142", True),
        ("+1 (202) 555-0142", True),
        ("2025550142", True),
        ("order 12025550111", True),
        ("ride-12025550123", True),
    ],
)
def test_check_warns_of_an_id_that_looks_like_a_telephone_number(
    ask: Any, external_id: str, *, is_warned_of: bool
) -> None:
    row = f"12025550100,12025550123,12025550111,{external_id}"
    _, out, _ = ask("check", "--json", text=f"to,from,destination,external_id\n{row}\n")
    warning = "external_id: looks like a telephone number, and ids are shown whole everywhere"
    assert json.loads(out)["warnings"] == [f"line 2: {warning}"] * is_warned_of


ROW = "12025550100,12025550111"
ONE_ROW = f"to,destination\n{ROW}\n"


def test_check_without_warnings_succeeds_with_strict_too(ask: Any) -> None:
    code, out, _ = ask("check", "--strict", text=ONE_ROW)
    assert (code, out.splitlines()[-1]) == (0, "rows: 1, warnings: 0")


def test_check_warns_of_a_list_that_connects_nobody(ask: Any) -> None:
    code, out, _ = ask("check", "--strict", text="to,destination\n")
    assert code == 1
    assert out.splitlines()[-3:] == [
        "the allow-list has no rows: every call is refused",
        "no server answers on http://127.0.0.1:1",
        "rows: 0, warnings: 1",
    ]


ABROAD = """\
to,from,destination
2025550161,2025550131,2025550171
442079460123,,493023125001
14165550100,12025550111,12025550112
4712345678,,88131234567
"""


def test_check_shows_in_which_country_each_number_is(ask: Any) -> None:
    code, out, _ = ask("check", text=ABROAD, MASKING_VERIFY_SIGNATURES="false")
    assert code == 0
    table, printed = out.split("\n\n")
    head, _, *rows = table.splitlines()
    assert [row[head.index(" in ") + 1 : head.index("until")].strip() for row in rows] == [
        "EG", "GB DE GB", "US CA US CA", "?? intl ??",
    ]  # fmt: skip
    assert "countries: EG 3, US 2, ?? 1, CA 1, DE 1, GB 1, intl 1\n" in printed


def test_check_says_where_a_country_code_may_be_missing(ask: Any) -> None:
    text = "to,from,destination\n2025550161,2025550131,2125550171\n4712345678,,6561234567\n"
    code, out, _ = ask("check", "--strict", text=text, COLUMNS="120")
    assert code == 1
    said = "as written, {} is a number in {}; if it is North American, write a 1 in front"
    printed = " ".join(line.strip() for line in out.splitlines())
    for column, number, country in (
        ("to", "2025550161", "EG"),
        ("from", "...0131", "EG"),
        ("destination", "...0171", "MA"),
    ):
        also = ', and set home_country_code = "1" if it arrives without the 1 line'
        text = f"line 2: {column}: {said.format(number, country)}"
        assert text in printed
        assert (f"{text}{also}" in printed) is (column == "from")
    assert "line 3: to: as written" not in printed


def test_check_says_that_anyone_is_not_everybody(ask: Any) -> None:
    said = "withheld_callers is refuse: anyone is who has a number\n"
    for callers in "connect", "refuse":
        code, out, _ = ask(
            "check",
            text=ABROAD,
            MASKING_WITHHELD_CALLERS=callers,
            MASKING_VERIFY_SIGNATURES="false",
        )
        assert (code, said in out) == (0, callers == "refuse")


REAL = "to,destination\n18888888888,18888888889\n"
NOTE = """\
the server would not start with these settings:
allowlist.csv:2: to: wanted only fictional numbers (1 NPA 555 0100 to 0199) as
    long as TELESIGN_API_KEY is not set, got ...8888; rows with real numbers: 1;
    set TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or verify_signatures = false
    to serve everybody who finds the address
"""


def test_a_real_list_is_shown_without_a_key(ask: Any) -> None:
    code, out, err = ask("check", "--strict", text=REAL)
    assert (code, err) == (0, "")
    assert "18888888888  ...8889" in out
    assert NOTE in out
    code, out, err = ask("explain", "--from", "12025550123", "--to", "18888888888", text=REAL)
    assert (code, err) == (0, "")
    assert out.startswith("connected by line 2: ...8889 is called and sees 18888888888")


@pytest.mark.parametrize(
    ("environment", "note"),
    [
        (facts.KEYS, ""),
        ({"MASKING_VERIFY_SIGNATURES": "false"}, ""),
        ({"TELESIGN_API_KEY": facts.API_KEY},
         "wanted both TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or neither, got only one"),
        ({"TELESIGN_CUSTOMER_ID": facts.CUSTOMER_ID},
         "wanted both TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, or neither, got only one"),
        ({"TELESIGN_API_KEY": "", "TELESIGN_CUSTOMER_ID": facts.CUSTOMER_ID},
         "TELESIGN_API_KEY: key 1: wanted at least 16 bytes of key, got 0"),
        ({"TELESIGN_API_KEY": "", "TELESIGN_CUSTOMER_ID": ""},
         "as long as TELESIGN_API_KEY is not set"),
    ],
)  # fmt: skip
def test_check_says_why_the_server_would_not_start(
    environment: dict[str, str], note: str, ask: Any
) -> None:
    code, out, err = ask("check", text=REAL, COLUMNS="120", **environment)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "rows: 1, warnings: 0"
    assert ("the server would not start with these settings:" in out) == bool(note)
    assert note in out


CONNECTED = """\
connected by line 2: ...0111 is called and sees 12025550199
{"method":"dial","params":{"to":"...0111","caller_id_number":"12025550199","max_call_duration":"3600"}}
"""


def test_explain_shows_how_a_call_is_connected(ask: Any) -> None:
    arguments = ("explain", "--from", "+1 202 555 0123", "--to", "12025550100")
    assert ask(*arguments) == (0, CONNECTED, "")
    full = CONNECTED.replace("...0111", facts.DESTINATION)
    assert ask(*arguments, "--full") == (0, full, "")
    home = ("explain", "--from", "2025550123", "--to", "2025550100")
    assert ask(*home, MASKING_HOME_COUNTRY_CODE="1") == (0, CONNECTED, "")


@pytest.mark.parametrize(
    "caller", ["", "\udcff", "sip:desk@example.com", "12345", "12025550188-45"]
)
def test_explain_says_that_a_row_is_for_any_caller(caller: str, ask: Any) -> None:
    answer = ask("explain", "--from", caller, "--to", "12025550100")
    connected, command = CONNECTED.splitlines()
    line = "The caller has no phone number, but the row is for any caller."
    assert answer == (0, f"{connected}\n{line}\n{command}\n", "")


@pytest.mark.parametrize(
    ("caller", "dialled", "reason", "cause"),
    [
        ("12025550123", "12025550177", "not_listed",
         "...0177 is not listed, and no row has a similar number as its `to`."),
        ("12025550123", "12025550102", "expired",
         "The row in line 5 expired at 2026-01-31 18:00:00 UTC."),
    ],
)  # fmt: skip
def test_explain_shows_why_a_call_is_refused(
    caller: str, dialled: str, reason: str, cause: str, ask: Any
) -> None:
    assert ask("explain", "--from", caller, "--to", dialled, COLUMNS="120") == (
        0,
        f'refused: {reason}\n{cause}\n{{"method":"hangup","params":{{}}}}\n',
        "",
    )


def test_explain_tells_a_program_the_same(ask: Any) -> None:
    def told(caller: str, to: str, *words: str) -> Any:
        code, out, err = ask("explain", "--from", caller, "--to", to, "--json", *words)
        assert (code, err) == (0, "")
        return json.loads(out)

    expected = {"reason": None, "cause": None, "line": 2, "answer": facts.DIAL}
    assert told(facts.CALLER, facts.DIALLED, "--full") == expected
    hidden = json.loads(CONNECTED.splitlines()[1])
    assert told(facts.CALLER, facts.DIALLED) == expected | {"answer": hidden}
    assert told(facts.STRANGER, facts.PAIR_NUMBER, "--full") == {
        "reason": "caller_not_listed",
        "cause": "12025550101 is listed, but only for ...0123 (line 3) and ...0145 (line 4).",
        "line": None,
        "answer": facts.HANGUP,
    }


@pytest.mark.parametrize("command", [["check"], ["explain", "--from", "1", "--to", "2"]])
def test_a_faulty_list_is_told_to_a_program_too(command: list[str], ask: Any) -> None:
    code, out, err = ask(*command, "--json", text="to\nx\n")
    assert (code, err, json.loads(out)["error"]) == (2, "", "faults")
    assert "allowlist.csv:2: to: wanted a country code" in json.loads(out)["message"]
