"""The pages in a real browser: a call that appears by itself, and nothing that it complains of."""

import contextlib
import http.server
import os
import re
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import facts
import pytest
import requests
from helpers import ROOT, eventually
from inspecting import inspecting
from processes import ServerProcess
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
MASKING_IDS = {facts.MASKING_ID, facts.PAIR_NUMBER, "12025550102"}

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium or no chromedriver here"
)


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chrome]:
    monkeypatch.setenv("SE_OFFLINE", "true")
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # On the machine's own day: a browser has more threads than a library in front of it bears.
    environment = {name: text for name, text in os.environ.items() if name != "LD_PRELOAD"}
    driver = Chrome(options=options, service=Service(DRIVER, env=environment))
    yield driver
    driver.quit()


def play(folder: Path, server: ServerProcess, scenario: str) -> None:
    """Play a call with the simulator on a server that runs."""

    command = [sys.executable, str(ROOT / "simulator.py"), scenario, "--url", server.url]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def rows(browser: Chrome) -> list[Any]:
    return browser.find_elements(By.CSS_SELECTOR, "#calls tbody tr")


def look(browser: Chrome, width: int) -> None:
    """Check what holds on every page: no number in full, no page wider than its window."""
    for text in browser.page_source, browser.title, browser.current_url:
        without_ids = re.sub("SIMULATED[0-9A-Z]+", "", text)  # which may look like a number
        assert set(re.findall(r"1[2-9]\d{9}", without_ids)) <= MASKING_IDS
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    page = "document.documentElement"
    widths = f"return [{page}.scrollWidth, {page}.clientWidth, innerWidth]"
    widest, seen, window = browser.execute_script(widths)
    assert (widest, window) == (seen, width), browser.current_url


