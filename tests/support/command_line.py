"""Runs the command line as a user does, and some calls for it to show."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import ROOT, Clock, payload

from tools import main

Ended = subprocess.CompletedProcess[str]


def run(folder: Path, *words: str, **environment: str) -> Ended:
    return subprocess.run(
        [sys.executable, ROOT / "app.py", *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def run_here(capsys: pytest.CaptureFixture[str], *words: str) -> Ended:
    """Run the command line in this process; a program that starts takes half a second more."""
    capsys.readouterr()
    try:
        status = main.main(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    return Ended(words, status, *capsys.readouterr())


def of(call: str, name: str) -> bytes:
    return payload(name).replace(facts.REFERENCE_ID.encode(), call.encode())


def ids(answer: Ended) -> list[str]:
    return [call["reference_id"] for call in json.loads(answer.stdout)]


def in_the_files(folder: Path, number: bytes) -> bool:
    return any(number in path.read_bytes() for path in folder.glob("calls.db*"))


def deliver_some_calls(deliver: Any, clock: Clock) -> None:
    deliver("answered", "incoming_call", "dial_completed_answered", "speak_completed_digit_1")
    deliver("answered", "call_completed")
    deliver("busy", "incoming_call", "dial_completed_busy")
    clock.sleep(86_400)
    deliver("refused", "incoming_call_not_listed")
    deliver("end-only", "call_completed")
    deliver("=1+1", "unknown_event")
