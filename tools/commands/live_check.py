"""`live-check`: what the first real calls have shown of what is not known of TeleSign.

Shows no phone number. Simulated calls do not count: they show what the simulator does.
"""

import argparse
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tools import console
from tools.history import conditions, stored, unknowns
from tools.history.signs import Call, Evidence, Outcome
from tools.history.unknowns import Answer, Question

_STYLES = {Outcome.DIFFERS: "bold red", Outcome.AS_ASSUMED: "bold green"}

Answered = list[tuple[Question, Answer]]


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print every question with its answer; return 1 for a `look at this`, or without a log."""
    settings, allow_list = stored.settings_and_list(options.config)
    with stored.reading(settings) as log:
        newest = log.records(~conditions.SIMULATED, now, unknowns.MAX_CALLS)
        records = {record.reference_id: record for record in newest}
        kept = log.events_of(records)
        calls = [Call(records[events[0].event.reference_id], events) for events in kept]
    answered = unknowns.check(Evidence(calls, allow_list))
    counts = {
        "calls": len(calls),
        "calls_at_most": unknowns.MAX_CALLS,
        "events": sum(len(call.events) for call in calls),
        "carry_on": settings.carry_on,
    }
    if options.json:
        questions = [_plain(question, answer) for question, answer in answered]
        print(json.dumps(counts | {"questions": questions}, indent=2))
    else:
        _print(counts, answered)
    return 1 if any(answer.outcome is Outcome.DIFFERS for _, answer in answered) else 0


def _plain(question: Question, answer: Answer) -> dict[str, Any]:
    return {"unknown": question.unknown, "assumed": question.assumed} | asdict(answer)


def _print(counts: dict[str, Any], answered: Answered) -> None:
    out = console.terminal()

    def line(label: str, text: str, style: str = "") -> None:
        console.print_wrapped(out, f"{label:<14}{text}", style)

    most, events = counts["calls_at_most"], counts["events"]
    line("real calls", f"{counts['calls']:,} (the newest, at most {most:,}), {events:,} events")
    line("carry_on", f"{counts['carry_on']} is sent now to leave a call as it is")
    for place, (question, answer) in enumerate(answered, 1):
        out.print()
        line(f"{place:>2}", question.unknown, "bold")
        line("   assumed", question.assumed)
        if answer.values:
            seen = ", ".join(f"{text} ({count:,})" for text, count in answer.values.items())
            line("   in the log", f"{answer.events:,}: {seen}")
        line("   result", answer.outcome, _STYLES.get(answer.outcome, ""))
        if answer.to_do:
            line("   to do", answer.to_do)
