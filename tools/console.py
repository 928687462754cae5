"""Prints to the terminal: tables, wrapped text, and a call drawn as a ladder.

Takes plain rows and steps and knows nothing of events, routes or HTTP. rich finds out about colour,
width and encoding; without a terminal, or with NO_COLOR, the same text is printed plain.
"""

import errno
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

PARTIES = ("Caller", "TeleSign", "Server", "Called")
CALLER, TELESIGN, SERVER, CALLED = range(len(PARTIES))

NOT_PRINTED = 3
"""The exit status of a program whose output cannot be written."""

_MIN_WIDTH = 80
_MAX_WIDTH = 120
_MARGIN = 4
_MIN_LAST_WIDTH = 16
_NOT_WRITTEN = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
_ENDS_OF_WORDS = re.compile("(?<=[ ,])(?!(?<=[0-9],)[0-9])")  # but not within 1,000
_IN_ASCII = str.maketrans("│─", "|-")


@dataclass(frozen=True, slots=True)
class Arrow:
    """A message from one party to another; `both_ways` for people who talk."""

    sender: int
    receiver: int
    label: str
    style: str = ""
    both_ways: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that one party sees or does."""

    party: int
    text: str
    style: str = ""


Step = Arrow | Note


def terminal(stream: TextIO | None = None) -> Console:
    """Return the terminal to print to: 80 to 120 columns, no markup or highlighting."""
    console = Console(
        file=stream or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    console.width = min(max(console.width, _MIN_WIDTH), _MAX_WIDTH)
    return console


def without_traceback(main: Callable[[], int]) -> int:
    """Return the exit status of a program, also if Ctrl-C or its output ends it.

    The output may be closed, broken off by its reader, or a file on a disk that is full.
    """
    if sys.stdout is None:
        # For as long as the program runs; so no other file becomes standard output.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8", errors="replace")  # noqa: SIM115
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        if error.errno not in _NOT_WRITTEN:
            raise
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            return 1
        print(f"The output cannot be written: {error.strerror}", file=sys.stderr)
        return NOT_PRINTED
    return status


def discard(stream: TextIO) -> None:
    """Have what a stream still has to write go nowhere, or the program would fail on it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    """Print to stderr, if it is open and can be written; on a terminal as wide as that is."""
    if sys.stderr is None:
        return
    try:
        out = terminal(sys.stderr)
        if not out.is_terminal:
            out.width = sys.maxsize  # for a program, one fault a line
        for line in text.splitlines():
            print_wrapped(out, line)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def print_table(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their longest cell.

    On a terminal the last column is wrapped into the room that is left, or stands below the others,
    with those before it that do not fit either. A Chinese character takes two columns.
    """
    headers, *rows = [list(map(printable, cells)) for cells in (headers, *rows)]
    widths = _widths(headers, *rows)
    while console.is_terminal and sum(widths[:-1], 2 * len(widths[:-2])) > console.width:
        headers, *rows = map(_with_last_two_as_one, (headers, *rows))
        widths = _widths(headers, *rows)
    indent = sum(widths) - widths[-1] + 2 * (len(widths) - 1)
    room = max(console.width - indent, 0) if console.is_terminal else max(widths[-1], 1)
    is_below = room < min(widths[-1], _MIN_LAST_WIDTH)
    if is_below:
        indent, room = _MARGIN, console.width - _MARGIN
    widths[-1] = min(widths[-1], room)

    def lines(cells: Sequence[str]) -> Iterator[str]:
        line = "  ".join(map(_pad, cells[:-1], widths))
        is_long = cell_len(cells[-1]) > room
        first, *more = (_wrap(cells[-1], room) if is_long else []) or [cells[-1]]
        yield line.rstrip() if is_below else "  ".join(filter(None, (line, first))).rstrip()
        yield from (" " * indent + text for text in ([first, *more] if is_below else more) if text)

    for line in lines(headers):
        console.print(Text(line, style="bold"))
    console.print("  ".join("-" * width for width in widths[: -1 if is_below else None]))
    for row in rows:
        for line in lines(row):
            console.file.write(line + "\n")


def _widths(*rows: Sequence[str]) -> list[int]:
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def _with_last_two_as_one(cells: Sequence[str]) -> list[str]:
    *others, last_but_one, last = cells
    return [*others, "  ".join(filter(None, (last_but_one, last)))]


def print_wrapped(console: Console, text: str, style: str = "") -> None:
    """Print a text or JSON on as many lines as it takes; the lines after the first are indented."""
    line = ""
    for piece in _pieces(printable(text), console.width - len("    ")):
        if line.strip() and cell_len(line + piece.rstrip()) > console.width:
            console.print(Text(line.rstrip(), style=style))
            line = "    "
        line += piece
    console.print(Text(line.rstrip(), style=style))


def _pieces(text: str, most: int) -> Iterator[str]:
    """Yield what a line may end behind: words, and parts of a word that is longer than `most`."""
    for word in _ENDS_OF_WORDS.split(text):
        if cell_len(word) <= most:
            yield word
            continue
        for part in re.split("(?<=/)", word):
            yield from chop_cells(part, most)


def print_ladder(console: Console, steps: Iterable[Step]) -> None:
    """Draw a call from top to bottom, a lifeline for each party."""
    shows_lines = console.encoding.startswith("utf")
    for text, style in ladder(steps, console.width):
        console.print(Text(text if shows_lines else text.translate(_IN_ASCII), style=style))


def ladder(steps: Iterable[Step], width: int = _MIN_WIDTH) -> Iterator[tuple[str, str]]:
    """Yield the lines of a ladder with the style of each; none is longer than `width`."""
    lane = (width - 2 * _MARGIN) // (len(PARTIES) - 1)
    columns = [_MARGIN + party * lane for party in range(len(PARTIES))]
    heads = lifelines = " " * width
    for column, party in zip(columns, PARTIES, strict=True):
        heads = _overlay(heads, column - len(party) // 2, party)
        lifelines = _overlay(lifelines, column, "│")

    yield heads.rstrip(), "bold"
    for step in steps:
        if isinstance(step, Note):
            texts = _note(step, columns[step.party], lane, width)
        else:
            texts = _arrow(step, columns)
        for start, text in texts:
            yield _overlay(lifelines, start, text).rstrip(), step.style
    yield lifelines.rstrip(), "dim"


def _note(note: Note, column: int, lane: int, width: int) -> Iterator[tuple[int, str]]:
    """Yield the texts of a note, each with where it starts: centred, but within the ladder."""
    for text in _wrap(note.text, lane - 2):
        yield min(max(column - cell_len(text) // 2, 0), width - cell_len(text)), text


def _arrow(arrow: Arrow, columns: Sequence[int]) -> Iterator[tuple[int, str]]:
    """Yield the label of an arrow and the arrow itself, each with where it starts."""
    left, right = sorted((columns[arrow.sender], columns[arrow.receiver]))
    for text in _wrap(arrow.label, right - left - 3):
        yield left + 2, text
    shaft = "─" * (right - left - 1)
    if arrow.both_ways or arrow.sender < arrow.receiver:
        shaft = f"{shaft[:-1]}>"
    if arrow.both_ways or arrow.sender > arrow.receiver:
        shaft = f"<{shaft[1:]}"
    yield left + 1, shaft


def _wrap(text: str, width: int) -> list[str]:
    """Return a text on lines of at most so many columns, of which a Chinese character takes two."""
    lines = Text(printable(text)).wrap(Console(), width)
    return [line.plain.rstrip() for line in lines if line.plain.strip()]


def _overlay(line: str, start: int, text: str) -> str:
    return line[:start] + text + line[start + cell_len(text) :]


def printable(text: str) -> str:
    """Return the text with everything escaped that a terminal would obey or cannot show."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )
