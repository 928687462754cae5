"""A masked session from the command line: made at TeleSign's endpoint, added, used and ended."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import facts
import pytest
from command_line import Ended, run_here
from helpers import ROOT
from processes import ServerProcess
from raw_servers import raw_server, saying
from session_server import session_server

import signature
from tools.list_editor import editor, turns
from tools.simulation.call import Signer
from tools.simulation.play import Target
from tools.simulation.scenarios import SCENARIOS
from tools.simulation.session_endpoint import Endpoint

KEY = signature.decode_key(facts.API_KEY)
RIDER, DRIVER = "12025550133", "12025550134"
LIST = Path("allowlist.csv")
NOBODY = {"MASKING_PORT": "1"}
ADDED = ["allowlist.csv: both routes were added", "no server answers on http://127.0.0.1:1"]


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    """The account at TeleSign's endpoint that the settings name; the list is in this folder."""
    monkeypatch.chdir(tmp_path)
    LIST.write_text(facts.ALLOW_LIST)
    turns.mark(LIST)  # or the command would wait for a program that writes it
    account = Endpoint(facts.CUSTOMER_ID, KEY)
    with session_server(account) as url:
        for name, value in {**facts.KEYS, **NOBODY, "MASKING_API_URL": url}.items():
            monkeypatch.setenv(name, value)
        yield account


@pytest.fixture
def session(account: Endpoint, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command for two people."""
    assert unasked(account)

    def run_session(one: str, other: str, *words: str) -> Ended:
        return run_here(capsys, "session", one, other, "--validity", "2", *words)

    return run_session


def unasked(account: Endpoint) -> bool:
    return len(account.free) == 10


@pytest.mark.faults
def test_a_session_works_both_ways_at_once_and_stops_at_its_end(tmp_path: Path) -> None:
    with endpoint("--unit", "seconds") as url, ServerProcess(tmp_path, facts.KEYS) as server:
        made = subprocess.run(
            [
                sys.executable,
                ROOT / "app.py",
                "session",
                RIDER,
                DRIVER,
                "--validity",
                "7",
                "--append",
            ],
            cwd=tmp_path,
            env={**os.environ, **facts.KEYS, "MASKING_API_URL": url}
            | {"MASKING_PORT": str(server.port)},
            capture_output=True,
            text=True,
            check=True,
        )
        ends = time.monotonic() + 7
        assert made.stdout.splitlines()[-2:] == [
            "allowlist.csv: both routes were added",
            f"the server on {server.url.rstrip('/')} serves this list",
        ]
        signer = Signer(facts.CUSTOMER_ID, KEY)

        def both_ways() -> list[str]:
            target, connected = Target(server.url, signer), SCENARIOS["connected"]
            ways = [
                replace(connected, to="12025550181", caller=RIDER),
                replace(connected, to="12025550180", caller=DRIVER),
            ]
            return [target.play(way).verdict for way in ways]

        connected = "connected: neither person saw the other's number"
        while both_ways() != [connected, connected]:
            assert time.monotonic() < ends - 4
            time.sleep(0.1)
        time.sleep(max(0.0, ends - time.monotonic()))
        assert both_ways() == ["wanted dial, got hangup"] * 2


@contextmanager
def endpoint(*options: str) -> Iterator[str]:
    """Run `simulator.py --api` as a user does; yield its address."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "simulator.py", "--api", "--port", "0", *options],
        env={**os.environ, **facts.KEYS},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        yield process.stdout.readline().split(": ", 1)[1].strip()
        process.terminate()


def test_a_session_is_printed_and_added(session: Any) -> None:
    made = session("+1 202 555 0133", DRIVER, "--append")
    assert (made.returncode, made.stderr) == (0, "")
    head, more, *lines = made.stdout.splitlines()
    assert head.startswith("session ")
    assert f"{head} {more.strip()}".endswith(" (TeleSign names no zone: taken for UTC)")
    assert lines == [
        "...0133 dials 12025550181 and reaches ...0134, who sees 12025550180",
        "...0134 dials 12025550180 and reaches ...0133, who sees 12025550181",
        *ADDED,
    ]
    assert f"12025550181,{RIDER},{DRIVER},12025550180," in LIST.read_text()
    assert f"12025550180,{DRIVER},{RIDER},12025550181," in LIST.read_text()


def test_a_session_is_printed_without_being_added(session: Any, account: Endpoint) -> None:
    account.answer = "2701"
    made = session(RIDER, DRIVER)
    assert (made.returncode, made.stdout.splitlines()[-1]) == (
        0,
        "warning: a masking ID is from a different country than the number it masks",
    )
    assert LIST.read_text() == facts.ALLOW_LIST


def test_a_refusal_is_one_clear_line(session: Any, account: Endpoint) -> None:
    account.answer = "2706"
    made = session(RIDER, DRIVER, "--append")
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr == "session: 2706: TeleSign blocks one of the numbers\n"
    assert LIST.read_text() == facts.ALLOW_LIST


def test_a_session_that_cannot_be_added_is_printed_all_the_same(session: Any) -> None:
    LIST.write_text(
        f"{facts.ALLOW_LIST}12025550140,,12025550180,12025550141,,,the mask is a person here\n"
    )
    made = session(RIDER, DRIVER, "--append")
    assert made.returncode == 9
    assert "...0133 dials 12025550181" in made.stdout
    assert made.stderr.startswith(
        "session: the session exists, but its routes were not added:\n"
        "  allowlist.csv:6: destination: wanted a person's number, got ...0180"
    )


def test_a_list_that_cannot_be_written_any_more_is_said_after_the_session(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise editor.ChangeError("allowlist.csv: cannot be written (why); it is unchanged")

    monkeypatch.setattr(editor, "change", fail)
    made = session(RIDER, DRIVER, "--append")
    assert (made.returncode, made.stdout.count("\n")) == (9, 4)
    assert made.stderr == (
        "session: the session exists, but its routes were not added:\n"
        "  allowlist.csv: cannot be written (why); it is unchanged\n"
    )


def test_an_expired_row_that_keeps_somebody_out_stays(session: Any) -> None:
    """Its `to` has a row for any caller, who would be connected without it."""
    kept_out = f"{facts.DIALLED},{RIDER},{DRIVER},,,2026-01-31T18:00:00Z,kept out\n"
    replaced = f"12025550182,{RIDER},{DRIVER},,,2026-01-31T18:00:00Z,an older session\n"
    LIST.write_text(facts.ALLOW_LIST + kept_out + replaced)
    assert session(RIDER, DRIVER, "--append").returncode == 0
    assert kept_out in LIST.read_text()
    assert replaced not in LIST.read_text()


@pytest.mark.parametrize(("words", "lines"), [((), 5), (("--append",), 7)])
def test_a_session_that_cannot_be_printed_is_said_on_stderr_and_added_all_the_same(
    words: tuple[str, ...], lines: int, account: Endpoint
) -> None:
    assert unasked(account)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, ROOT / "app.py", "session", RIDER, DRIVER, "--validity", "2", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=30,
        )
    said = ended.stderr.splitlines()
    assert (ended.returncode, len(said)) == (3, lines)
    assert said[0] == (
        "session: this was done, but the output cannot be written (No space left on device):"
    )
    assert said[1].startswith("session ")
    assert said[3] == "...0133 dials 12025550181 and reaches ...0134, who sees 12025550180"
    assert (f"12025550181,{RIDER}," in LIST.read_text()) == bool(words)
    assert said[5:] == ADDED * bool(words)


def test_ten_digits_after_a_plus_are_asked_for_as_they_are(session: Any) -> None:
    made = session("+2025550133", DRIVER, "--full")
    assert "2025550133 dials 12025550181 and reaches" in made.stdout


# What is in the way is found before TeleSign is asked


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (("1202555013x4", DRIVER),
         "A: wanted a country code and digits, 7 to 15 in all, such as 12025550100, got"
         " '*******013x4'"),
        ((RIDER, "2025550134"),
         "B: wanted a number with its country code, got '******0134'; put the code in front, or a"
         " + if it is there"),
        ((RIDER, RIDER), "A and B: wanted two people, got ...0133 twice"),
        ((facts.PAIR_NUMBER, DRIVER),
         "wanted a person's number, got 12025550101, a virtual number or masking ID of yours"),
    ],
)  # fmt: skip
def test_a_wrong_number_is_refused_in_one_line(
    people: tuple[str, str], message: str, session: Any, account: Endpoint
) -> None:
    made = session(*people, "--append")
    assert (made.returncode, made.stdout, made.stderr) == (2, "", f"session: {message}\n")
    assert unasked(account)


