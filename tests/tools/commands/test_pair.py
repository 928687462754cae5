"""pair, unpair and prune, as an operator or their software runs them."""

import contextlib
import getpass
import json
import os
import random
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import facts
import pytest
from helpers import ROOT, Clock, read_list
from processes import ServerProcess

from tools import main
from tools.list_editor import turns

A, B, C = "12025550130", "12025550131", "12025550132"
POOL = ["12025550161", "12025550162"]
ROWS = f"""\
{POOL[0]},{A},{B},{POOL[0]},,2026-11-23T14:00:00Z,pair
{POOL[0]},{B},{A},{POOL[0]},,2026-11-23T14:00:00Z,pair
"""


NO_SERVER = "no server answers on http://127.0.0.1:1"
ALONE = {"live": None, "server": NO_SERVER}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", ", ".join(POOL))
    monkeypatch.setenv("MASKING_PORT", "1")
    monkeypatch.setattr(main, "now", clock)
    path = tmp_path / "allowlist.csv"
    path.write_text(facts.ALLOW_LIST)
    turns.mark(path)  # or each command would wait for a program that writes it
    return path


Captured = pytest.CaptureFixture[str]


def run(capsys: Captured, *words: str) -> tuple[int, str, str]:
    status = main.main(words)
    return status, *capsys.readouterr()


def test_a_pair_gets_a_number_and_both_rows(path: Path, capsys: Captured) -> None:
    told = f"{POOL[0]} connects ...0130 and ...0131 until 2026-11-23 14:00 UTC\n"
    told += f"{NO_SERVER}\n"
    assert run(capsys, "pair", A, B, "--for", "2h") == (0, told, "")
    assert path.read_text() == facts.ALLOW_LIST + ROWS


def test_paired_again_the_same_two_keep_their_number(
    path: Path, capsys: Captured, clock: Clock
) -> None:
    run(capsys, "pair", A, B, "--for", "2h")
    clock.sleep(3600)
    told = (
        f"{POOL[0]} still connects {B} and {A} until 2026-11-23 14:30\n"
        "    UTC instead of 2026-11-23 14:00 UTC\n"
        f"{NO_SERVER}\n"
    )
    assert run(capsys, "pair", f"+{B}", A, "--for", "90m", "--full") == (0, told, "")
    assert path.read_text() == facts.ALLOW_LIST + ROWS.replace("14:00:00Z", "14:30:00Z")


@pytest.mark.usefixtures("path")
def test_json_tells_a_program_the_same(capsys: Captured) -> None:
    def told(*words: str) -> object:
        status, out, err = run(capsys, *words, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)

    expected = {
        "virtual_number": POOL[0],
        "people": ["...0130", "...0131"],
        "external_id": None,
        "expires": "2026-11-23T14:00:00Z",
        "renewed": False,
        **ALONE,
    }
    assert told("pair", A, B, "--for", "2h") == expected
    full = expected | {"people": [A, B], "renewed": True}
    assert told("pair", A, B, "--for", "2h", "--full") == full
    assert told("pair", A, B, "--for", "2h", "--external-id", "x") == expected | {
        "virtual_number": POOL[1],
        "external_id": "x",
    }
    assert told("unpair", A, B) == {
        "ended": [
            {"to": to, "from": caller, "destination": called, "external_id": external_id}
            for to, external_id in ((POOL[0], None), (POOL[1], "x"))
            for caller, called in (("...0130", "...0131"), ("...0131", "...0130"))
        ],
        **ALONE,
    }
    assert told("prune", "--older-than", "7d") == {"removed": 1, "kept": [], **ALONE}


