"""`live-check`: what the first real calls have shown of what is not known of TeleSign.

Shows no phone number. Simulated calls do not count: they show what the simulator does.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from textwrap import wrap
from typing import Any

from cli.history import stored
from insight import live_check
from insight.evidence import Answer, Evidence, Outcome, evidence
from insight.live_check import Question

_LABEL_WIDTH = 14
_STYLES = {
    Outcome.DIFFERS: "bold red",
    Outcome.MOSTLY_AS_ASSUMED: "bold yellow",
    Outcome.AS_ASSUMED: "bold green",
}

Answered = list[tuple[Question, Answer]]


def add_parser(commands: Any) -> None:
    """Add the command to those of the program."""
    text = "show what real calls have shown of what is not known of TeleSign"
    description = f"{text[0].upper()}{text[1:]}."
    parser = commands.add_parser("live-check", help=text, description=description)
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace, _: datetime) -> int:
    """Print every question with its answer; return 1 for a `look at this`, or without a log."""
    settings, allow_list = stored.settings_and_list(options.config)
    try:
        with stored.reading(settings) as log:
            found = evidence(log.newest(live_check.MAX_CALLS), allow_list)
    except stored.NoLogError as error:
        print(f"live-check: {error}", file=sys.stderr)
        return 1
    answered = live_check.check(found)
    if options.json:
        print(json.dumps(_plain(found, answered), indent=2))
    else:
        _print(found, answered)
    return 1 if any(answer.outcome is Outcome.DIFFERS for _, answer in answered) else 0


def _plain(found: Evidence, answered: Answered) -> dict[str, Any]:
    return {
        "calls": len(found.calls),
        "calls_at_most": live_check.MAX_CALLS,
        "events": sum(map(len, found.calls)),
        "questions": [_plain_answer(*each) for each in answered],
    }


def _plain_answer(question: Question, answer: Answer) -> dict[str, Any]:
    asked = {"unknown": question.unknown, "assumed": question.assumed}
    return asked | asdict(answer) | {"values": dict(answer.values)}


@dataclass(frozen=True, slots=True)
class _Line:
    label: str
    text: str
    style: str = ""


def _print(found: Evidence, answered: Answered) -> None:
    from cli import console

    out = console.terminal()
    for line in _lines(found, answered):
        first, *rest = wrap(console.printable(line.text), out.width - _LABEL_WIDTH) or [""]
        out.print(f"{line.label:<{_LABEL_WIDTH}}{first}".rstrip(), style=line.style)
        for text in rest:
            out.print(f"{'':<{_LABEL_WIDTH}}{text}", style=line.style)


def _lines(found: Evidence, answered: Answered) -> Iterator[_Line]:
    count, most = len(found.calls), live_check.MAX_CALLS
    events = sum(map(len, found.calls))
    yield _Line(
        "real calls", f"{count:,} (the newest, at most {most:,}), {events:,} events", "bold"
    )
    for place, (question, answer) in enumerate(answered, 1):
        yield _Line("", "")
        yield _Line(f"{place:>2}", question.unknown, "bold")
        yield _Line("   assumed", question.assumed)
        if answer.values:
            seen = ", ".join(f"{text} ({count:,})" for text, count in answer.values)
            yield _Line("   in the log", f"{answer.events:,}: {seen}")
        yield _Line("   result", answer.outcome, _STYLES.get(answer.outcome, ""))
        if answer.to_do:
            yield _Line("   to do", answer.to_do)
