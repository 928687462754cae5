"""A dispatch program, as the pages show how to write one: pairs people and hears of their calls.

It reads a trip a line: its id, the rider and the driver, or that it is `over`. It writes a line of
JSON for what it has done and heard, and at the end for who was missed.
"""

import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

APP = [sys.executable, sys.argv[1]]
SHOWN = ["--json", "--full", "--simulated"]


def run(*words: str) -> Any:
    done = subprocess.run([*APP, *words], stdout=subprocess.PIPE, text=True, check=False)
    answer = json.loads(done.stdout)
    if "error" in answer:
        sys.exit(done.stdout)
    if "live" in answer and not answer["live"]:
        time.sleep(2)  # a server that is just starting may have read the list as it was
    return answer


def write(*values: object) -> None:
    print(f"{json.dumps(values)}\n", end="", flush=True)  # at once: several threads write


def follow() -> None:
    command = [*APP, "calls", "--follow", "--after", "0", *SHOWN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as calls:
        for line in calls.stdout or ():
            call = json.loads(line)
            write("ended", call["external_id"], call["reference_id"], call["disposition"])


def begin_or_end(trip: str, rider: str, driver: str) -> None:
    if driver == "over":
        run("unpair", "--external-id", trip, "--json")
        write("over", trip)
    else:
        words = ["--for", "2h", "--external-id", trip, "--json"]
        write("paired", trip, run("pair", rider, driver, *words)["virtual_number"])


threading.Thread(target=follow, daemon=True).start()
with ThreadPoolExecutor(4) as pool:
    for line in sys.stdin:
        pool.submit(begin_or_end, *line.split()).add_done_callback(lambda done: done.result())
for call in run("calls", "--missed", "--last", "1000", *SHOWN):
    write("missed", call["caller"], call["times"])
