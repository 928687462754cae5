"""The command line of the simulator, which plays TeleSign in a call and checks the answers.

Nothing of `events`, `commands` or `routing` is imported here or in `simulation`, so that two
separate readings of TeleSign's documents have to agree. `--help` lists the options.
"""

if __name__ == "__main__":
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).resolve().parent))  # `python -P` and -I leave it out
    from serving import prerequisites

    prerequisites.check()  # first, as what is missing is found by the imports that follow

import argparse
import contextlib
import functools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import signature
from tools import console, http_client
from tools.simulation import load, own_list, own_server, play, scenarios, session_endpoint
from tools.simulation.call import Signer
from tools.simulation.own_list import ListError, OwnList
from tools.simulation.own_server import FoundServer, ServerStartError
from tools.simulation.play import ScenarioResult, Target
from tools.simulation.scenarios import Chooser, Scenario, ScenarioError, Unplayable

_ONLY_WITH = {"rate": "calls", "port": "api", "answer": "api", "unit": "api"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 if no call failed."""
    parser = _parser()
    options = parser.parse_args(arguments)
    given = {name for name, value in vars(options).items() if value != parser.get_default(name)}
    fault = _fault(options, given)
    if fault:
        parser.error(fault)
    try:
        return _run(options)
    except ScenarioError as error:
        parser.error(str(error))
    except signature.KeyFormError as error:
        console.say(f"TELESIGN_API_KEY: {error}")
    except ListError as error:
        hint = "name --from and --to, or run this in the folder of the list"
        console.say(f"No call was played: {error}; {hint}")
    except (ServerStartError, Unplayable) as error:
        console.say(f"No call was played: {error}")
    return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        console.say(f"{self.format_usage()}{self.prog}: error: {message}")
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(description="Play TeleSign in a call, and check what the server answers.")
    add = parser.add_argument
    usual = "scenarios, or all (default: connected and refused)"
    add("scenarios", nargs="*", metavar="SCENARIO", help=usual)
    url = "the customer event URL (default: the server here, or a new one)"
    add("--url", type=_url, help=url)
    settings = "the server's settings file (default: config.toml, if it exists)"
    add("--config", type=Path, metavar="FILE", help=settings)
    caller = "the caller's number (default: one of the list that fits)"
    add("--from", dest="caller", type=_caller, metavar="A", help=caller)
    to = "the dialled number (default: one of the list that fits)"
    add("--to", type=_number, metavar="B", help=to)
    pressed = "the digit to press if one is asked for (default: 1)"
    add("--digit", default="1", choices=[*"0123456789"], metavar="D", help=pressed)
    full = "show real numbers in full, not by their last four digits"
    add("--full", action="store_true", help=full)
    add("--json", action="store_true", help="print the results as JSON")
    instead = parser.add_mutually_exclusive_group().add_argument
    instead("--list", action="store_true", help="list the scenarios")
    event = "send the event in this file, marked as simulated"
    instead("--event", type=Path, metavar="FILE", help=event)
    calls = f"play N calls under load, on this machine (at most {load.MAX_CALLS:,})"
    instead("--calls", type=_within(int, 1, load.MAX_CALLS), metavar="N", help=calls)
    api = "serve TeleSign's session endpoint on this machine"
    instead("--api", action="store_true", help=api)
    rate = f"with --calls: calls per second (default: 50; at most {load.MAX_RATE:,})"
    add("--rate", type=_within(float, 0.01, load.MAX_RATE), default=50, metavar="R", help=rate)
    port = "with --api: the port (default: 8081)"
    add("--port", type=_within(int, 0, 65_535), default=8081, metavar="P", help=port)
    answers, units = session_endpoint.ANSWERS, session_endpoint.UNITS
    answer = f"with --api: always give this answer: {', '.join(answers)}"
    add("--answer", choices=answers, default="", metavar="X", help=answer)
    unit = "with --api: the unit of the validity period (default: hours)"
    add("--unit", choices=units, default="hours", help=unit)
    return parser


def _url(text: str) -> str:
    with contextlib.suppress(ValueError):  # of brackets that hold no IPv6 address
        parts = urlsplit(text)
        if parts.scheme in {"http", "https"} and parts.hostname:
            return text
    raise argparse.ArgumentTypeError(f"wanted http://... or https://..., got {text!r}")


def _number(text: str) -> str:
    if not re.fullmatch(r"\+?[0-9]{7,15}", text, re.ASCII):
        wanted = "a country code and digits, 7 to 15 in all"
        raise argparse.ArgumentTypeError(f"wanted {wanted}, got {text!r}")
    return text.removeprefix("+")


def _caller(text: str) -> str:
    return _number(text) if text else ""  # withheld


def _within(kind: Callable[[str], float], least: float, most: int) -> Callable[[str], float]:
    """Return a type for an option: a number from `least` to `most`."""

    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            value = kind(text)
            if least <= value <= most:
                return value
        raise argparse.ArgumentTypeError(f"wanted a number, {least} to {most}, got {text!r}")

    return read


def _fault(options: argparse.Namespace, given: set[str]) -> str:
    """Return what argparse cannot find by itself, if anything; `given` are the options set."""
    alone = given & {"api", "calls", "event"}
    if alone and options.scenarios:
        return f"--{min(alone)} takes no scenarios"
    for name, owner in _ONLY_WITH.items():
        if name in given and owner not in given:
            return f"--{name} needs --{owner}"
    if options.calls and options.json:
        return "--calls prints a table, and takes no --json"
    if options.calls and options.url and not http_client.is_this_machine(options.url):
        return f"--calls: wanted a --url on this machine, got {options.url!r}"
    return ""


def _run(options: argparse.Namespace) -> int:
    if options.list:
        scenarios.print_table(console.terminal())
        return 0
    return _serve_api(options) if options.api else _play(options)


def _serve_api(options: argparse.Namespace) -> int:
    """Serve TeleSign's session endpoint until Ctrl-C, for the account of the environment."""
    signer = Signer.from_environment(os.environ)
    if not signer.key:
        raise signature.KeyFormError(
            "wanted a key to check requests with, got none; set it and TELESIGN_CUSTOMER_ID"
        )
    unit_s = session_endpoint.UNITS[options.unit]
    endpoint = session_endpoint.Endpoint(signer.customer_id, signer.key, unit_s, options.answer)
    try:
        server = session_endpoint.endpoint_server(endpoint, options.port)
    except OSError as error:
        address = f"127.0.0.1:{options.port}"
        cause = f"{error.strerror}; name another port with --port"
        console.say(f"--api: cannot listen on {address}: {cause}")
        return 1
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"TeleSign's session endpoint: http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
    return 0


def _play(options: argparse.Namespace) -> int:
    """Play on the server that is found or started, which is printed first."""
    chosen, skips, out = _scenarios(options), "all" in options.scenarios, console.terminal()
    read, numbers = _list_reader(options.config), (options.to, options.caller)
    chooser = Chooser(read, *numbers, skips=skips, is_served=not options.url)
    with _server(options, chosen) as server:
        if not options.json:
            console.print_wrapped(out, f"server: {server.url}{server.note}", "dim")
        signer = Signer.from_environment(server.environment)
        target = Target(server.url, signer, options.digit, skips=skips)
        if options.calls:
            (connected,) = map(chooser.choose, chosen)
            return 0 if load.play_load(target, connected, options.calls, options.rate, out) else 1
        results = [_play_one(target, chooser, scenario) for scenario in chosen]
    if not options.full:
        results = [play.redact(result) for result in results]
    if options.json:
        print(play.as_json(results))
    else:
        play.print_results(out, results)
    return 1 if any(result.outcome == "failed" for result in results) else 0


def _scenarios(options: argparse.Namespace) -> list[Scenario]:
    """Return what is to be played. Raises `ScenarioError`."""
    if options.event is not None:
        return [scenarios.from_file(options.event)]
    names_numbers = options.caller is not None or options.to is not None
    usual = ["connected"] if names_numbers or options.calls else ["connected", "refused"]
    return scenarios.choose(options.scenarios or usual)


def _server(
    options: argparse.Namespace, chosen: Sequence[Scenario]
) -> contextlib.AbstractContextManager[FoundServer]:
    """Return the server at the URL that was given, or else the one of the settings."""
    if options.url:
        return contextlib.nullcontext(FoundServer(options.url, os.environ))
    screens = any(scenario.screened for scenario in chosen)
    return own_server.find_or_start_server(options.config, os.environ, screens=screens)


def _list_reader(settings_file: Path | None) -> Callable[[], OwnList]:
    """Return a function that reads the list of the settings, once."""

    @functools.cache
    def read() -> OwnList:
        settings = own_server.read_settings(settings_file, os.environ)
        return own_list.read(Path(settings["allow_list"]), settings["caller_id_number"])

    return read


def _play_one(target: Target, chooser: Chooser, scenario: Scenario) -> ScenarioResult:
    """Play a scenario with the numbers that fit it, or leave it out."""
    try:
        return target.play(chooser.choose(scenario))
    except Unplayable as why:
        return play.leave_out(scenario, why)


if __name__ == "__main__":
    sys.exit(console.without_traceback(main))
