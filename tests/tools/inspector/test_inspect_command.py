"""`python app.py inspect` as a process: its address, its port, its settings, its end."""

import contextlib
import http.server
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import facts
import pytest
import requests
from command_line import run
from helpers import eventually
from inspecting import inspecting

from config import API_KEY


@contextlib.contextmanager
def health_server() -> Iterator[tuple[int, dict[str, object]]]:
    """Serve what a test puts into a dictionary as JSON; yield the port and the dictionary."""
    health: dict[str, object] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(health).encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, health
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _allow_list(tmp_path: Path) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)


def test_it_prints_an_address_with_a_token_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    with inspecting(tmp_path) as (address, _):
        page = requests.get(address, timeout=20)
        assert page.status_code == 200
        assert page.cookies.get_dict() == {}
        assert "There are no calls yet" in page.text
        assert requests.get(urljoin(address, "/"), timeout=20).status_code == 403
    printed = (tmp_path / "printed").read_text()
    assert re.sub(r"\d+/[\w-]{43}/\n", "PORT/TOKEN/\n", printed) == (
        "Inspector on http://127.0.0.1:PORT/TOKEN/\n"
        f"  call log    {tmp_path}/calls.db, only read\n"
        f"  allow-list  {tmp_path}/allowlist.csv\n"
        "  numbers     last four digits\n"
        "  stop        Ctrl-C\n"
    )
    assert {file.name for file in tmp_path.iterdir()} == {"allowlist.csv", "printed"}


def said(address: str) -> str:
    """Return what a page says of the server."""
    found = re.search('id="served"[^>]*>([^<]*)<', requests.get(address, timeout=20).text)
    assert found is not None
    return found[1]


def test_the_pages_say_whether_the_server_serves_this_list(tmp_path: Path) -> None:
    with health_server() as (port, health):
        place = f"http://127.0.0.1:{port}"
        with inspecting(tmp_path, MASKING_PORT=str(port)) as (address, _):
            modified_ns = (tmp_path / "allowlist.csv").stat().st_mtime_ns
            versions = {"list_modified_ns": modified_ns, "list_read_ns": modified_ns}
            health.update(versions, list_fault=None, real_numbers=False)
            this = f"The server on {place} serves this list"
            assert eventually(lambda: said(address) == this)
            health.update(list_modified_ns=modified_ns - 1, list_fault="line 3, to")
            older = f"The server on {place} serves an older list"
            assert eventually(lambda: said(urljoin(address, "routes")).startswith(older))
            assert "line 3, to" in said(address)


def test_without_a_server_the_pages_say_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with inspecting(tmp_path, MASKING_PORT=str(port)) as (address, _):
        none = f"No server answers on http://127.0.0.1:{port}"
        assert eventually(lambda: said(address) == none)


def test_no_page_waits_for_a_server_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with inspecting(tmp_path, MASKING_PORT=str(port)) as (address, _):
            times = []
            for _ in range(20):
                started = time.perf_counter()
                assert said(address) in (
                    f"The server on http://127.0.0.1:{port} is being asked",
                    f"No server answers on http://127.0.0.1:{port}",
                )
                times.append(time.perf_counter() - started)
            assert min(times) < 0.5, times
            assert sum(times) < 20, times


def test_each_start_has_another_token(tmp_path: Path) -> None:
    tokens = set()
    for _ in range(2):
        with inspecting(tmp_path) as (address, _):
            tokens.add(urlsplit(address).path)
    assert len(tokens) == 2


def test_cookies_of_other_programs_on_this_machine_do_not_matter(tmp_path: Path) -> None:
    """A browser sends 180 of one name's, of 4 KiB each, to every port."""
    cookies = "; ".join(f'a/{n}={{"{"x" * 4_000}' for n in range(180))
    with inspecting(tmp_path) as (address, _):
        for path in address, urljoin(address, "static/live.js"):
            answer = requests.get(path, headers={"Cookie": cookies}, timeout=20)
            assert answer.status_code == 200


def test_it_needs_no_key_and_takes_the_settings_that_are_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('allow_list = "mine.csv"\ncall_log = "sqlite:///mine.db"\n')
    (tmp_path / "mine.csv").write_text(f"to,destination\n{facts.DIALLED},{facts.DESTINATION}\n")
    words = ("inspect", "--port", "0", "--full", "--config", "mine.toml")
    broken = {API_KEY: "broken"}
    with inspecting(tmp_path, *words, **broken) as (address, _):
        assert "mine.db: there is no call log yet" in requests.get(address, timeout=20).text
        routes = requests.get(urljoin(address, "routes"), timeout=20).text
        assert facts.DESTINATION in routes
    assert "  numbers     in full\n" in (tmp_path / "printed").read_text()


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = run(tmp_path, "inspect", "--port", port)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"The inspector did not start: cannot listen on 127.0.0.1:{port}: Address already in use;"
        " stop the program that uses it, or set another port\n"
    )


@pytest.mark.parametrize("port", ["x", "-1", "65536", "²"])
def test_a_port_that_is_none_is_said(tmp_path: Path, port: str) -> None:
    ended = run(tmp_path, "inspect", f"--port={port}")
    assert ended.returncode == 2
    assert f"wanted a port, 0 to 65535, got '{port}'" in ended.stderr


def test_without_a_call_log_or_with_faulty_settings_nothing_is_served(tmp_path: Path) -> None:
    ended = run(tmp_path, "inspect", MASKING_CALL_LOG="")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "inspect: call_log is empty, so no call is kept\n"
    ended = run(tmp_path, "inspect", MASKING_CALL_LOG="postgresql://[")
    assert (ended.returncode, ended.stdout) == (1, "")
    # Which it lacks first depends on the machine: the driver, or a URL that a driver understands.
    assert ended.stderr.startswith("inspect: call_log: wanted ")
    ended = run(tmp_path, "inspect", MASKING_PORT="x")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("inspect: fix these first:\n  MASKING_PORT: wanted")