def test_without_a_free_number_nothing_changes(path: Path, capsys: Captured) -> None:
    run(capsys, "pair", A, B, "--for", "2h")
    run(capsys, "pair", C, A, "--for", "2h")
    before = path.stat()
    status, out, err = run(capsys, "pair", A, "12025550133", "--for", "1m")
    assert (status, out) == (4, "")
    assert err == (
        "pair: wanted a number of virtual_numbers that neither of the two uses now, got none: each"
        " has an open row of one of them or a row for any caller, or is a person's; add a number to"
        " the setting, or end another pair of theirs with `unpair`\n"
    )
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_unpair_ends_the_rows_to_the_second_and_says_if_there_are_none(
    path: Path, capsys: Captured, clock: Clock
) -> None:
    run(capsys, "pair", A, B, "--for", "2h")
    clock.sleep(60.9)
    told = f"rows of ...0131 and ...0130 behind {POOL[0]} ended: 2\n{NO_SERVER}\n"
    assert run(capsys, "unpair", B, A) == (0, told, "")
    ended = facts.ALLOW_LIST + ROWS.replace("14:00:00Z", "12:01:00Z")
    assert path.read_text() == ended
    none = "unpair: no open row connects ...0130 and ...0131\n"
    assert run(capsys, "unpair", A, B) == (1, "", none)
    assert path.read_text() == ended


def test_a_number_rests_after_a_pair_and_then_its_rows_go(
    path: Path, capsys: Captured, clock: Clock
) -> None:
    def number(*people: str) -> str:
        status, out, _ = run(capsys, "pair", *people, "--for", "1h", "--json")
        assert status == 0
        return str(json.loads(out)["virtual_number"])

    assert number(A, B) == POOL[0]
    run(capsys, "unpair", A, B)
    assert number(A, B) == POOL[1]
    clock.sleep(3601)
    assert number(A, C) == POOL[0]  # no other is left, and it has rested longest
    clock.sleep(3600 + 7200)
    assert number(B, "12025550139") == POOL[0]  # the second has not rested for as long
    lines = path.read_text().removeprefix(facts.ALLOW_LIST).splitlines()
    assert [line.split(",")[:2] for line in lines] == [
        [POOL[0], A],
        [POOL[0], C],
        [POOL[0], B],
        [POOL[0], "12025550139"],
    ]