def test_a_call_appears_by_itself_and_is_opened_and_filtered(
    browser: Chrome, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with inspecting(tmp_path) as (address, _), contextlib.ExitStack() as stack:
        browser.get(address)
        assert browser.current_url == address
        assert "There are no calls yet" in browser.find_element(By.TAG_NAME, "main").text
        server = stack.enter_context(ServerProcess(tmp_path))
        play(tmp_path, server, "refused")
        assert eventually(lambda: len(rows(browser)) == 1, 20)
        play(tmp_path, server, "connected")
        assert eventually(lambda: len(rows(browser)) == 2, 20)
        status = browser.find_element(By.ID, "status")
        assert eventually(lambda: status.text.startswith("Live, newest call"))
        assert "simulated" in rows(browser)[0].text
        for width in 360, 1400:
            look(browser, width)

        browser.find_element(By.CSS_SELECTOR, "#calls tbody a").click()
        drawn = browser.find_element(By.TAG_NAME, "svg")
        assert f"rings ...0111, showing {facts.MASKING_ID}" in drawn.text.replace("\n", " ")
        for summary in browser.find_elements(By.TAG_NAME, "summary"):
            summary.click()
        assert '"caller_id_number": "12025550199"' in browser.find_element(By.TAG_NAME, "main").text
        for width in 360, 1400:
            look(browser, width)

        browser.find_element(By.LINK_TEXT, "Calls").click()
        browser.find_element(By.NAME, "number").send_keys(facts.NOT_LISTED)
        browser.find_element(By.CSS_SELECTOR, ".filters button").click()
        assert eventually(lambda: "whole=" in browser.current_url)
        assert "0177" not in urlsplit(browser.current_url).query + browser.title
        assert [row.text.split()[-2:] for row in rows(browser)] == [["not_listed", "simulated"]]
        look(browser, 360)

        for name in "Routes", "Report":
            browser.find_element(By.LINK_TEXT, name).click()
            for width in 360, 1400:
                look(browser, width)
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def event(server: ServerProcess, name: str, call: str, **data: str) -> None:
    """Post an event to a server that runs."""
    body = {"event": name, "reference_id": call, "data": data}
    assert requests.post(server.url, json=body, timeout=20).status_code == 200


def test_the_page_of_a_call_in_progress_renews_itself_and_keeps_what_was_opened(
    browser: Chrome, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with inspecting(tmp_path) as (address, _), ServerProcess(tmp_path) as server:
        event(server, "incoming_call", "one", to=facts.DIALLED, **{"from": facts.CALLER})
        browser.get(address)
        browser.find_element(By.CSS_SELECTOR, "#calls tbody a").click()
        browser.find_element(By.TAG_NAME, "summary").click()

        def heads() -> list[str]:
            tags = "[...document.querySelectorAll('h3')].map(tag => tag.textContent)"
            found: list[str] = browser.execute_script(f"return {tags}")
            return found

        event(server, "dial_completed", "one", status="answered")
        assert eventually(lambda: heads() == ["incoming_call", "dial_completed"], 20)
        opened = browser.execute_script("return document.querySelectorAll('details[open]').length")
        assert opened == 1
        active = "return document.activeElement.tagName"
        assert browser.execute_script(active) == "SUMMARY"
        event(server, "call_completed", "one")
        outcome = "return document.querySelector('#call .outcome').textContent"
        assert eventually(lambda: browser.execute_script(outcome) == "connected", 20)
        assert browser.find_elements(By.CSS_SELECTOR, "#call[data-live]") == []
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("full", [False, True])
def test_a_call_is_drawn_within_the_width_of_a_phone(
    browser: Chrome, tmp_path: Path, full: bool
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    words = ("inspect", "--port", "0", *(["--full"] if full else []))
    with inspecting(tmp_path, *words) as (address, _), ServerProcess(tmp_path) as server:
        event(server, "incoming_call", "one", to=facts.DIALLED, **{"from": facts.CALLER})
        event(server, "dial_completed", "one", status="answered")
        event(server, "call_leg_completed", "one")
        browser.get(urljoin(address, "call?id=one"))
        for width in 390, 360:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": True}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            boxes = browser.execute_script(
                "return [...document.querySelectorAll('.drawing svg.narrow text')]"
                ".map(text => text.getBoundingClientRect()).map(box => [box.left, box.right])"
            )
            assert len(boxes) > 10
            assert min(left for left, _ in boxes) >= 0
            assert max(right for _, right in boxes) <= width
            shown = "return getComputedStyle(document.querySelector('svg.whole')).display"
            assert browser.execute_script(shown) == "none"


def test_with_forced_colours_what_became_of_a_call_and_the_bars_keep_theirs(
    browser: Chrome, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with inspecting(tmp_path) as (address, _), ServerProcess(tmp_path) as server:
        event(server, "incoming_call", "one", to=facts.NOT_LISTED, **{"from": facts.CALLER})
        event(server, "call_completed", "one")
        forced = [{"name": "forced-colors", "value": "active"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": forced})
        browser.get(address)
        dot = "getComputedStyle(document.querySelector('.outcome.refused'), '::before')"
        assert browser.execute_script(f"return {dot}.backgroundColor") == "rgb(180, 71, 47)"
        outline = "getComputedStyle(document.querySelector('nav [aria-current]')).outlineStyle"
        assert browser.execute_script(f"return {outline}") == "solid"
        browser.get(urljoin(address, "report"))
        bar = "getComputedStyle(document.querySelector('rect.refused')).fill"
        assert browser.execute_script(f"return {bar}") == "rgb(180, 71, 47)"


def test_no_text_of_telesigns_makes_a_page_wider_than_its_window(
    browser: Chrome, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    leg = {"direction": "d" * 100, "status": "s" * 200, "ended_on_utc": "2026-11-23T12:00:00Z"}
    with inspecting(tmp_path) as (address, _), ServerProcess(tmp_path) as server:
        for event, data in [
            ("incoming_call", {"to": facts.DIALLED, "from": facts.CALLER}),
            ("dial_completed", {"status": "x" * 300}),
            ("e" * 64, {"m" * 200: "y" * 300}),
            ("call_completed", leg | {"audio_recording_file_name": "r" * 200}),
        ]:
            body = {"event": event, "reference_id": "i" * 128, "data": data}
            assert requests.post(server.url, json=body, timeout=20).status_code == 200
        browser.get(address)
        for width in 360, 1400:
            look(browser, width)
        browser.find_element(By.CSS_SELECTOR, "#calls tbody a").click()
        for summary in browser.find_elements(By.TAG_NAME, "summary"):
            summary.click()
        for width in 360, 1400:
            look(browser, width)


def test_the_address_opens_from_another_site_through_another_port_and_whatever_cookies_are_set(
    browser: Chrome, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with inspecting(tmp_path) as (address, _), contextlib.ExitStack() as stack:
        parts = urlsplit(address)
        port = stack.enter_context(tunnel_to(parts.port or 0))
        far = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
        port = stack.enter_context(page_with_links(address, far))
        fill_with_cookies(browser, f"http://127.0.0.1:{port}/")
        elsewhere = f"http://localhost:{port}/"
        for place, opened in enumerate((address, far)):
            browser.get(elsewhere)
            browser.find_elements(By.TAG_NAME, "a")[place].click()
            assert browser.current_url == opened
            assert eventually(lambda: browser.find_element(By.ID, "status").text.startswith("Live"))
            for name in "Routes", "Calls":
                browser.find_element(By.LINK_TEXT, name).click()
                assert browser.find_element(By.TAG_NAME, "h1").text == name
                assert browser.current_url.startswith(opened)
                assert parts.path.strip("/") not in browser.page_source + browser.title
            assert browser.execute_script("return document.styleSheets.length") == 1
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
        browser.get(urljoin(address, "routes"))
        browser.execute_script(f"location.href = '{elsewhere}'")
        assert eventually(lambda: browser.current_url == elsewhere)
        assert browser.execute_script("return document.referrer") == ""


def test_another_site_can_neither_frame_the_pages_nor_reach_them_by_its_own_name(
    browser: Chrome, tmp_path: Path
) -> None:
    (tmp_path / "allowlist.csv").write_text(facts.ALLOW_LIST)
    with inspecting(tmp_path) as (address, _), page_with_links(address) as port:
        browser.get(f"http://localhost:{port}/")
        browser.execute_script(
            "const frame = document.createElement('iframe'); frame.src = arguments[0];"
            "document.body.append(frame)",
            address,
        )
        assert eventually(lambda: "frame-ancestors" in str(browser.get_log("browser")))  # type: ignore[no-untyped-call]
        browser.get(address.replace("127.0.0.1", "rebound.localhost"))
        text = browser.find_element(By.TAG_NAME, "body").text
        assert text == "Open the address that `python app.py inspect` has printed."


def fill_with_cookies(browser: Chrome, url: str) -> None:
    """Set as many cookies as Chromium keeps for a host, as programs on other ports of it may."""
    browser.get(url)
    for n in range(180):
        browser.add_cookie({"name": f"other_{n}", "value": "x" * 4_000})


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Let a server run in a thread; yield its port."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page_with_links(*addresses: str) -> contextlib.AbstractContextManager[int]:
    """Serve a page that links to some addresses; return what yields its port."""
    links = " ".join(f"<a href='{address}'>open</a>" for address in addresses)
    page = f"<!DOCTYPE html><link rel=icon href='data:,'><body>{links}</body>".encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            pass

    return serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))


def tunnel_to(port: int) -> contextlib.AbstractContextManager[int]:
    """Forward another port to this one, as `ssh -L` does; return what yields it."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as there:
                back = threading.Thread(target=pump, args=(there, self.request))
                back.start()
                pump(self.request, there)
                back.join()

    class Tunnel(socketserver.ThreadingTCPServer):
        daemon_threads = True

    return serving(Tunnel(("127.0.0.1", 0), Handler))


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, and its end."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
