"""Whose turn it is to change a list: one command at a time, and none while it is being written."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import facts
import pytest
from helpers import read_list
from waits import Waits

from routing import AllowList
from tools.list_editor import editor, rights, turns
from tools.list_editor.editor import ChangeError
from tools.list_editor.turns import TurnError

ROW = "12025550140,,12025550141,12025550180,,,\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "allowlist.csv"
    path.write_text(facts.ALLOW_LIST)
    return path


def parse(lines: list[str]) -> AllowList:
    return read_list("\n".join(lines))


def change(path: Path, waits: Waits) -> None:
    """Add a comment to the list."""

    def edit(lines: list[str], _: AllowList) -> list[str]:
        return [*lines, "# mine\n"]

    editor.change(path, edit, parse, waits.patience())


def this_process() -> str:
    return f"process {os.getpid()} of user {rights.user_name(os.geteuid())}"


# No other command is at work


def test_who_waits_for_another_command_says_so_once_and_gives_up(path: Path) -> None:
    holder = this_process()
    with turns.hold(path, Waits().patience()):
        waits = Waits()
        with pytest.raises(ChangeError) as caught:
            change(path, waits)
    assert waits.now_s == pytest.approx(10, abs=0.1)
    assert waits.said == [f"waiting for {holder}, which is changing the list"]
    assert str(caught.value) == (
        f"{path}: not changed: waited 10 s for {holder}, which is changing the list; run this again"
    )
    assert path.read_text() == facts.ALLOW_LIST


def test_nothing_is_said_of_a_short_wait(path: Path) -> None:
    waits = Waits()
    holder = turns.hold(path, Waits().patience())
    holder.__enter__()

    def end() -> None:
        if waits.now_s > 2.8 and path.with_name(".allowlist.csv.turn").exists():
            holder.__exit__(None, None, None)

    waits.while_waiting = end
    turns.mark(path)
    change(path, waits)
    assert (waits.said, waits.now_s < 3) == ([], True)
    assert path.read_text() == facts.ALLOW_LIST + "# mine\n"
    assert [file.name for file in path.parent.iterdir()] == ["allowlist.csv"]


def test_a_lock_that_its_holder_has_removed_is_not_taken_for_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was opened before it was removed, and locked after, when another one was there."""
    first, second = (turns.hold(path, Waits().patience()) for _ in range(2))
    first.__enter__()
    lock = fcntl.flock

    def hand_over(handle: int, kind: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        first.__exit__(None, None, None)
        second.__enter__()
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", hand_over)
    with pytest.raises(ChangeError, match="waited 10 s"):
        change(path, Waits())
    second.__exit__(None, None, None)
    assert [file.name for file in path.parent.iterdir()] == ["allowlist.csv"]


def test_a_lock_that_does_not_say_whose_it_is_is_another_commands(path: Path) -> None:
    with turns.hold(path, Waits().patience()):
        path.with_name(".allowlist.csv.turn").write_text("12025550123 is no process")
        with pytest.raises(ChangeError, match="waited 10 s for another command, which is changing"):
            change(path, Waits())


def test_a_command_that_fails_leaves_no_lock(path: Path) -> None:
    with pytest.raises(RuntimeError), turns.hold(path, Waits().patience()):
        raise RuntimeError
    assert [file.name for file in path.parent.iterdir()] == ["allowlist.csv"]


# Nobody is writing


def test_a_list_that_is_being_written_is_changed_once_it_is_whole(path: Path) -> None:
    """Each row comes just before the list would have stood still for a second."""
    waits, rows = Waits(), 5

    def write() -> None:
        nonlocal rows
        if rows and waits.now_s > 0.9 * (6 - rows):
            rows -= 1
            with path.open("a") as file:
                file.write(ROW.replace("40,", f"4{rows},", 1).replace("141", "151"))

    waits.while_waiting = write
    change(path, waits)
    assert len(parse(path.read_text().splitlines())) == 4 + 5
    assert path.read_text().endswith("# mine\n")
    assert waits.now_s == pytest.approx(0.9 * 5 + 1, abs=0.2)
    assert waits.said == [f"waiting for another program, which is writing {path}"]


def test_a_list_that_is_written_for_ever_is_not_changed(path: Path) -> None:
    waits = Waits()

    def write() -> None:
        with path.open("a") as file:
            file.write("# theirs\n")

    waits.while_waiting = write
    with pytest.raises(ChangeError) as caught:
        change(path, waits)
    assert str(caught.value) == (
        f"{path}: not changed: waited 10 s for another program, which is writing {path}; run this"
        " again"
    )
    assert "# mine" not in path.read_text()


def write(path: Path) -> None:
    path.write_text(facts.ALLOW_LIST + "# theirs\n")


def move(path: Path) -> None:
    new = path.with_suffix(".new")
    write(new)
    new.replace(path)


def give_other_rights(path: Path) -> None:
    write(path)
    written = path.stat().st_mtime_ns
    while path.stat().st_ctime_ns == written:
        path.chmod(0o600)


@pytest.mark.parametrize("theirs", [write, move, give_other_rights])
def test_only_what_a_command_has_left_is_not_waited_for(
    theirs: Callable[[Path], None], path: Path
) -> None:
    def wait_s() -> float:
        waits = Waits()
        change(path, waits)
        return round(waits.now_s, 1)

    assert [wait_s(), wait_s(), wait_s()] == [1, 0, 0]
    theirs(path)
    assert [wait_s(), wait_s()] == [1, 0]


def test_a_rehearsal_and_what_follows_wait_once(path: Path) -> None:
    waits = Waits()
    editor.check(path, waits.patience())
    change(path, waits)
    assert round(waits.now_s, 1) == 1


def test_a_list_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    assert turns.wait_until_still(tmp_path / "none", Waits().patience()) is None


def test_the_waits_of_one_command_count_together() -> None:
    patience = Waits().patience()
    for _ in range(100):
        patience.wait("one")
    for _ in range(100):
        patience.wait("another")
    with pytest.raises(TurnError, match="waited 10 s for a third; do this"):
        patience.wait("a third", "do this")