def test_how_long_a_number_rests_is_a_setting(
    path: Path, capsys: Captured, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKING_PAIR_REST", "0m")
    run(capsys, "pair", A, B, "--for", "1m")
    clock.sleep(61)
    run(capsys, "pair", A, B, "--for", "2h")
    assert len(read_list(path.read_text())) == 4 + 2


def test_an_order_has_its_id_and_greeting_in_both_rows_and_its_own_number(
    path: Path, capsys: Captured
) -> None:
    words = "pair", A, B, "--for", "2h", "--external-id", " trip 1 ", "--greeting", "Hi, it's you. "
    told = f"{POOL[0]} connects ...0130 and ...0131 for trip 1 until 2026-11-23 14:00 UTC\n"
    assert run(capsys, *words) == (0, f"{told}{NO_SERVER}\n", "")
    wide = "\n".join(
        [f"{facts.ALLOW_LIST.splitlines()[0]},greeting,external_id"]
        + [f"{line},," for line in facts.ALLOW_LIST.splitlines()[1:]]
        + [f'{row},"Hi, it\'s you.",trip 1' for row in ROWS.splitlines()]
    )
    assert path.read_text() == f"{wide}\n"
    run(capsys, "pair", A, B, "--for", "2h", "--external-id", "trip 2")
    second = [f"{row.replace(POOL[0], POOL[1])},,trip 2" for row in ROWS.splitlines()]
    assert path.read_text().splitlines() == [*wide.splitlines(), *second]


def test_unpair_ends_one_order_or_all_rows_of_an_id(path: Path, capsys: Captured) -> None:
    for external_id in "x", "y":
        run(capsys, "pair", A, B, "--for", "2h", "--external-id", external_id)
    run(capsys, "pair", C, "12025550139", "--for", "2h", "--external-id", "x")
    told = f"rows of ...0130 and ...0131 for y behind {POOL[1]} ended: 2\n{NO_SERVER}\n"
    assert run(capsys, "unpair", A, B, "--external-id", "y") == (0, told, "")
    none = "unpair: no open row connects ...0130 and ...0131 for y\n"
    assert run(capsys, "unpair", A, B, "--external-id", " y") == (1, "", none)
    told = f"rows of x behind {POOL[0]} ended: 4\n{NO_SERVER}\n"
    assert run(capsys, "unpair", "--external-id", "x") == (0, told, "")
    none = "unpair: no open row is for x\n"
    assert run(capsys, "unpair", "--external-id", "x") == (1, "", none)
    assert path.read_text().count("2026-11-23T12:00:00Z") == 6


NO_FORMULA = "a text that begins no formula of a spreadsheet, as = + - @ do"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--external-id", "1,2"), "1 to 64 printable ASCII characters without commas, got '1,2'"),
        (("--external-id", " "), "1 to 64 printable ASCII characters without commas, got ' '"),
        (
            ("--external-id", "\u00e9 12025550130"),
            "1 to 64 printable ASCII characters without commas, got '\u00e9 *******0130'",
        ),
        (("--greeting", " "), "a text to speak, without broken characters, got ' '"),
        (("--greeting", "a\nb"), "one line without control characters, got 'a\\nb'"),
        (("--greeting", " =1+1"), f"{NO_FORMULA}, got ' =1+1'"),
        (("--greeting", "\uff20name"), f"{NO_FORMULA}, got '\uff20name'"),
        (("--greeting", "a\rb"), "one line without control characters, got 'a\\rb'"),
        (("--greeting", "a\u2028b"), "one line without control characters, got 'a\\u2028b'"),
        (("--greeting", "a\x9fb"), "one line without control characters, got 'a\\x9fb'"),
        (("--greeting", "a\udcffb"), "a text to speak, without broken characters, got 'a\\udcffb'"),
    ],
)
def test_what_cannot_stand_in_a_row_is_a_fault_in_the_command_line(
    words: tuple[str, str], wanted: str, path: Path, capsys: Captured
) -> None:
    message = f"argument {words[0]}: wanted {wanted}"
    status, out, err = run(capsys, "pair", A, B, "--for", "2h", *words)
    assert (status, out) == (2, "")
    assert err.endswith(f" pair: error: {message}\n")
    status, out, err = run(capsys, "pair", A, B, "--for", "2h", *words, "--json")
    told = json.loads(out)
    assert (status, told["error"], err) == (2, "bad_arguments", "")
    assert told["message"].endswith(f" pair: error: {message}")
    assert path.read_text() == facts.ALLOW_LIST


@pytest.mark.parametrize(
    ("words", "got"),
    [((), "nothing"), ((A,), "only one person"), ((A, "--external-id", "x"), "only one person")],
)
@pytest.mark.usefixtures("path")
def test_unpair_wants_two_people_or_an_id(
    words: tuple[str, ...], got: str, capsys: Captured
) -> None:
    message = f"wanted two people A and B, --external-id, or both, got {got}"
    assert run(capsys, "unpair", *words) == (2, "", f"unpair: {message}\n")


def test_an_id_that_would_make_the_row_a_comment_is_refused(path: Path, capsys: Captured) -> None:
    text = "external_id,to,from,destination,expires\n"
    path.write_text(text)
    turns.mark(path)
    message = (
        "allowlist.csv: wanted another column in front of external_id, got '#12' in it: a row that"
        " begins with # is a comment; move the column"
    )
    words = "pair", A, B, "--for", "2h", "--external-id", "#12"
    assert run(capsys, *words) == (2, "", f"pair: fix these first:\n  {message}\n")
    assert path.read_text() == text


def test_unpair_shows_no_number_whole_that_is_a_persons(path: Path, capsys: Captured) -> None:
    direct = f"{B},{A},,{POOL[1]},,,dialled by its own number\n"
    path.write_text(facts.ALLOW_LIST + direct)
    told = f"rows of ...0130 and ...0131 behind ...0131 ended: 1\n{NO_SERVER}\n"
    assert run(capsys, "unpair", A, B) == (0, told, "")
    path.write_text(facts.ALLOW_LIST + direct)
    status, out, _ = run(capsys, "unpair", A, B, "--json")
    row = {"to": "...0131", "from": "...0130", "destination": "...0131", "external_id": None}
    assert (status, json.loads(out)) == (0, {"ended": [row], **ALONE})


def test_prune_removes_expired_rows_and_keeps_comments(path: Path, capsys: Captured) -> None:
    refused = f"{facts.DIALLED},{A},{C},,,2026-01-31T18:00:00Z,\n"
    path.write_text("# mine\n" + facts.ALLOW_LIST + "# the end\n" + refused)
    told = (
        "rows that expired before 2026-11-16 12:00 UTC removed: 1; kept: 1, the first in\n"
        "    line 8, because otherwise a row for any caller would connect people who are\n"
        "    refused today\n"
        f"{NO_SERVER}\n"
    )
    assert run(capsys, "prune", "--older-than", "7d") == (0, told, "")
    *kept, _ = facts.ALLOW_LIST.splitlines(keepends=True)
    assert path.read_text() == "# mine\n" + "".join(kept) + "# the end\n" + refused
    told = f"rows that expired before 2025-07-11 12:00 UTC removed: 0\n{NO_SERVER}\n"
    assert run(capsys, "prune", "--older-than", "500d") == (0, told, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((A, A), "A and B: wanted two people, got ...0130 twice"),
        (
            ("abc", B),
            "A: wanted a country code and digits, 7 to 15 in all, such as 12025550100, got 'abc'",
        ),
        (
            (A, "0120255501"),
            "B: wanted a country code and digits, 7 to 15 in all, such as 12025550100,"
            " got '******5501'",
        ),
        (
            (A, "2025550131"),
            "B: wanted a number with its country code, got '******0131'; put the code in front, or"
            " a + if it is there",
        ),
    ],
)
@pytest.mark.parametrize("command", [("pair", "--for", "2h"), ("unpair",)])
def test_a_malformed_number_is_a_fault_in_the_command_line(
    command: tuple[str, ...], words: tuple[str, str], message: str, path: Path, capsys: Captured
) -> None:
    assert run(capsys, *command, *words) == (2, "", f"{command[0]}: {message}\n")
    assert path.read_text() == facts.ALLOW_LIST


