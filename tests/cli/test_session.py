"""A masked session from the command line: made at TeleSign's endpoint, added, used and ended."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import facts
import pytest
from helpers import ROOT
from processes import ServerProcess
from raw_servers import raw_server, saying

import signature
from cli import main, telesign_api
from simulation.call import Signer
from simulation.play import Target
from simulation.scenarios import SCENARIOS

SENDER = Signer(facts.CUSTOMER_ID, signature.decode_key(facts.API_KEY))
RIDER, DRIVER = "12025550133", "12025550134"


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


def session(
    folder: Path, url: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "app.py", "session", *arguments],
        cwd=folder,
        env={**os.environ, **facts.KEYS, "MASKING_API_URL": url, **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.faults
def test_a_session_works_both_ways_at_once_and_stops_at_its_end(tmp_path: Path) -> None:
    with endpoint("--unit", "seconds") as url, ServerProcess(tmp_path, facts.KEYS) as server:
        made = session(tmp_path, url, RIDER, DRIVER, "--validity", "7", "--append")
        ends = time.monotonic() + 7
        assert (made.returncode, made.stderr) == (0, "")
        head, first, second, added = made.stdout.splitlines()
        assert head.endswith("(TeleSign names no zone: taken for UTC)")
        assert first == (f"{RIDER} dials 12025550181 and reaches {DRIVER}, who sees 12025550180")
        assert second == (f"{DRIVER} dials 12025550180 and reaches {RIDER}, who sees 12025550181")
        assert added == "allowlist.csv: both routes were added"

        def both_ways() -> list[str]:
            stages = [
                Target(server.url, SENDER, to="12025550181", caller=RIDER),
                Target(server.url, SENDER, to="12025550180", caller=DRIVER),
            ]
            return [stage.play(SCENARIOS["connected"]).verdict for stage in stages]

        connected = "connected: neither person saw the other's number"
        while both_ways() != [connected, connected]:
            assert time.monotonic() < ends - 4
            time.sleep(0.1)
        time.sleep(max(0.0, ends - time.monotonic()))
        assert both_ways() == ["wanted dial, got hangup"] * 2


def test_a_session_is_printed_without_being_added(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with endpoint("--answer", "2701") as url:
        made = session(tmp_path, url, "+1 202 555 0133", DRIVER, "--validity", "2")
    assert made.returncode == 0
    assert made.stdout.splitlines()[-1] == (
        "warning: a masking ID is from a different country than the number it masks"
    )
    assert (tmp_path / "allowlist.csv").read_text() == facts.ALLOW_LIST


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("2702", "session: 2702: no masking ID is free"),
        ("429", "session: too many requests"),
        (
            "500",
            "session: wanted a session or a known refusal, got HTTP 500 without a status code of",
        ),
    ],
)
def test_a_refusal_is_one_clear_line(answer: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with endpoint("--answer", answer) as url:
        made = session(tmp_path, url, RIDER, DRIVER, "--validity", "2", "--append")
    assert (made.returncode, made.stdout) == (1, "")
    assert made.stderr.startswith(message)
    assert made.stderr.count("\n") == 1
    assert (tmp_path / "allowlist.csv").read_text() == facts.ALLOW_LIST


def test_a_number_of_the_list_is_refused_before_a_session_is_created(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    arguments = (facts.PAIR_NUMBER, DRIVER, "--validity", "2", "--append")
    made = session(tmp_path, "http://127.0.0.1:9", *arguments)
    assert (made.returncode, made.stderr) == (
        1,
        "session: wanted a person's number, got 12025550101, which is a masking ID or"
        " virtual number of the list\n",
    )


def test_a_list_without_room_for_routes_is_refused_before_a_session_is_created(
    tmp_path: Path,
) -> None:
    (tmp_path / "allowlist.csv").write_text("to,destination\n12025550100,12025550111\n")
    made = session(tmp_path, "http://127.0.0.1:9", RIDER, DRIVER, "--validity", "2", "--append")
    assert made.returncode == 1
    assert made.stderr == (
        "session: allowlist.csv: wanted the columns from, caller_id_number, expires in the header"
        " too\n"
    )


def test_a_session_that_cannot_be_added_is_printed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(
        f"{facts.ALLOW_LIST}12025550140,,12025550180,12025550141,,,the mask is a person here\n"
    )
    with endpoint() as url:
        made = session(tmp_path, url, RIDER, DRIVER, "--validity", "2", "--append")
    assert made.returncode == 1
    assert f"{RIDER} dials 12025550181" in made.stdout
    assert made.stderr.startswith(
        "the session exists, but its routes were not added:\n"
        "  allowlist.csv:6: destination: wanted a person's number, got ...0180"
    )


# What is in the way of adding is found before TeleSign is asked

# Another user may not be able to read what is imported later.
AS_SOMEBODY_ELSE = f"""
import encodings.idna, encodings.utf_8_sig, os, sys
sys.path.insert(0, {str(ROOT)!r})
from cli import main, session
if os.geteuid() == 0:
    os.setuid(65534)
