"""The allow-list while the server runs: reloaded whole or not at all; the last good one stays."""

import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import facts
import pytest
import requests
from helpers import PrintedLines, live, payload, post, settings_of, signed, web
from processes import ServerProcess

from allow_list import reader
from allow_list.reload import LiveAllowList
from app import Handlers
from call_log.memory import InMemoryCalls
from config import Settings
from routing import AllowListError, RowFault
from serving.sources import load

OTHER_LIST = "to,destination\n12025550166,12025550167\n"
TWO_SECONDS = 2.0


def is_stale(live: LiveAllowList) -> bool:
    return live.health()["allow_list"] == "stale"


class Watched:
    """A server and the file that it watches."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.path = server.folder / "allowlist.csv"
        self.calls = self.seen = 0

    def notices(self) -> list[str]:
        """Return the notices that the server has logged so far."""
        lines = self.server.stdout.read_text().splitlines()
        return [line.split('"notice": ')[1] for line in lines if '"notice"' in line]

    def next_notice(self) -> str:
        """Return the notice after the last one, which has to come within two seconds."""
        self.seen += 1
        deadline = time.monotonic() + TWO_SECONDS
        while len(self.notices()) < self.seen:
            assert time.monotonic() < deadline, self.notices()
            time.sleep(0.02)
        assert len(self.notices()) == self.seen
        return self.notices()[-1]

    def call(self, dialled: str, reference_id: str = "") -> str:
        """Return the method of the reply to a call."""
        self.calls += 1
        body = payload("incoming_call").replace(facts.DIALLED.encode(), dialled.encode())
        name = reference_id or f"call-{self.calls}"
        return self.post(body.replace(facts.REFERENCE_ID.encode(), name.encode()))

    def post(self, body: bytes) -> str:
        answer = requests.post(self.server.url, body, headers=signed(body), timeout=10)
        return str(answer.json().get("method", ""))

    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = requests.get(f"{self.server.url}health", timeout=10).json()
        return health


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ServerProcess(tmp_path, facts.KEYS) as server:
        yield Watched(server)


def test_a_changed_or_replaced_file_is_reloaded_within_two_seconds_and_on_sighup_at_once(
    watched: Watched,
) -> None:
    assert (watched.call(facts.DIALLED), watched.call("12025550166")) == ("dial", "hangup")
    watched.path.write_text(OTHER_LIST)
    assert watched.next_notice() == '"the allow-list was reloaded; rows: 1"}'
    assert (watched.call(facts.DIALLED), watched.call("12025550166")) == ("hangup", "dial")
    assert watched.health()["routes"] == 1
    # An editor writes beside the file and replaces it: the size and the time may be the same.
    old, new = watched.path.stat(), watched.path.with_suffix(".new")
    new.write_text(OTHER_LIST.replace("12025550166", facts.NOT_LISTED))
    os.utime(new, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert new.stat().st_size == old.st_size
    new.replace(watched.path)
    watched.next_notice()
    assert (watched.call("12025550166"), watched.call(facts.NOT_LISTED)) == ("hangup", "dial")
    watched.server.process.send_signal(signal.SIGHUP)
    assert watched.next_notice() == '"the allow-list was reloaded; rows: 1"}'


def test_a_list_whose_rows_are_flushed_one_by_one_is_served_whole(watched: Watched) -> None:
    header, *_ = OTHER_LIST.splitlines(keepends=True)
    with watched.path.open("w") as file:
        file.write(header)
        for row in range(20):
            file.write(f"{12025550110 + row},12025550167\n")
            file.flush()
            time.sleep(0.1)
    assert watched.next_notice() == '"the allow-list was reloaded; rows: 20"}'
    assert watched.health()["routes"] == 20


def test_while_the_file_is_faulty_the_last_good_list_stays_and_health_says_so(
    watched: Watched,
) -> None:
    watched.path.write_text("to,destination\n12025550166,x\n")
    assert watched.next_notice().startswith(
        '"the allow-list was not reloaded; the last good one is still used: allowlist.csv:2: dest'
    )
    assert watched.call(facts.DIALLED) == "dial"
    assert (watched.health()["allow_list"], watched.health()["routes"]) == ("stale", 4)
    watched.path.write_text(OTHER_LIST)
    watched.next_notice()
    assert watched.call("12025550166") == "dial"
    assert watched.health()["allow_list"] == "ok"


class Checked:
    """A list in this process, whose file is looked at when the test says so."""

    def __init__(self, path: Path) -> None:
        self.notices: list[str] = []
        self.path = path
        path.write_text(facts.ALLOW_LIST)
        self.clock = Clock()
        read = partial(reader.read, path, Settings(), only_fictional=False)
        self.live = LiveAllowList(path, read, clock=self.clock)

    def check(self, times: int = 6) -> list[str]:
        """Look at the file for a while, four times a second; return the notices of that."""
        self.notices.clear()
        for _ in range(times):
            self.clock.now_s += 0.25
            self.live.check(self.notices.append, requested=False)
        return self.notices


@dataclass
class Clock:
    """A clock that the test moves."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def look(listed: LiveAllowList, clock: Clock, notices: list[str]) -> None:
    """Look at the file for a second and a half."""
    for _ in range(6):
        clock.now_s += 0.25
        listed.check(notices.append, requested=False)


