"""The command line of the simulator, which plays TeleSign in a call and checks the answers.

Nothing of `events`, `commands` or `routing` is imported here or in `simulation`, so that two
separate readings of TeleSign's documents have to agree. `--help` lists the options.
"""

if __name__ == "__main__":
    from cli import prerequisites

    prerequisites.check()  # first, as what is missing is found by the imports that follow

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import signature
from cli import console, http_client
from simulation import load, play, scenarios, session_endpoint
from simulation.call import Signer
from simulation.play import ServerStartError, Target
from simulation.scenarios import Scenario, ScenarioError

_ONLY_WITH = {"rate": "calls", "port": "api", "answer": "api", "unit": "api"}
_WITHOUT_SCENARIOS = {"api", "calls", "event"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status is 0 if every call went as it must, else 1."""
    parser = _parser()
    options = parser.parse_args(arguments)
    given = {name for name, value in vars(options).items() if value != parser.get_default(name)}
    try:
        _check(options, given)
        return _run(options)
    except (_UsageError, ScenarioError) as error:
        parser.error(str(error))
    except (ServerStartError, signature.KeyFormError) as error:
        print(f"No call was played: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Plays TeleSign in a call, and checks what the server answers."
    )
    add = parser.add_argument
    add("scenarios", nargs="*", help="scenarios, or all (default: connected and refused)")
    add("--list", action="store_true", help="list the scenarios")
    add("--url", help="the customer event URL (default: the server here, or a new one)")
    add("--from", dest="caller", help="the caller's number (default: the scenario's)")
    add("--to", help="the dialled number (default: the scenario's)")
    pressed = "the digit to press if one is asked for (default: 1)"
    add("--digit", default="1", choices=[*"0123456789"], metavar="D", help=pressed)
    add("--json", action="store_true", help="print the results as JSON")
    group = parser.add_mutually_exclusive_group()
    signing = partial(group.add_argument, action="store_const", dest="signing", default="valid")
    passes = "passes if the server rejects it"
    signing("--no-signature", const="unsigned", help=f"do not sign; {passes}")
    signing("--bad-signature", const="forged", help=f"sign with another key; {passes}")
    source = parser.add_mutually_exclusive_group().add_argument
    source(
        "--event",
        type=Path,
        metavar="FILE",
        help="send the event in this file, marked as simulated",
    )
    calls = f"play N calls under load, on this machine (at most {load.MAX_CALLS:,})"
    source("--calls", type=int, metavar="N", help=calls)
    rate = f"with --calls: calls per second (default: 50; at most {load.MAX_RATE:,})"
    add("--rate", type=float, default=50, metavar="R", help=rate)
    _add_endpoint_options(add)
    return parser


def _add_endpoint_options(add: Callable[..., object]) -> None:
    add("--api", action="store_true", help="serve TeleSign's session endpoint on this machine")
    add("--port", type=int, default=8081, help="with --api: the port (default: 8081)")
    answers, units = session_endpoint.ANSWERS, session_endpoint.UNITS
    add("--answer", choices=answers, default="", help="with --api: always give this answer")
    unit = "with --api: the unit of the validity period (default: hours)"
    add("--unit", choices=units, default="hours", help=unit)


class _UsageError(Exception):
    """Options that make no sense together, or a value out of its bounds."""


def _check(options: argparse.Namespace, given: set[str]) -> None:
    """Raise `_UsageError` for what argparse cannot know; `given` are the options that are set."""
    alone = given & _WITHOUT_SCENARIOS
    if alone and options.scenarios:
        raise _UsageError(f"--{min(alone)} takes no scenarios")
    for name, owner in _ONLY_WITH.items():
        if name in given and owner not in given:
            raise _UsageError(f"--{name} needs --{owner}")
    if options.url is not None and not _is_http(options.url):
        raise _UsageError(f"--url: wanted http://... or https://..., got {options.url!r}")
    if options.calls is not None:
        _check_load(options)


def _check_load(options: argparse.Namespace) -> None:
    if options.json:
        raise _UsageError("--calls prints a table, and takes no --json")
    if options.url is not None and not http_client.is_this_machine(options.url):
        raise _UsageError(f"--calls: wanted a --url on this machine, got {options.url!r}")
    if not 1 <= options.calls <= load.MAX_CALLS:
        raise _UsageError(f"--calls: wanted 1 to {load.MAX_CALLS}, got {options.calls}")
    if not 0 < options.rate <= load.MAX_RATE:
        raise _UsageError(
            f"--rate: wanted above 0 and at most {load.MAX_RATE} per second, got {options.rate:g}"
        )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # of brackets that hold no IPv6 address
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _run(options: argparse.Namespace) -> int:
    if options.list:
        scenarios.print_table(console.terminal())
        return 0
    if options.api:
        return _serve_api(options)
    return _play(options) if options.calls is None else _play_load(options)


def _serve_api(options: argparse.Namespace) -> int:
    """Serve TeleSign's session endpoint until Ctrl-C, for the account of the environment."""
    try:
        signer = Signer.from_environment(os.environ)
    except signature.KeyFormError as error:
        return _refuse_api(f"TELESIGN_API_KEY: {error}")
    if not signer.key:
        return _refuse_api("wanted TELESIGN_CUSTOMER_ID and TELESIGN_API_KEY, got no key")
    unit_s = session_endpoint.UNITS[options.unit]
    endpoint = session_endpoint.Endpoint(signer.customer_id, signer.key, unit_s, options.answer)
    try:
        server = session_endpoint.endpoint_server(endpoint, options.port)
    except (OSError, OverflowError) as error:
        return _refuse_api(f"cannot listen on port {options.port}: {error}")
    with server, contextlib.suppress(KeyboardInterrupt):
        print(f"TeleSign's session endpoint: http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
    return 0


def _refuse_api(reason: str) -> int:
    print(f"--api: {reason}", file=sys.stderr)
    return 1


def _play_load(options: argparse.Namespace) -> int:
    with _target(options, ()) as target:
        passed = load.play_load(target, options.calls, options.rate, console.terminal())
    return 0 if passed else 1


def _play(options: argparse.Namespace) -> int:
    chosen = _chosen(options)
    with _target(options, chosen) as target:
        results = [target.play(scenario) for scenario in chosen]
    if options.json:
        print(play.as_json(results))
    else:
        play.print_results(console.terminal(), results)
    return 0 if all(result.passed for result in results) else 1


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    if options.event is not None:
        return [scenarios.from_file(options.event)]
    names_numbers = options.caller is not None or options.to is not None
    usual = ["connected"] if names_numbers else ["connected", "refused"]
    return scenarios.choose(options.scenarios or usual)


@contextlib.contextmanager
def _target(options: argparse.Namespace, chosen: Sequence[Scenario]) -> Iterator[Target]:
    """Yield where the calls are played, and print it first.

    Raises `ServerStartError` or `signature.KeyFormError`.
    """
    with play.find_or_start_server(options.url, os.environ, chosen) as server:
        signer = Signer.from_environment(server.environment, options.signing)
        if not options.json:
            console.print_wrapped(console.terminal(), f"server: {server.url}{server.note}", "dim")
        yield Target(server.url, signer, options.to, options.caller, options.digit)


if __name__ == "__main__":
    sys.exit(console.without_traceback(main))
