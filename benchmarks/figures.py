"""What a measurement is, whether it holds, and how many of them become a table.

A figure is made from what was measured and says what was wanted of it; the words "yes" and "no" in
the table are worked out from both. Nothing here measures, and nothing knows what is measured.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value in its unit, and what was wanted: at most, or at least, so much."""

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def wanted(self) -> str:
        """What was wanted, in words; empty if nothing was."""
        if self.at_most is not None:
            return f"at most {format_value(self.at_most, self.unit)}"
        if self.at_least is not None:
            return f"at least {format_value(self.at_least, self.unit)}"
        return ""

    @property
    def holds(self) -> bool:
        """Whether the value is what was wanted; a value that is none (NaN) never is."""
        over = self.at_most is not None and not self.value <= self.at_most
        under = self.at_least is not None and not self.value >= self.at_least
        return not (over or under or math.isnan(self.value))


def format_value(value: float, unit: str) -> str:
    """Return a value with its unit, as exact as it is of use."""
    digits = 0 if value % 1 == 0 or abs(value) >= 100 else 2 if abs(value) < 10 else 1
    return f"{value:,.{digits}f} {unit}".rstrip()


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed; NaN of none."""
    if not values:
        return math.nan
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def ratio_to(base: str, rounds: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return for each name the median over all rounds of its ratio to the base in that round.

    A ratio within a round compares two moments that lie close together, so what else the machine
    does meanwhile weighs on both.
    """
    return {
        name: statistics.median(
            value / other for value, other in zip(values, rounds[base], strict=True)
        )
        for name, values in rounds.items()
    }


def table(figures: Iterable[Figure]) -> str:
    """Return figures as a table in Markdown."""
    rows = [
        (figure.what, format_value(figure.value, figure.unit), figure.wanted, _verdict(figure))
        for figure in figures
    ]
    return markdown(("what", "measured", "wanted", "holds"), rows)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; the first column is text, the others are set to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _verdict(figure: Figure) -> str:
    if not figure.wanted:
        return ""
    return "yes" if figure.holds else "**no**"
