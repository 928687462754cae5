"""The `explain` command: shows how a call would be answered, and why."""

import argparse
import json
import os
from datetime import datetime
from typing import Any

import phone
from calls import Decision, Timestamp
from commands import Dial, Speak
from phone import NoNumber
from serving.sources import load
from tools import console
from tools.list_advice.explained import explain
from tools.list_advice.redacted import show_number
from tools.list_advice.words import mask_keys


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print how a call would be answered, why, and the JSON; return the exit status.

    That is what is sent, to the letter, only in full: without it, nobody's number is shown whole.
    """
    settings, live = load(options.config, os.environ, serving=False)
    allow_list, at, full = live.current, Timestamp(now, 0.0), options.full
    event, decision, cause = explain(
        options.caller, options.to, settings, allow_list, at, full=full
    )
    answer: dict[str, Any] = decision.command.to_wire()
    reason, line = decision.reason, decision.row_line
    if isinstance(decision.command, Dial):
        destination = decision.command.destination
        answer["params"]["to"] = show_number(destination, allow_list, full=full)
        if keys := mask_keys(decision.command.send_dtmf, full=full):
            answer["params"]["send_dtmf"] = keys
    if isinstance(decision.command, Speak) and not full:
        answer["params"]["tts"]["message"] = phone.mask_digits(decision.command.message)
    note = ""
    if reason is None and isinstance(event.caller, NoNumber):
        note = "The caller has no phone number, but the row is for any caller."
    if options.json:
        plain = {"reason": reason, "cause": cause or None, "line": line, "answer": answer}
        print(json.dumps(plain))
    else:
        _print(decision, cause or note, answer)
    return 0


def _print(decision: Decision, sentence: str, answer: dict[str, Any]) -> None:
    out = console.terminal()
    if decision.reason is not None:
        console.print_wrapped(out, f"refused: {decision.reason}", "bold red")
    else:
        params = answer["params"]
        whom = f"{params['to']} is called and sees {params['caller_id_number']}"
        text = f"connected by line {decision.row_line}: {whom}"
        console.print_wrapped(out, text, "bold green")
    if sentence:
        console.print_wrapped(out, sentence)
    text = json.dumps(answer, separators=(",", ":"))
    if out.is_terminal:
        console.print_wrapped(out, text)
    else:
        print(text)
