"""What a person sees, as text: at 80 columns and wider, with and without colour."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tools import console
from tools.console import CALLED, CALLER, SERVER, TELESIGN, Arrow, Note

STEPS: list[console.Step] = [
    Note(CALLER, "dials and sees 12025550100"),
    Arrow(TELESIGN, SERVER, "1 incoming_call", "cyan"),
    Arrow(SERVER, TELESIGN, "1 dial 0.9 ms", "green"),
    Arrow(TELESIGN, CALLED, "rings 12025550111"),
    Note(CALLED, "sees 12025550199", "bold"),
    Arrow(CALLED, TELESIGN, "says: a sentence that is longer than the way from there to here"),
    Arrow(CALLER, CALLED, "they talk", both_ways=True),
]

DRAWN = """\
 Caller                 TeleSign                 Server                  Called
dials and sees              │                       │                       │
12025550100                 │                       │                       │
    │                       │ 1 incoming_call       │                       │
    │                       │──────────────────────>│                       │
    │                       │ 1 dial 0.9 ms         │                       │
    │                       │<──────────────────────│                       │
    │                       │ rings 12025550111     │                       │
    │                       │──────────────────────────────────────────────>│
    │                       │                       │           sees 12025550199
    │                       │ says: a sentence that is longer than the way  │
    │                       │ from there to here    │                       │
    │                       │<──────────────────────────────────────────────│
    │ they talk             │                       │                       │
    │<─────────────────────────────────────────────────────────────────────>│
    │                       │                       │                       │