sys.exit(main.main(["session", "{RIDER}", "{DRIVER}", "--validity", "2", "--append"]))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter, with the list in it."""
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        (made / "allowlist.csv").write_text(facts.ALLOW_LIST)
        made.chmod(0o755)
        yield made
        made.chmod(0o755)


def session_of_somebody_else(folder: Path) -> tuple[str, int]:
    """Have a user run `session --append`; return what is printed and how often one is asked for."""
    with raw_server(saying(b"")) as server:
        url = f"http://127.0.0.1:{server.port}"
        ended = subprocess.run(
            [sys.executable, "-c", AS_SOMEBODY_ELSE],
            cwd=folder,
            # Another user may not write what measures coverage, nor compiled files.
            env={name: text for name, text in os.environ.items() if "COVERAGE" not in name}
            | {**facts.KEYS, "MASKING_API_URL": url, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr, server.connections


def test_a_read_only_folder_is_found_before_a_session_is_created(folder: Path) -> None:
    folder.chmod(0o555)
    assert session_of_somebody_else(folder) == (
        "session: allowlist.csv: cannot be locked (Permission denied); it is unchanged\n", 0
    )  # fmt: skip


def test_a_link_into_a_read_only_folder_is_found_before_a_session_is_created(folder: Path) -> None:
    inside = folder / "inside"
    inside.mkdir()
    (folder / "allowlist.csv").rename(inside / "allowlist.csv")
    (folder / "allowlist.csv").symlink_to(inside / "allowlist.csv")
    inside.chmod(0o555)
    folder.chmod(0o777)
    assert session_of_somebody_else(folder) == (
        "session: allowlist.csv: cannot be locked (Permission denied); it is unchanged\n", 0
    )  # fmt: skip


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root has a file that another user cannot replace"
)
def test_a_file_that_cannot_be_replaced_is_found_before_a_session_is_created(folder: Path) -> None:
    """In a sticky folder a user makes files, and replaces no other user's."""
    folder.chmod(0o1777)
    assert session_of_somebody_else(folder) == (
        "session: allowlist.csv: cannot be written (Operation not permitted); it is unchanged\n",
        0,
    )  # fmt: skip
    assert (folder / "allowlist.csv").read_text() == facts.ALLOW_LIST


def test_when_routes_can_be_added_telesign_is_asked_once(folder: Path) -> None:
    folder.chmod(0o777)
    message, asked = session_of_somebody_else(folder)
    assert message.endswith("; the session may exist, so check at TeleSign before you ask again\n")
    assert asked == 1
    assert (folder / "allowlist.csv").read_text() == facts.ALLOW_LIST


# What happens when there is one


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_a_session_is_printed_to_standard_error_if_standard_output_fails(
    redirection: str, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    words = f"{sys.executable} {ROOT}/app.py session {RIDER} {DRIVER} --validity 2 --append"
    with endpoint() as url:
        made = subprocess.run(
            ["sh", "-c", f"exec {words} {redirection}"],
            cwd=tmp_path,
            env={**os.environ, **facts.KEYS, "MASKING_API_URL": url},
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert made.returncode == 0
    assert made.stderr.startswith("session ")
    assert made.stderr.splitlines()[-1] == "allowlist.csv: both routes were added"
    assert (tmp_path / "allowlist.csv").read_text().count(f",{DRIVER},") == 2


@pytest.mark.parametrize(
    ("place", "message", "printed"),
    [
        ("allow_list.editor.check", "session: stopped; TeleSign was not asked\n", 0),
        (
            "cli.telesign_api.create_session",
            "session: stopped; the session may exist, so check at TeleSign before you ask again\n",
            0,
        ),
        ("allow_list.editor.append", "stopped; check whether allowlist.csv has its two rows\n", 3),
    ],
)
def test_after_ctrl_c_the_message_says_what_may_have_happened(
    place: str, message: str, printed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(place, stop)
    with endpoint() as url:
        for name, value in {**facts.KEYS, "MASKING_API_URL": url}.items():
            monkeypatch.setenv(name, value)
        code = main.main(["session", RIDER, DRIVER, "--validity", "2", "--append"])
    out, err = capsys.readouterr()
    assert (code, err, out.count("\n")) == (130, message, printed)


@pytest.mark.parametrize(
    ("arguments", "keys", "code", "message"),
    [
        (("x", DRIVER), facts.KEYS, 1, "session: A: wanted a country code and digits"),
        (
            (RIDER, "2025550134"),
            facts.KEYS,
            1,
            "session: B: wanted a number with its country code, got '******0134'; put 1 in front"
            " if it is North American, or + if it is another country's number\n",
        ),
        ((RIDER, DRIVER), {}, 2, "session: wanted TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY"),
    ],
)
def test_wrong_numbers_and_missing_keys_are_one_clear_line(
    arguments: tuple[str, ...], keys: dict[str, str], code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    made = subprocess.run(
        [sys.executable, ROOT / "app.py", "session", *arguments, "--validity", "2"],
        cwd=tmp_path,
        env={**os.environ, **keys},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == code
    assert made.stderr.startswith(message)


def test_a_wrong_number_is_shown_by_its_last_four_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_here(tmp_path, monkeypatch, RIDER, "1202555013x4") == 1
    message = capsys.readouterr().err
    assert message.startswith("session: B: wanted a country code and digits")
    assert message.endswith(", got '*******013x4'\n")


def test_ten_digits_after_a_plus_are_asked_for_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def create_session(_url: str, _credentials: object, *people: object) -> None:
        asked.append(people[:2])
        raise telesign_api.NotAuthorizedError

    monkeypatch.setattr("cli.telesign_api.create_session", create_session)
    assert code_here(tmp_path, monkeypatch, "+2025550133", DRIVER) == 1
    assert asked == [("2025550133", DRIVER)]


def test_a_validity_that_is_no_whole_number_is_refused_with_what_was_wanted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main.main(["session", RIDER, DRIVER, "--validity", "1h"])
    assert "argument --validity: wanted a whole number, got '1h'" in capsys.readouterr().err


def code_here(folder: Path, monkeypatch: pytest.MonkeyPatch, *people: str) -> int:
    """Run `session` in this process, for two people; return its exit status."""
    (folder / "allowlist.csv").write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(folder)
    for name, value in facts.KEYS.items():
        monkeypatch.setenv(name, value)
    return main.main(["session", *people, "--validity", "2"])
