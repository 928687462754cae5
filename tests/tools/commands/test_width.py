"""No line of these commands is wider than a terminal of 80 columns."""

from pathlib import Path

import facts
import pytest
from session_server import session_server
from terminals import in_a_terminal

import signature
from tools.list_editor import turns
from tools.simulation.session_endpoint import Endpoint

A, B = "12025550130", "12025550131"
LONG = ("442079460123456", "493023125001234")
POOL = "12025550161"
NOBODY = {"MASKING_PORT": "1", "MASKING_VIRTUAL_NUMBERS": POOL}
DOUBTFUL = (
    f"{facts.ALLOW_LIST}"
    f"{LONG[0]},2025550131,{LONG[1]},882079460123456,,2099-01-31T18:00:00Z,every column is full\n"
)
FAULTY = "to,from,destination,Expires\n1.20256E+10,31.12.2035,12025550111,soon\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, facts.ALLOW_LIST)
    return tmp_path


def put(folder: Path, text: str) -> None:
    (folder / "allowlist.csv").write_text(text)
    turns.mark(folder / "allowlist.csv")


def fits(status: int, folder: Path, *words: str, **environment: str) -> None:
    """Run a command in a terminal; it has to end like this, and show no line that is too wide."""
    with in_a_terminal("app.py", *words, folder=folder, **environment) as terminal:
        pass
    assert (terminal.too_wide(), terminal.process.returncode) == ([], status), terminal.text
    assert terminal.text


@pytest.mark.parametrize("full", [[], ["--full"]])
@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["explain", "--from", facts.RIDER, "--to", facts.PAIR_NUMBER],
        ["explain", "--from", facts.CALLER, "--to", facts.DIALLED],
        ["explain", "--from", "", "--to", facts.DIALLED],
        ["explain", "--from", facts.STRANGER, "--to", facts.PAIR_NUMBER],
        ["explain", "--from", facts.CALLER, "--to", "442079460123457"],
        ["pair", A, B, "--for", "2h"],
    ],
)
def test_what_a_command_shows_fits(words: list[str], full: list[str], folder: Path) -> None:
    put(folder, DOUBTFUL)
    fits(0, folder, *words, *full, **NOBODY)


def test_what_changes_the_list_fits(folder: Path) -> None:
    fits(0, folder, "pair", A, B, "--for", "2d", **NOBODY)
    fits(0, folder, "pair", A, B, "--for", "2h", "--full", **NOBODY)
    fits(0, folder, "unpair", A, B, "--full", **NOBODY)
    kept = f"{facts.DIALLED},{A},{B},,,2026-01-31T18:00:00Z,\n"
    put(folder, facts.ALLOW_LIST + kept)
    fits(0, folder, "prune", "--older-than", "7d", **NOBODY)
    fits(1, folder, "unpair", A, B, **NOBODY)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["pair", A, A, "--for", "2h"], 2),
        (["pair", A, "2025550131", "--for", "2h"], 2),
        (["pair", A, POOL, "--for", "2h"], 1),
        (["pair", A, B, "--for", "2 hours of your time, please, if that is possible at all"], 2),
        (["unpair", A, B], 1),
        (["check", "--nonsense"], 2),
        (["nonsense"], 2),
        (["--help"], 0),
        (["check", "--help"], 0),
        (["explain", "--help"], 0),
        (["pair", "--help"], 0),
        (["unpair", "--help"], 0),
        (["prune", "--help"], 0),
        (["session", "--help"], 0),
        (["session", A, B, "--validity", "2"], 2),
    ],
)
def test_what_is_in_the_way_and_the_help_fit(words: list[str], status: int, folder: Path) -> None:
    fits(status, folder, *words, **NOBODY)


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["explain", "--from", A, "--to", B],
        ["pair", A, B, "--for", "2h"],
        ["unpair", A, B],
        ["prune", "--older-than", "7d"],
    ],
)
@pytest.mark.parametrize("text", [FAULTY, FAULTY.replace("Expires", "note"), "", None])
def test_the_faults_of_a_list_fit(words: list[str], text: str | None, folder: Path) -> None:
    if text is None:
        (folder / "allowlist.csv").unlink()
    else:
        put(folder, text)
    fits(2, folder, *words, **NOBODY)


def test_a_list_with_a_long_path_is_named_within_the_width(folder: Path) -> None:
    long = folder / "a-folder-with-a-long-name" / "and-one-more-below-it" / "and-the-last-of-them"
    long.mkdir(parents=True)
    path = str(long / "the-list-of-our-drivers-and-riders.csv")
    words = ["pair", A, B, "--for", "2h"]
    fits(2, folder, *words, **NOBODY, MASKING_ALLOW_LIST=path)


def test_without_a_free_number_the_advice_fits(folder: Path) -> None:
    fits(0, folder, "pair", A, B, "--for", "2h", **NOBODY)
    fits(4, folder, "pair", A, "12025550132", "--for", "2h", **NOBODY)


@pytest.mark.parametrize(("answer", "status"), [("", 0), ("2702", 1), ("2704", 8), ("2701", 0)])
def test_what_becomes_of_a_session_fits(answer: str, status: int, folder: Path) -> None:
    account = Endpoint(facts.CUSTOMER_ID, signature.decode_key(facts.API_KEY), answer=answer)
    with session_server(account) as url:
        environment = {**NOBODY, **facts.KEYS, "MASKING_API_URL": url}
        words = ["session", A, B, "--validity", "2"]
        fits(status, folder, *words, "--append", "--full", **environment)
        fits(status, folder, *words, **environment)
