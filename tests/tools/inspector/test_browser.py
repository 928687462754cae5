"""The pages in a real browser: a call that appears by itself, and nothing that it complains of."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        assert set(re.findall(r"1[2-9]\d{9}", text)) <= MASKING_IDS
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
        assert browser.current_url == address.partition("?")[0]
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
        assert f"rings ...0111, showing {facts.MASKING_ID}" in drawn.text
        for summary in browser.find_elements(By.TAG_NAME, "summary"):
            summary.click()
        assert '"caller_id_number": "12025550199"' in browser.find_element(By.TAG_NAME, "main").text
        for width in 360, 1400:
            look(browser, width)

        browser.find_element(By.LINK_TEXT, "Calls").click()
        browser.find_element(By.NAME, "number").send_keys(facts.NOT_LISTED)
        browser.find_element(By.CSS_SELECTOR, ".filters button").click()
        assert eventually(lambda: "number=0177" in browser.current_url)
        assert [row.text.split()[-2:] for row in rows(browser)] == [["not_listed", "simulated"]]
        look(browser, 360)

        for name in "Routes", "Report":
            browser.find_element(By.LINK_TEXT, name).click()
            for width in 360, 1400:
                look(browser, width)
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


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
