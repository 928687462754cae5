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
from tools.history.signs import Call, Evidence, Verdict
from tools.history.unknowns import Finding, OpenQuestion

_STYLES = {Verdict.DIFFERS: "bold red", Verdict.AS_ASSUMED: "bold green"}

Findings = list[tuple[OpenQuestion, Finding]]


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print every question with its answer; return 1 for a `look at this`, or without a log."""
    settings, allow_list = stored.settings_and_list(options.config)
    with stored.reading(settings) as log:
        newest = log.records(~conditions.SIMULATED, now, unknowns.MAX_CALLS)
        records = {record.reference_id: record for record in newest}
        kept = log.events_of(records)
        calls = [Call(records[events[0].event.reference_id], events) for events in kept]
    findings = unknowns.check(Evidence(calls, allow_list))
    counts = {
        "calls": len(calls),
        "calls_at_most": unknowns.MAX_CALLS,
        "events": sum(len(call.events) for call in calls),
        "carry_on": settings.carry_on,
    }
    if options.json:
        questions = [_plain(question, finding) for question, finding in findings]
        print(json.dumps(counts | {"questions": questions}, indent=2))
    else:
        _print(counts, findings)
    return 1 if any(finding.outcome is Verdict.DIFFERS for _, finding in findings) else 0


def _plain(question: OpenQuestion, finding: Finding) -> dict[str, Any]:
    return {"unknown": question.unknown, "assumed": question.assumed} | asdict(finding)


def _print(counts: dict[str, Any], findings: Findings) -> None:
    out = console.terminal()

    def line(label: str, text: str, style: str = "") -> None:
        console.print_wrapped(out, f"{label:<14}{text}", style)

    most, events = counts["calls_at_most"], counts["events"]
    line("real calls", f"{counts['calls']:,} (the newest, at most {most:,}), {events:,} events")
    line("carry_on", f"{counts['carry_on']} is sent now to leave a call as it is")
    for place, (question, finding) in enumerate(findings, 1):
        out.print()
        line(f"{place:>2}", question.unknown, "bold")
        line("   assumed", question.assumed)
        if finding.values:
            seen = ", ".join(f"{text} ({count:,})" for text, count in finding.values.items())
            line("   in the log", f"{finding.events:,}: {seen}")
        line("   result", finding.outcome, _STYLES.get(finding.outcome, ""))
        if finding.to_do:
            line("   to do", finding.to_do)
