"""The `explain` command: shows how a call would be answered, and why."""

import argparse
import json
import os
from datetime import datetime

from calls import Timestamp
from phone import NoNumber
from serving.sources import load
from tools import console
from tools.list_advice.explained import explained


def run(options: argparse.Namespace, now: datetime) -> int:
    """Print how a call would be answered, why, and the exact JSON; return the exit status."""
    settings, live = load(options.config, os.environ, serving=False)
    caller, to = options.caller, options.to
    event, decision, cause = explained(caller, to, settings, live.current, Timestamp(now, 0.0))
    out, route, reason = console.terminal(), decision.route, decision.reason
    if reason is not None:
        console.print_wrapped(out, f"refused: {reason}", "bold red")
        console.print_wrapped(out, cause)
    elif route is not None:
        whom = f"{route.destination} is called and sees {route.masking_id}"
        console.print_wrapped(out, f"connected by line {route.line}: {whom}", "bold green")
        if isinstance(event.caller, NoNumber):
            text = "The caller has no phone number, but the row is for any caller."
            console.print_wrapped(out, text)
    print(json.dumps(decision.command.to_wire(), separators=(",", ":")))
    return 0