def move(text: str, path: Path) -> None:
    """Write a file and move it into place, so late that its times tell it from a written one."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o644)
    written = new.stat().st_mtime_ns
    while new.stat().st_ctime_ns == written:
        new.chmod(0o644)
    new.replace(path)


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    return Checked(tmp_path / "allowlist.csv")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "allowlist.csv: wanted a header line"),
        (facts.ALLOW_LIST.encode()[:-30], "allowlist.csv:5: wanted a line end after the last row"),
        (b"to,destination\n12025550166,x\nx,x\n", "allowlist.csv:2: destination: wanted"),
        (b"to,note\n12025550166,caf\xe9\n", "allowlist.csv:2: wanted UTF-8 text"),
        (None, "allowlist.csv: wanted a CSV file, got: No such file or directory"),
    ],
    ids=["empty", "half-written", "faulty", "another encoding", "deleted"],
)
def test_a_faulty_file_is_reported_once_and_the_last_good_list_stays(
    content: bytes | None, fault: str, checked: Checked
) -> None:
    if content is None:
        checked.path.unlink()
    else:
        checked.path.write_bytes(content)
    (notice,) = checked.check()
    assert notice.startswith("the allow-list was not reloaded; the last good one is still used: ")
    assert fault in notice
    assert (is_stale(checked.live), len(checked.live.current)) == (True, 4)
    checked.path.write_text(OTHER_LIST)
    assert checked.check() == ["the allow-list was reloaded; rows: 1"]
    assert (is_stale(checked.live), len(checked.live.current)) == (False, 1)


@pytest.mark.parametrize(
    ("what", "cause"),
    [("folder", "got: Is a directory"), ("loop", "got: Too many levels of symbolic links")],
)
def test_an_unreadable_file_is_reported_once_and_reloaded_as_soon_as_it_is_readable(
    what: str, cause: str, checked: Checked
) -> None:
    away = checked.path.with_suffix(".away")
    checked.path.rename(away)
    if what == "folder":
        checked.path.mkdir()
    else:
        checked.path.symlink_to(checked.path)
    (notice,) = checked.check()
    assert f"wanted a CSV file, {cause}" in notice
    assert (is_stale(checked.live), len(checked.live.current)) == (True, 4)
    if what == "folder":
        checked.path.rmdir()
    away.replace(checked.path)
    assert checked.check() == ["the allow-list was reloaded; rows: 4"]
    assert not is_stale(checked.live)


def test_without_a_key_a_list_with_a_real_number_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "allowlist.csv"
    path.write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(tmp_path)
    _, listed = load(None, {})
    path.write_text("to,destination\n12025550100,18888888888\n")
    notices: list[str] = []
    listed.check(notices.append, requested=True)
    (notice,) = notices
    assert "wanted only fictional numbers" in notice
    assert "18888888888" not in notice
    assert (is_stale(listed), len(listed.current)) == (True, 4)


@pytest.mark.parametrize(("value", "refuses"), [("connect", False), ("refuse", True)])
def test_the_setting_for_withheld_callers_holds_for_each_list_that_is_read(
    value: str, refuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "allowlist.csv"
    path.write_text(facts.ALLOW_LIST)
    monkeypatch.chdir(tmp_path)
    _, listed = load(None, {"MASKING_WITHHELD_CALLERS": value})
    assert listed.current.refuses_withheld is refuses
    path.write_text(OTHER_LIST)
    listed.check(print, requested=True)
    assert (is_stale(listed), listed.current.refuses_withheld) == (False, refuses)


def test_a_call_of_a_removed_row_is_refused_and_a_live_one_left_alone(
    checked: Checked, lines: PrintedLines
) -> None:
    app = web(Handlers(settings_of(), checked.live, InMemoryCalls(), lines.writer).app())
    other = payload("incoming_call").replace(facts.REFERENCE_ID.encode(), b"other")
    assert post(app, payload("incoming_call")) == facts.DIAL
    assert post(app, payload("dial_completed_answered"))["method"] == "speak"
    checked.path.write_text(OTHER_LIST)
    checked.check()
    assert post(app, payload("speak_completed")) == facts.NO_ACTION
    assert post(app, payload("incoming_call")) == facts.HANGUP
    assert post(app, other) == facts.HANGUP


def test_a_first_list_with_a_fault_is_refused() -> None:
    with pytest.raises(AllowListError):
        live("nonsense")


@pytest.mark.parametrize(
    ("replace", "contents"),
    [
        (Path.write_text, ["one", "second", "three"]),
        (lambda path, text: move(text, path), ["one", "second", "three"]),
    ],
    ids=["written", "moved"],
)
def test_a_change_while_the_file_is_read_is_found_by_the_next_checks(
    replace: Callable[[Path, str], object], contents: list[str], tmp_path: Path
) -> None:
    """What was written in place may have been read as half of each; what was moved was not."""
    path, clock = tmp_path / "list", Clock()
    path.write_text("one")
    found: list[str] = []
    notices: list[str] = []

    def read() -> Any:
        found.append(path.read_text())
        if len(found) == 2:
            replace(path, "three")
        return found

    listed = LiveAllowList(path, read, clock=clock)
    path.write_text("second")
    for _ in range(3):
        look(listed, clock, notices)
    assert found == contents
    assert len(notices) == (1 if replace is Path.write_text else 2)


@pytest.mark.parametrize(
    ("error", "notice"),
    [
        (AllowListError([RowFault(0, "no such disk")], unreadable=True), "list: no such disk"),
        (MemoryError("12025550123"), "list: MemoryError while reading it"),
    ],
)
def test_a_temporary_error_is_reported_once_and_reading_is_tried_again(
    error: Exception, notice: str, tmp_path: Path
) -> None:
    path = tmp_path / "list"
    path.write_text("one")
    errors = [error, error]
    notices: list[str] = []

    def read() -> Any:
        if path.read_text() == "second" and errors:
            raise errors.pop()
        return ()

    clock = Clock()
    listed = LiveAllowList(path, read, clock=clock)
    path.write_text("second")
    for stale in False, False, False, False, True, True, False, False:
        listed.check(notices.append, requested=False)
        assert is_stale(listed) is stale
        clock.now_s += 0.25
    assert len(notices) == 2
    assert notices[0].endswith(notice)
    assert notices[1] == "the allow-list was reloaded; rows: 0 (every call is refused)"


def test_a_file_with_a_fault_is_not_read_again_until_it_changes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "list"
    path.write_text("one")
    reads = 0

    def read() -> Any:
        nonlocal reads
        reads += 1
        if reads > 1:
            raise AllowListError([RowFault(1, "bad")])
        return ()

    clock = Clock()
    listed = LiveAllowList(path, read, clock=clock)
    path.write_text("second")
    look(listed, clock, [])
    look(listed, clock, [])
    assert reads == 2


def test_another_version_with_the_same_fault_is_reported_again(checked: Checked) -> None:
    """Somebody who has just saved it waits for a line."""
    checked.path.write_text("to,destination\n12025550166,x\n")
    (notice,) = checked.check()
    checked.path.write_text("to,destination\n12025550166,x\n# and more\n")
    assert checked.check() == [notice]


def test_a_change_to_the_same_length_in_the_same_second_is_noticed(tmp_path: Path) -> None:
    path, second_ns, clock = tmp_path / "list", 1_800_000_000 * 10**9, Clock()
    path.write_text("one")
    os.utime(path, ns=(0, second_ns))
    read: Any = path.read_text
    listed: Any = LiveAllowList(path, read, clock=clock)
    path.write_text("two")
    os.utime(path, ns=(0, second_ns + 1_000))
    look(listed, clock, [])
    assert listed.current == "two"


def test_other_rights_and_links_make_no_other_list(grown: "Grown") -> None:
    """On some systems anybody who may read a file can link to it, again and again."""
    for _ in range(2):
        grown.path.chmod(0o600)
        os.link(grown.path, grown.path.with_name(str(uuid.uuid4())))
        grown.clock.now_s += 5
        grown.look()
    assert (grown.served, grown.notices, is_stale(grown.live)) == (["old"], [], False)


class Grown:
    """A list in a file that a program writes row by row, and which versions of it are served."""

    def __init__(self, path: Path) -> None:
        self.path, self.clock = path, Clock()
        path.write_text("old")
        self.served: list[str] = []
        self.notices: list[str] = []
        self.live: Any = LiveAllowList(path, self.read, clock=self.clock)

    def read(self) -> Any:
        self.served.append(self.path.read_text())
        return self.served

    def look(self, *, requested: bool = False) -> None:
        self.live.check(self.notices.append, requested=requested)

    def look_until_read(self) -> float:
        """Return for how long the file was looked at, four times a second, until it was read."""
        began_s, served = self.clock.now_s, len(self.served)
        while len(self.served) == served:
            self.clock.now_s += 0.25
            self.look()
        return self.clock.now_s - began_s


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    return Grown(tmp_path / "list")


def write(path: Path) -> None:
    path.write_text("")


def write_anew(path: Path) -> None:
    path.unlink()
    path.with_name("keeps the inode").touch()
    path.write_text("")


@pytest.mark.parametrize("begin", [write, write_anew])
def test_a_file_that_grows_with_pauses_is_read_once_it_has_stood_still_for_a_second(
    begin: Callable[[Path], None], grown: Grown
) -> None:
    begin(grown.path)
    for row in range(20):
        with grown.path.open("a") as file:
            file.write(f"{row}\n")
        for _ in range(4):  # 0.75 s without a change
            grown.clock.now_s += 0.25
            grown.look()
            if is_stale(grown.live):
                assert grown.clock.now_s >= 5
    assert grown.served == ["old"]
    assert grown.notices == [
        "the allow-list was not reloaded; the last good one is still used:"
        f" {grown.path} is being written"
    ]
    assert is_stale(grown.live)
    assert grown.look_until_read() == 0.25
    assert grown.served[1].split() == [str(row) for row in range(20)]
    assert not is_stale(grown.live)
    assert grown.notices[1:] == ["the allow-list was reloaded; rows: 2"]


def test_a_file_that_was_written_is_read_after_a_second_and_a_moved_one_after_two_looks(
    grown: Grown,
) -> None:
    grown.path.write_text("written")
    assert grown.look_until_read() == 1.25
    move("moved", grown.path)
    assert grown.look_until_read() == 0.5
    # It may be growing where it is, as a copy from another disk does.
    move("moved", grown.path)
    grown.look()
    with grown.path.open("a") as file:
        file.write(" and written")
    assert grown.look_until_read() == 1.25
    assert grown.served == ["old", "written", "moved", "moved and written"]


def test_a_file_that_keeps_being_written_is_stale_after_five_seconds(grown: Grown) -> None:
    for size in range(30):
        grown.path.write_text("x" * size)
        grown.look()
        assert is_stale(grown.live) == (grown.clock.now_s >= 5)
        grown.clock.now_s += 0.25
    assert grown.served == ["old"]
    grown.look(requested=True)  # as SIGHUP does
    assert (grown.served[1], is_stale(grown.live)) == ("x" * 29, False)


def test_threads_switch_often_only_while_the_list_is_read(tmp_path: Path) -> None:
    usual, during = sys.getswitchinterval(), []

    def read() -> Any:
        during.append(sys.getswitchinterval())
        if len(during) == 3:
            raise AllowListError([RowFault(1, "bad")])
        return ()

    listed = LiveAllowList(tmp_path / "list", read)
    for _ in range(2):
        listed.check(lambda _: None, requested=True)
        assert sys.getswitchinterval() == usual
    assert during[1:] == [pytest.approx(0.0001)] * 2


def test_a_request_by_a_signal_that_interrupts_another_waits_for_nothing(checked: Checked) -> None:
    """At each of its steps a request is interrupted by the next one, as by a second signal."""

    def interrupt(*_: object) -> Any:
        checked.live.request_reload()
        return interrupt

    def request() -> None:
        sys.settrace(interrupt)
        checked.live.request_reload()

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
