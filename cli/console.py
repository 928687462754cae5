"""What a person sees in the terminal: tables, and a call drawn as a ladder.

Takes plain rows and steps and knows nothing of events, routes or HTTP. Colour, width and what the
terminal can show come from rich; without a terminal, or with NO_COLOR, the same text comes plain.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TextIO, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.progress import track
from rich.text import Text

T = TypeVar("T")

PARTIES = ("Caller", "TeleSign", "Server", "Called")
CALLER, TELESIGN, SERVER, CALLED = range(len(PARTIES))

_MIN_WIDTH = 80
_MAX_WIDTH = 120
_MARGIN = 4


@dataclass(frozen=True, slots=True)
class Arrow:
    """Something that one party tells another; `both_ways` for people who talk."""

    sender: int
    receiver: int
    label: str
    style: str = ""
    both_ways: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """Something that is seen or done at one party."""

    party: int
    text: str
    style: str = ""


Step = Arrow | Note


@dataclass(frozen=True, slots=True)
class _Glyphs:
    line: str
    shaft: str
    right: str
    left: str


_DRAWN = _Glyphs("│", "─", ">", "<")
_TYPED = _Glyphs("|", "-", ">", "<")


def terminal(stream: TextIO | None = None) -> Console:
    """Return the terminal to print to: at least 80 columns, nothing marked up by itself."""
    console = Console(
        file=stream or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True
    )
    console.width = min(max(console.width, _MIN_WIDTH), _MAX_WIDTH)
    return console


def quietly(main: Callable[[], int]) -> int:
    """Run a program; whoever closes its output or presses Ctrl-C sees no traceback."""
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def progress(console: Console, items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """Yield the items and show, on a terminal only, how far it is."""
    bar = Console(file=console.file)  # as wide as the terminal is, so that it can be wiped away
    return iter(
        track(
            items, text, total=total, console=bar, transient=True, disable=not console.is_terminal
        )
    )


def print_table(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows in columns as wide as their longest cell; the last column may be of any length."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(map(str.ljust, cells, widths)).rstrip()

    console.print(Text(line(headers), style="bold"))
    console.print("  ".join("-" * width for width in widths))
    for row in rows:
        console.file.write(line(row) + "\n")


def print_wrapped(console: Console, text: str, style: str = "") -> None:
    """Print a text or JSON in as many lines as it takes, those after the first set in."""
    line = ""
    for piece in re.split(r"(?<=[ ,])", shown(text)):
        if line.strip() and len(line) + len(piece.rstrip()) > console.width:
            console.print(Text(line.rstrip(), style=style))
            line = "    "
        line += piece
    console.print(Text(line.rstrip(), style=style))


def print_ladder(console: Console, steps: Iterable[Step]) -> None:
    """Draw a call from top to bottom, a lifeline for each party."""
    glyphs = _DRAWN if console.encoding.startswith("utf") else _TYPED
    for text, style in ladder(steps, console.width, glyphs):
        console.print(Text(text, style=style))


def ladder(
    steps: Iterable[Step], width: int = _MIN_WIDTH, glyphs: _Glyphs = _DRAWN
) -> Iterator[tuple[str, str]]:
    """Yield the lines of a ladder with the style of each; none is longer than `width`."""
    lane = (width - 2 * _MARGIN) // (len(PARTIES) - 1)
    columns = [_MARGIN + party * lane for party in range(len(PARTIES))]
    empty = " " * width

    def lifelines(*texts: tuple[int, str]) -> str:
        drawn = empty
        for column in columns:
            drawn = _put(drawn, column, glyphs.line)
        for start, text in texts:
            drawn = _put(drawn, start, text)
        return drawn.rstrip()

    heads = empty
    for column, party in zip(columns, PARTIES, strict=True):
        heads = _put(heads, column - len(party) // 2, party)
    yield heads.rstrip(), "bold"
    for step in steps:
        if isinstance(step, Note):
            for text in wrap(shown(step.text), lane - 2):
                start = min(max(columns[step.party] - len(text) // 2, 0), width - len(text))
                yield lifelines((start, text)), step.style
            continue
        left, right = sorted((columns[step.sender], columns[step.receiver]))
        for text in wrap(shown(step.label), right - left - 3):
            yield lifelines((left + 2, text)), step.style
        shaft = glyphs.shaft * (right - left - 1)
        if step.both_ways or step.sender < step.receiver:
            shaft = shaft[:-1] + glyphs.right
        if step.both_ways or step.sender > step.receiver:
            shaft = glyphs.left + shaft[1:]
        yield lifelines((left + 1, shaft)), step.style
    yield lifelines(), "dim"


def _put(line: str, start: int, text: str) -> str:
    return line[:start] + text + line[start + cell_len(text) :]


def shown(text: str) -> str:
    """Return the text with everything written out that a terminal would obey or cannot show."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