def test_without_a_key_nothing_is_asked(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in facts.KEYS:
        monkeypatch.delenv(name)
    made = session(RIDER, DRIVER)
    message = "wanted TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, got neither; set both"
    assert (made.returncode, " ".join(made.stderr.split())) == (
        2,
        f"session: fix these first: {message}",
    )


def test_columns_that_a_list_lacks_are_added(session: Any) -> None:
    LIST.write_text("to,destination\n12025550100,12025550111\n")
    made = session(RIDER, DRIVER, "--append")
    assert (made.returncode, made.stderr) == (0, "")
    header, row, *_ = LIST.read_text().splitlines()
    assert header == "to,destination,from,caller_id_number,expires"
    assert row == "12025550100,12025550111,,,"


# Another user may not be able to read what is imported later.
AS_SOMEBODY_ELSE = f"""
import encodings.idna, encodings.utf_8_sig, os, sys
sys.path.insert(0, {str(ROOT)!r})
from tools import console
from tools import main
from tools.commands import session
os.setuid(65534)
sys.exit(main.main(["session", "{RIDER}", "{DRIVER}", "--validity", "2", "--append"]))
"""


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root has a file that another user cannot replace"
)
def test_a_file_that_cannot_be_replaced_is_found() -> None:
    """In a sticky folder a user makes files, and replaces no other user's."""
    with tempfile.TemporaryDirectory() as name, raw_server(saying(b"")) as server:
        folder = Path(name)
        (folder / "allowlist.csv").write_text(facts.ALLOW_LIST)
        folder.chmod(0o1777)
        ended = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE],
            cwd=folder,
            # Another user may not write what measures coverage, nor compiled files.
            env={name: text for name, text in os.environ.items() if "COVERAGE" not in name}
            | {**facts.KEYS, **NOBODY, "MASKING_API_URL": f"http://127.0.0.1:{server.port}"}
            | {"PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (folder / "allowlist.csv").read_text() == facts.ALLOW_LIST
    assert (ended.returncode, ended.stdout, ended.stderr) == (
        5,
        "",
        "session: allowlist.csv: cannot be written (Operation not permitted); it is unchanged\n",
    )
    assert server.connections == 0