"""


class Output(io.StringIO):
    """A stream that says whether it is a terminal and what it can show."""

    def __init__(self, *, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._terminal, self._encoding = terminal, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def draw(monkeypatch: pytest.MonkeyPatch, output: Output, **environment: str) -> str:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color", "COLUMNS": "80"} | environment).items():
        monkeypatch.setenv(name, value)
    console.print_ladder(console.terminal(output), STEPS)
    return output.getvalue()


def test_a_ladder_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw(monkeypatch, Output(terminal=False)) == DRAWN
    assert max(map(len, DRAWN.splitlines())) <= 80


def test_a_terminal_gets_colour_and_otherwise_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    coloured = draw(monkeypatch, Output(terminal=True))
    assert "\x1b[36m" in coloured
    assert "\x1b[32m" in coloured
    plain = io.StringIO()
    Console(file=plain, width=200).print(Text.from_ansi(coloured))
    lines = [line.rstrip() for line in plain.getvalue().splitlines()]
    assert lines[: DRAWN.count("\n")] == DRAWN.splitlines()


def test_with_no_color_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(monkeypatch, Output(terminal=True), NO_COLOR="1")
    assert "\x1b[3" not in drawn
    assert "they talk" in drawn


def test_a_terminal_that_shows_only_ascii_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(monkeypatch, Output(terminal=False, encoding="ascii"))
    assert drawn == DRAWN.replace("│", "|").replace("─", "-")


@pytest.mark.parametrize(("columns", "width"), [("40", 80), ("100", 100), ("500", 120)])
def test_a_ladder_is_as_wide_as_the_terminal_from_80_to_120_columns(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = draw(monkeypatch, Output(terminal=False), COLUMNS=columns).splitlines()
    assert width - 3 <= max(map(len, lines)) <= width
    assert len({line.rfind("│") for line in lines if line.endswith("│")}) == 1


@pytest.mark.parametrize(
    "text", ["您的电话已接通" * 12, "您的电话 " * 20, "word " * 40, "x" * 200, "/a-folder" * 20]
)
def test_no_line_is_wider_than_a_terminal_whatever_its_characters(text: str) -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    console.print_wrapped(out, f"{text}, {text}")
    console.print_ladder(out, [Arrow(CALLER, TELESIGN, text), Note(CALLED, text)])
    console.print_table(out, ("line", "说", "note"), [("1", "您好", text), ("2", "x", text[:9])])
    assert isinstance(out.file, io.StringIO)
    lines = Text.from_ansi(out.file.getvalue()).plain.splitlines()
    assert max(cell_len(line.rstrip()) for line in lines) <= 80
    shown = re.sub(r"[\s│─>]|Caller|TeleSign|Server|Called", "", "".join(lines))
    assert shown.count(text.replace(" ", "")) >= 3


def test_a_table_sends_no_terminal_what_it_would_obey() -> None:
    output = Output(terminal=True)
    console.print_table(console.terminal(output), ("a", "b"), [("\x1b[2J", "\x1b]0;owned\x07")])
    assert output.getvalue().splitlines()[-1] == r"\x1b[2J  \x1b]0;owned\x07"


def test_a_table_is_as_wide_as_its_cells() -> None:
    output = Output(terminal=False)
    rows = [("1", "anyone", ""), ("200", "x", "a long last cell")]
    console.print_table(console.terminal(output), ("line", "who", "note"), rows)
    assert output.getvalue() == (
        "line  who     note\n"
        "----  ------  ----------------\n"
        "1     anyone\n"
        "200   x       a long last cell\n"
    )


def test_a_table_of_no_rows_is_its_head() -> None:
    output = Output(terminal=False)
    console.print_table(console.terminal(output), ("a", "b"), [])
    assert output.getvalue() == "a  b\n-  -\n"


def test_no_line_ends_within_a_number() -> None:
    output = Output(terminal=False)
    console.print_wrapped(console.terminal(output), f"{'x' * 75} 150,000,so [1,2]")
    assert output.getvalue() == f"{'x' * 75}\n    150,000,so [1,2]\n"


def test_a_long_text_is_wrapped_and_indented_and_complete() -> None:
    output = Output(terminal=False)
    text = '{"method":"dial","params":{"to":"12025550111"}}, ' * 4 + "and so on [not markup]"
    console.print_wrapped(console.terminal(output), text)
    lines = output.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_control_characters_are_escaped() -> None:
    output = Output(terminal=False)
    out = console.terminal(output)
    console.print_wrapped(out, "red \x1b[31m, half \ud800, line\nbreak")
    console.print_ladder(out, [Arrow(CALLER, TELESIGN, "\x1b[2Jgone")])
    assert "red \\x1b[31m, half \\ud800, line\\nbreak\n" in output.getvalue()
    assert "│ \\x1b[2Jgone" in output.getvalue()


def test_wide_characters_leave_the_lifelines_where_they_are() -> None:
    (_, (line, _), *_) = console.ladder([Arrow(CALLER, TELESIGN, "您好")])
    assert line == "    │ 您好                  │                       │                       │"


def interrupted() -> int:
    raise KeyboardInterrupt


def test_ctrl_c_gives_no_traceback() -> None:
    assert console.without_traceback(interrupted) == 130
    assert console.without_traceback(lambda: 7) == 7


@pytest.mark.parametrize("command", ["app.py check", "simulator.py --list"])
def test_a_closed_output_gives_no_traceback(command: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
@pytest.mark.parametrize("command", ["app.py check", "simulator.py --list"])
def test_output_to_a_full_disk_is_one_clear_line(command: str) -> None:
    ended = in_shell(f"{sys.executable} {command} >/dev/full")
    message = "The output cannot be written: No space left on device\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", message)


@pytest.mark.skipif(os.name != "posix", reason="needs a Unix shell")
@pytest.mark.parametrize("command", ["app.py check", "simulator.py --list"])
def test_without_an_output_the_status_is_as_usual(command: str) -> None:
    ended = in_shell(f"{sys.executable} {command} >&-")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def in_shell(line: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


REASONS = [
    ["1", "not_listed"],
    ["22", "a reason that takes many more words than there is room for"],
]
WIDE = [["12025550123" * 6, "a reason that takes many more words than there is room for"]]


@pytest.mark.parametrize(
    ("rows", "terminal", "lines"),
    [
        (
            [["x" * 40, reason] for _, reason in REASONS],
            True,
            [
                f"{'a':<40}  b",
                f"{'-' * 40}  {'-' * 38}",
                f"{'x' * 40}  not_listed",
                f"{'x' * 40}  a reason that takes many more words",
                f"{' ' * 42}than there is room for",
            ],
        ),
        (
            WIDE,
            True,
            ["a", "    b", "-" * 66, WIDE[0][0], f"    {WIDE[0][1]}"],
        ),
        (
            REASONS,
            False,
            ["a   b", f"--  {'-' * 58}", "1   not_listed", f"22  {REASONS[1][1]}"],
        ),
    ],
    ids=["wrapped", "below", "no terminal"],
)
def test_the_last_column_of_a_table_takes_the_room_that_is_left_on_a_terminal(
    rows: list[list[str]], terminal: bool, lines: list[str]
) -> None:
    out = Console(file=io.StringIO(), width=80, force_terminal=terminal, color_system=None)
    console.print_table(out, ("a", "b"), rows)
    assert isinstance(out.file, io.StringIO)
    assert [
        line.rstrip() for line in Text.from_ansi(out.file.getvalue()).plain.splitlines()
    ] == lines
