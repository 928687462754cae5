"""A horizontal bar chart as SVG, readable on a light and on a dark page; no library is needed.

The picture's colours follow the reader's setting; each bar says its value, so that no axis is
needed. What is given is drawn, the longest bar first.
"""

from collections.abc import Collection, Mapping
from html import escape

_WIDTH, _NAMES, _VALUES = 760, 270, 80
_ROW, _BAR, _TOP = 30, 18, 46
_STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; }
  rect { fill: #8c959f; }
  .ours { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    rect { fill: #6e7681; }
    .ours { fill: #4493f8; }
  }
"""


def bars(title: str, values: Mapping[str, float], ours: Collection[str]) -> str:
    """Return a picture of values above zero; the bars of the names in `ours` stand out."""
    rows = sorted(values.items(), key=lambda pair: -pair[1])
    height = _TOP + _ROW * len(rows) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="8" y="24">{escape(title)}</text>',
        *(_bar(at, *row, most=rows[0][1], ours=ours) for at, row in enumerate(rows)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(at: int, name: str, value: float, *, most: float, ours: Collection[str]) -> str:
    y = _TOP + _ROW * at
    length = round((_WIDTH - _NAMES - _VALUES) * value / most, 1)
    kind = ' class="ours"' if name in ours else ""
    return (
        f'<text x="{_NAMES - 8}" y="{y + 14}" text-anchor="end">{escape(name)}</text>'
        f'<rect{kind} x="{_NAMES}" y="{y}" width="{length}" height="{_BAR}" rx="3"/>'
        f'<text x="{_NAMES + length + 8}" y="{y + 14}">{value:,.0f}</text>'
    )