def test_ten_digits_that_are_a_number_at_home_are_refused_unless_a_plus_is_there(
    path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKING_HOME_COUNTRY_CODE", "49")
    # As if 302 were no North American area code: then only home is left.
    monkeypatch.setattr("phone.is_valid", lambda number: number.startswith("49"))
    status, _, err = run(capsys, "pair", A, "3023125001", "--for", "2h")
    assert (status, err[:50]) == (2, "pair: B: wanted a number with its country code, go")
    assert run(capsys, "pair", A, "+3023125001", "--for", "2h")[0] == 0
    assert f"{POOL[0]},+3023125001,{A}," in path.read_text()


def test_ten_digits_that_are_a_number_at_home_and_abroad_are_refused(
    path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKING_HOME_COUNTRY_CODE", "49")
    status, _, err = run(capsys, "pair", A, "4791234567", "--for", "2h")
    assert (status, err[:50]) == (2, "pair: B: wanted a number with its country code, go")
    assert path.read_text() == facts.ALLOW_LIST


def test_an_own_number_is_not_paired(path: Path, capsys: Captured) -> None:
    message = f"wanted a person's number, got {POOL[1]}, a virtual number or masking ID of yours"
    assert run(capsys, "pair", A, POOL[1], "--for", "2h") == (1, "", f"pair: {message}\n")
    assert path.read_text() == facts.ALLOW_LIST


@pytest.mark.parametrize("old", ["2099-01-31T20:00:00+05:00", "2099-01-31T15:00:00Z"])
def test_the_old_end_of_a_pair_is_in_utc(old: str, path: Path, capsys: Captured) -> None:
    path.write_text(facts.ALLOW_LIST + f"{POOL[0]},{A},{B},,,{old},\n")
    _, out, _ = run(capsys, "pair", A, B, "--for", "2h")
    assert "instead of 2099-01-31 15:00 UTC" in " ".join(out.split())


def test_both_ends_of_an_open_pair_are_shown_if_they_differ(path: Path, capsys: Captured) -> None:
    run(capsys, "pair", A, B, "--for", "2d")
    _, out, _ = run(capsys, "pair", A, B, "--for", "2h")
    ends = "2026-11-23 14:00 UTC\n    instead of {}\n" + f"{NO_SERVER}\n"
    assert out.endswith(ends.format("2026-11-25 12:00 UTC"))
    _, out, _ = run(capsys, "pair", A, B, "--for", "2h")
    assert " until 2026-11-23 14:00" in out
    path.write_text(facts.ALLOW_LIST + f"{POOL[0]},{A},{B},,,,\n")
    _, out, _ = run(capsys, "pair", A, B, "--for", "2h")
    assert out.endswith(ends.format("never"))


@pytest.mark.parametrize(
    ("text", "pool", "fault"),
    [
        (
            facts.ALLOW_LIST,
            "",
            "`virtual_numbers` is not set: list the numbers that `pair` may give out",
        ),
        (
            facts.ALLOW_LIST + "1\n",
            POOL[0],
            "allowlist.csv:6: wanted 7 cells as in the header, got 1",
        ),
        (
            facts.ALLOW_LIST.removesuffix("\n"),
            POOL[0],
            "allowlist.csv:5: wanted a line end after the last row, got none: the file may be"
            " incomplete",
        ),
    ],
)
def test_faults_in_the_settings_or_the_list_are_told_and_nothing_changes(
    text: str,
    pool: str,
    fault: str,
    path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", pool)
    path.write_text(text)
    status, out, err = run(capsys, "pair", A, B, "--for", "2h")
    assert (status, out) == (2, "")
    assert err == f"pair: fix these first:\n  {fault}\n"
    assert path.read_text() == text


def test_a_list_that_is_not_there_is_told(path: Path, capsys: Captured) -> None:
    path.unlink()
    status, out, err = run(capsys, "unpair", A, B)
    assert (status, out) == (2, "")
    remedy = "set allow_list to its path, or run this in its folder"
    assert err == f"unpair: allowlist.csv: wanted a CSV file, got none; {remedy}\n"


def test_what_stays_of_a_byte_order_mark_stays_first(path: Path, capsys: Captured) -> None:
    path.write_text("\ufeff" + facts.ALLOW_LIST, encoding="utf-8")
    run(capsys, "pair", A, B, "--for", "2h")
    assert path.read_text(encoding="utf-8") == "\ufeff" + facts.ALLOW_LIST + ROWS


# Real processes


def start(
    folder: Path, *words: str, pool: list[str] = POOL, out: int | IO[str] = subprocess.PIPE
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, ROOT / "app.py", *words],
        cwd=folder,
        env={**os.environ, "MASKING_VIRTUAL_NUMBERS": ",".join(pool)},
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def output(kind: str) -> Iterator[int]:
    """Yield an output that cannot be written: a full disk, or a pipe without a reader."""
    if kind == "full disk":
        with Path("/dev/full").open("w") as full:
            yield full.fileno()
        return
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [("full disk", "No space left on device"), ("closed pipe", "Broken pipe")],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_what_was_done_is_said_on_stderr_if_the_output_cannot_be_written(
    kind: str, cause: str, form: tuple[str, ...], path: Path
) -> None:
    def done(*words: str) -> str:
        with output(kind) as out, start(path.parent, *words, *form, out=out) as process:
            errors = process.communicate(timeout=30)[1]
        assert process.returncode == 3
        head, text, *more = errors.splitlines()
        assert more == [NO_SERVER] * (not form)
        failure = f"this was done, but the output cannot be written ({cause}):"
        assert head == f"{words[0]}: {failure}"
        return text

    made = done("pair", A, B, "--for", "2h")
    assert len(read_list(path.read_text())) == 4 + 2
    parted = done("unpair", A, B)
    now = datetime.now(UTC)
    ends = [route.expires for route in read_list(path.read_text())][4:]
    assert [end is not None and end <= now for end in ends] == [True, True]
    pruned = done("prune", "--older-than", "1m")
    assert len(read_list(path.read_text())) == 3 + 2
    if form:
        assert json.loads(made)["virtual_number"] == POOL[0]
        assert len(json.loads(parted)["ended"]) == 2
        assert json.loads(pruned) == {"removed": 1, "kept": [], **ALONE}
    else:
        assert made.startswith(f"{POOL[0]} connects ...0130 and ...0131 until 20")
        assert parted == f"rows of ...0130 and ...0131 behind {POOL[0]} ended: 2"
        assert pruned.endswith(" removed: 1")


def test_without_a_place_to_say_it_the_status_still_tells_that_it_was_done(path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, ROOT / "app.py", "pair", A, B, "--for", "2h"],
            cwd=path.parent,
            env={**os.environ, "MASKING_VIRTUAL_NUMBERS": POOL[0]},
            stdout=full,
            stderr=full,
            check=False,
            timeout=30,
        )
    assert ended.returncode == 3
    assert len(read_list(path.read_text())) == 4 + 2


def test_a_list_that_is_being_written_is_not_kept_half(path: Path) -> None:
    """Twenty rows are flushed one by one, as a program does that writes the list itself."""
    header, *_ = facts.ALLOW_LIST.splitlines(keepends=True)
    rows = [f"12025550{140 + n},,{facts.DESTINATION},,,,\n" for n in range(20)]
    with path.open("w") as file:
        file.write(header)
        file.flush()
        process = start(path.parent, "pair", A, B, "--for", "2h")
        for row in rows:
            file.write(row)
            file.flush()
            time.sleep(0.1)
    assert process.communicate(timeout=30)[1] == ""
    first = path.read_text().splitlines(keepends=True)
    assert first[:21] == [header, *rows]
    assert len(first) == 1 + 20 + 2


@pytest.mark.faults
def test_a_command_that_waits_says_for_whom_and_gives_up(path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tools.list_editor import turns\n"
        "with turns.hold(Path(sys.argv[1]), turns.Patience(print, time.monotonic, time.sleep)):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        began = time.monotonic()
        with start(path.parent, "pair", A, B, "--for", "2h") as waiting:
            assert waiting.stderr is not None
            said = waiting.stderr.readline()
            said_s = time.monotonic() - began
            error = waiting.communicate(timeout=30)[1]
        took_s = time.monotonic() - began
        holder.kill()
    whom = f"process {holder.pid} of user {getpass.getuser()}, which is changing the list"
    assert said == f"pair: waiting for {whom}\n"
    assert error == f"pair: allowlist.csv: not changed: waited 10 s for {whom}; run this again\n"
    assert (waiting.returncode, 3 <= said_s < took_s, took_s >= 10) == (1, True, True)
    assert path.read_text() == facts.ALLOW_LIST
    # Killed, it holds nobody.
    assert start(path.parent, "pair", A, B, "--for", "2h").communicate(timeout=30)[1] == ""


def test_pairs_of_one_person_made_at_once_get_a_number_each(path: Path) -> None:
    pool = [f"1202555017{n}" for n in range(2)]
    others = [f"1202555014{n}" for n in range(2)]
    made = [start(path.parent, "pair", A, number, "--for", "2h", pool=pool) for number in others]
    told = [process.communicate(timeout=60) for process in made]
    assert [err for _, err in told] == ["", ""]
    assert sorted(out.split()[0] for out, _ in told) == pool
    assert len(read_list(path.read_text())) == 4 + 2 * 2


def test_a_running_server_connects_a_pair_greets_and_parts_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASKING_VIRTUAL_NUMBERS", ", ".join(POOL))
    with ServerProcess(tmp_path) as server:
        monkeypatch.setenv("MASKING_PORT", str(server.port))

        def event(name: str, call: str, **data: str) -> Any:
            message = {"event": name, "reference_id": call, "data": data}
            status, answer = server.deliver(json.dumps(message).encode())
            assert status == 200
            return answer

        def dialled(caller: str, number: str) -> Any:
            return event("incoming_call", uuid.uuid4().hex, **{"to": number, "from": caller})

        def dial(called: str, number: str, external_id: str) -> Any:
            said = {"to": called, "caller_id_number": number, "external_id": external_id}
            return {"method": "dial", "params": said}

        assert dialled(A, POOL[0]) == dialled(B, POOL[0]) == facts.HANGUP
        words = "--for", "2h", "--greeting", "Your order."
        assert run(capsys, "pair", A, B, *words, "--external-id", "x")[0] == 0
        assert run(capsys, "pair", A, B, *words, "--external-id", "y")[0] == 0
        assert dialled(A, POOL[0]) == dial(B, POOL[0], "x")  # at once
        assert dialled(B, POOL[1]) == dial(A, POOL[1], "y")
        data = {"to": POOL[0], "from": B}
        assert event("incoming_call", "one", **data) == dial(A, POOL[0], "x")
        assert run(capsys, "unpair", "--external-id", "x")[0] == 0
        greeting = event("dial_completed", "one", status="answered")
        assert greeting["params"]["tts"]["message"] == "Your order."  # of a call that goes on
        assert dialled(A, POOL[0]) == dialled(B, POOL[0]) == facts.HANGUP
        assert dialled(B, POOL[1]) == dial(A, POOL[1], "y")
    lines = map(json.loads, server.stdout.read_text().splitlines())
    reasons = [line["reason"] for line in lines if "reason" in line]
    assert reasons == ["not_listed", "not_listed", "expired", "expired"]


@pytest.mark.faults
def test_killed_at_any_moment_a_pair_is_in_the_list_or_not(path: Path) -> None:
    """The list is long, so that the moments in which it is read and written are long as well."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    many = "".join(
        f"1{301 + n // 100}5550{100 + n % 100},,{facts.DESTINATION},,,,\n" for n in range(5000)
    )
    path.write_text(facts.ALLOW_LIST + many)
    began = time.monotonic()
    assert start(path.parent, "pair", A, B, "--for", "2h").communicate()[1] == ""
    whole_s = time.monotonic() - began
    for _ in range(10):
        before = path.read_text()
        one, other = chance.sample([f"1202555014{n}" for n in range(10)], 2)
        process = start(path.parent, "pair", one, other, "--for", "2h")
        time.sleep(chance.uniform(0.2, 1.1) * whole_s)
        process.kill()
        process.communicate()
        assert without_pairs(path.read_text()) == without_pairs(before), seed
        assert len(read_list(path.read_text())) - len(read_list(before)) in (0, 2), seed
    assert start(path.parent, "prune", "--older-than", "7d").communicate()[1] == ""
    assert {file.name for file in path.parent.iterdir()} == {"allowlist.csv"}


def without_pairs(text: str) -> str:
    return re.sub(r"^.*,pair\n", "", text, flags=re.MULTILINE)
