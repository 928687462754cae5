"""Where things stand in a drawing: a call from top to bottom, and the calls of days as bars."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import date
from textwrap import wrap

from tools.console import PARTIES, Arrow
from tools.history.totals import Tally

WIDTH, TOP = 640, 62
BAR_HEIGHT, BAR_PITCH = 100, 10

_EDGE, _LINE, _GAP = 56, 15, 14
_CHARACTER = 6.8  # as wide as one is on average, at most


def lane(party: int) -> int:
    """Return where the lifeline of a party is."""
    return _EDGE + party * (WIDTH - 2 * _EDGE) // (len(PARTIES) - 1)


def sequence(arrows: Iterable[Arrow]) -> Iterator[tuple[Arrow, int, list[tuple[int, str]]]]:
    """Yield the arrows of a call from the top: each, its height, and its lines with theirs."""
    y = TOP
    for arrow in arrows:
        width = abs(lane(arrow.sender) - lane(arrow.receiver))
        lines = wrap(arrow.label, int((width - 12) / _CHARACTER))
        bottom = y + _LINE * len(lines) + 6
        yield arrow, bottom, [(y + _LINE * n, text) for n, text in enumerate(lines, start=1)]
        y = bottom + _GAP


def bars(days: Sequence[tuple[date, Tally]]) -> Iterator[tuple[int, float, float, str, str]]:
    """Yield the parts of each day's bar: place, top, height, what became of the calls, a title."""
    most = max((tally.calls for _, tally in days), default=0)
    for place, (day, tally) in enumerate(days):
        top = float(BAR_HEIGHT)
        for kind, count in list(asdict(tally).items())[1:]:
            height = round(BAR_HEIGHT * count / (most or 1), 2)
            top -= height
            title = f"{day}: {count:,} {kind.replace('_', ' ')}"
            if count:
                yield place * BAR_PITCH, round(top, 2), height, kind, title
