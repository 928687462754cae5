"""Where things stand in a drawing: a call from top to bottom, and the calls of days as bars."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from textwrap import wrap

from tools.console import PARTIES, Arrow
from tools.history.totals import Tally

TOP = 62
BAR_HEIGHT, BAR_PITCH = 100, 10

_LINE, _GAP = 15, 14


@dataclass(frozen=True, slots=True)
class Scale:
    """How wide a drawing is, how far from its edge the outer lifelines are, and how wide a text.

    A character is that wide on average, at most; the lines of a text are so much wider than their
    arrow, or less wide.
    """

    width: int
    edge: int
    character: float
    beyond: int

    def lane(self, party: int) -> int:
        """Return where the lifeline of a party is."""
        return self.edge + party * (self.width - 2 * self.edge) // (len(PARTIES) - 1)

    def sequence(
        self, arrows: Iterable[Arrow]
    ) -> Iterator[tuple[Arrow, int, list[tuple[int, str]]]]:
        """Yield the arrows of a call from the top: each, its height, and its lines with theirs."""
        y = TOP
        for arrow in arrows:
            width = abs(self.lane(arrow.sender) - self.lane(arrow.receiver))
            lines = wrap(arrow.label, int((width + self.beyond) / self.character))
            bottom = y + _LINE * len(lines) + 6
            yield arrow, bottom, [(y + _LINE * n, text) for n, text in enumerate(lines, start=1)]
            y = bottom + _GAP


KINDS = ("connected", "declined", "refused", "no_answer", "busy", "failed", "other")
"""What became of calls, in the order in which a report counts them."""

SCALES = {"whole": Scale(640, 56, 6.8, -12), "narrow": Scale(350, 34, 5.9, 14)}
"""The drawing for a screen, and the one for a phone, on which it fits too."""


def bars(days: Sequence[tuple[date, Tally]]) -> Iterator[tuple[int, float, float, str, str]]:
    """Yield the parts of each day's bar: place, top, height, what became of the calls, a title."""
    most = max((tally.calls for _, tally in days), default=0)
    for place, (day, tally) in enumerate(days):
        top = float(BAR_HEIGHT)
        for kind in KINDS:
            count = getattr(tally, kind)
            height = round(BAR_HEIGHT * count / (most or 1), 2)
            top -= height
            title = f"{day}: {count:,} {kind.replace('_', ' ')}"
            if count:
                yield place * BAR_PITCH, round(top, 2), height, kind, title
