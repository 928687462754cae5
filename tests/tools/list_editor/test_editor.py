"""Adding routes to the file: it is the old or the new one at any time, and nothing else is lost."""

import errno
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import facts
import pytest
from helpers import ROOT, START, SUPPORT, read_list
from waits import Waits

from commands import Dial
from phone import PhoneNumber
from routing import AllowList, AllowListError, Route
from tools.list_editor import changes, editor, pairs, turns
from tools.list_editor.changes import RowChanges
from tools.list_editor.editor import Change, ChangeError

ONE, TWO = PhoneNumber(facts.RIDER), PhoneNumber(facts.DRIVER)
MASK_1, MASK_2 = PhoneNumber("12025550180"), PhoneNumber("12025550181")
ENDS = START + timedelta(hours=2)
NEW_ROWS = (
    f"{MASK_2},{ONE},{TWO},{MASK_1},,2026-11-23T14:00:00Z,a note\n"
    f"{MASK_1},{TWO},{ONE},{MASK_2},,2026-11-23T14:00:00Z,a note\n"
)


def routes(ends: datetime = ENDS) -> list[Route]:
    return [
        Route(MASK_2, ONE, Dial(TWO, MASK_1), ends),
        Route(MASK_1, TWO, Dial(ONE, MASK_2), ends),
    ]


def parse(lines: list[str]) -> AllowList:
    return read_list("\n".join(lines))


def append(path: Path, **changes: Any) -> None:
    patience = changes.get("waits", Waits()).patience()
    read = changes.get("parse", parse)
    edit = pairs.addition(changes.get("routes", routes()), now=START, note="a note")
    editor.change(path, edit, read, patience)


def check(path: Path, waits: Waits | None = None) -> None:
    editor.check(path, (waits or Waits()).patience())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "allowlist.csv"
    path.write_text(facts.ALLOW_LIST)
    turns.mark(path)  # or real programs would wait for one that writes it
    return path


def test_both_routes_are_added_at_the_end(path: Path) -> None:
    append(path)
    assert path.read_text() == facts.ALLOW_LIST + NEW_ROWS
    assert len(parse(path.read_text().splitlines())) == 6


def test_what_a_spreadsheet_program_leaves_above_the_header_is_no_header(path: Path) -> None:
    above = '"# mine, all mine",,,,,,,\n,,,,,,,\n'
    columns = "to,from,destination,caller_id_number,max_call_duration,expires,note,"
    path.write_text(f"{above}{columns}\n12025550100,,12025550111,,,,ok,\n")
    append(path)
    new = NEW_ROWS.replace("a note\n", "a note,\n")
    assert path.read_text() == f"{above}{columns}\n12025550100,,12025550111,,,,ok,\n{new}"


def test_comments_order_line_ends_and_a_byte_order_mark_stay(path: Path) -> None:
    header = "to,from,destination,expires,caller_id_number"
    text = f"\ufeff# mine\r\n{header}\r\n\r\n12025550100,,12025550111,,\r\n"
    path.write_bytes(text.encode())
    append(path)
    assert path.read_bytes().decode() == (
        f"{text}"
        f"{MASK_2},{ONE},{TWO},2026-11-23T14:00:00Z,{MASK_1}\r\n"
        f"{MASK_1},{TWO},{ONE},2026-11-23T14:00:00Z,{MASK_2}\r\n"
    )


def test_expired_rows_of_the_pair_are_replaced_and_no_others(path: Path) -> None:
    expired = START - timedelta(seconds=1)
    append(path, routes=routes(expired))
    before = path.read_text()
    assert before.count("2026-11-23T11:59:59Z") == 2
    append(path)
    assert path.read_text() == facts.ALLOW_LIST + NEW_ROWS
    assert "12025550102,,12025550112,,,2026-01-31T18:00:00Z,expired" in path.read_text()


def test_a_row_that_exists_already_is_a_fault_and_nothing_changes(path: Path) -> None:
    append(path)
    before = path.read_bytes()
    with pytest.raises(AllowListError) as caught:
        append(path)
    assert [fault.message for fault in caught.value.faults] == [
        "to, from: wanted each pair only once, got the same as in line 6",
        "to, from: wanted each pair only once, got the same as in line 7",
    ]
    assert path.read_bytes() == before


def test_a_file_with_faults_is_left_as_it_is(path: Path) -> None:
    path.write_text(facts.ALLOW_LIST + "x,,,,,,\n")
    before = path.read_bytes()
    with pytest.raises(AllowListError):
        append(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# to,from,destination\n", r"csv: wanted a header line \(to,.*\), got none"),
        (b"to\xff", "wanted UTF-8 text, got another encoding; save the file as 'CSV UTF-8'"),
        (
            None,
            "wanted a CSV file, got none; set allow_list to its path, or run this in its folder",
        ),
    ],
)
def test_a_file_that_has_no_place_for_routes_is_refused_beforehand(
    content: bytes | None, message: str, path: Path
) -> None:
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ChangeError, match=message):
        check(path)
    with pytest.raises((ChangeError, AllowListError)):
        append(path)
    assert (path.read_bytes() if path.exists() else None) == content


def test_columns_that_routes_need_are_added(path: Path) -> None:
    path.write_text("to,destination\n12025550100,12025550111\n")
    check(path)
    append(path)
    assert path.read_text() == (
        "to,destination,from,caller_id_number,expires\n"
        "12025550100,12025550111,,,\n"
        f"{MASK_2},{TWO},{ONE},{MASK_1},2026-11-23T14:00:00Z\n"
        f"{MASK_1},{ONE},{TWO},{MASK_2},2026-11-23T14:00:00Z\n"
    )


def test_a_link_stays_a_link_and_the_rights_stay(path: Path) -> None:
    path.chmod(0o640)
    link = path.with_name("link.csv")
    link.symlink_to(path)
    append(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_text().endswith(NEW_ROWS)


def writer(path: Path, first: int, count: int, **more: Any) -> "subprocess.Popen[str]":
    """Start a program that adds this many pairs of routes."""
    process = subprocess.Popen(
        [sys.executable, SUPPORT / "list_writer.py", path, str(first), str(count)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(SUPPORT)))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.faults
def test_killed_at_any_moment_the_file_is_the_old_or_the_new_one(path: Path) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    for turn in range(8):
        process = writer(path, turn * 1000, 1000)
        time.sleep(chance.uniform(0, 0.12))
        process.kill()
        process.communicate()
        lines = path.read_text().splitlines()
        assert path.read_text().startswith(facts.ALLOW_LIST), seed
        assert (len(parse(lines)) - 4) % 2 == 0, seed
    assert len(parse(path.read_text().splitlines())) > 4, seed
    append(path)
    left = {file.name for file in path.parent.iterdir()}
    assert left == {"allowlist.csv"}


def test_two_writers_at_once_lose_nothing(path: Path) -> None:
    both = [writer(path, 0, 8), writer(path, 1000, 8)]
    for process in both:
        assert process.communicate(timeout=30)[1] == ""
        assert process.returncode == 0
    assert len(parse(path.read_text().splitlines())) == 4 + 2 * 2 * 8


def test_without_room_on_the_disk_the_file_stays_unchanged(path: Path) -> None:
    room = len(facts.ALLOW_LIST) + 20

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    process = writer(path, 0, 1, preexec_fn=little_room)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == 1
    assert "cannot be written (File too large); it is unchanged" in errors
    assert path.read_text() == facts.ALLOW_LIST
    assert not list(path.parent.glob("*.new"))


def test_a_reader_sees_the_old_or_the_new_file_only(path: Path) -> None:
    stop = threading.Event()
    seen: set[int] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(parse(path.read_text().splitlines())))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        writer(path, 0, 8).communicate(timeout=30)
    finally:
        stop.set()
        reader.join()
    assert len(seen) > 2
    assert seen <= set(range(4, 21, 2))


def test_an_expired_row_with_the_same_masking_id_is_replaced_too(path: Path) -> None:
    append(path, routes=routes(START - timedelta(seconds=1)))
    other = PhoneNumber(facts.STRANGER)
    append(
        path,
        routes=[
            Route(MASK_2, ONE, Dial(other, MASK_1), ENDS),
            Route(MASK_1, other, Dial(ONE, MASK_2), ENDS),
        ],
    )
    assert [route.destination for route in parse(path.read_text().splitlines())][4:] == [
        ONE, other, ONE,
    ]  # fmt: skip


def test_a_change_by_another_program_meanwhile_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = facts.ALLOW_LIST.replace("front desk", "changed")
    texts = [theirs]

    def slow(lines: list[str]) -> AllowList:
        if texts:
            path.write_text(texts.pop())
        return parse(lines)

    append(path, parse=slow)
    assert path.read_text() == theirs + NEW_ROWS
    monkeypatch.setattr(editor, "_MAX_TRIES", 1)
    path.write_text(facts.ALLOW_LIST)
    texts.append(theirs)
    with pytest.raises(ChangeError, match="another program keeps changing"):
        append(path, parse=slow)
    assert path.read_text() == theirs


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(path: Path) -> None:
    os.chown(path, 65534, 65534)
    append(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65534)


# The rehearsal


def state(path: Path) -> tuple[int, int, str]:
    found = path.stat()
    return found.st_mode, found.st_uid, path.read_text()


def test_a_rehearsal_leaves_the_same_text_and_rights_and_nothing_beside_it(path: Path) -> None:
    path.chmod(0o640)
    link = path.with_name("link.csv")
    link.symlink_to(path)
    before = state(path)
    check(link)
    assert state(path) == before
    assert link.is_symlink()
    assert {file.name for file in path.parent.iterdir()} == {"allowlist.csv", "link.csv"}


def test_a_rehearsal_replaces_the_file_as_adding_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is mounted by itself can be written, as can its folder, but not be replaced."""

    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "replace", busy)
    before = state(path)
    with pytest.raises(ChangeError, match=r"cannot be written \(Device or resource busy\)"):
        check(path)
    assert state(path) == before
    assert not list(path.parent.glob("*.new"))


def test_a_file_that_cannot_be_locked_is_not_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no)
    for work in (check, append):
        with pytest.raises(ChangeError, match=r"cannot be written \(No locks available\)"):
            work(path)


@pytest.mark.parametrize("work", [check, append])
def test_a_change_by_another_program_while_the_new_file_is_written_is_kept(
    work: Callable[[Path], None], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = facts.ALLOW_LIST.replace("front desk", "changed")
    texts, sync = [theirs], os.fsync

    def slow(handle: int) -> None:
        if texts:
            changed = path.with_name("theirs")
            changed.write_text(texts.pop())
            changed.replace(path)
        sync(handle)

    monkeypatch.setattr(os, "fsync", slow)
    work(path)
    assert path.read_text().startswith(theirs)


def test_where_files_cannot_be_locked_it_still_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "fcntl", None)
    append(path)
    assert path.read_text().endswith(NEW_ROWS)
    assert [file.name for file in path.parent.iterdir()] == ["allowlist.csv"]


# Taken back

OLD = """\
# mine
to,note
12025550100,

12025550102,x
# mine
12025550103,
"""


def read(lines: list[str]) -> AllowList:
    return read_list("\n".join(lines), caller_id_number=PhoneNumber(facts.MASKING_ID))


def change(path: Path, wanted: RowChanges) -> Change:
    def edit(lines: list[str], _: AllowList) -> list[str]:
        return changes.apply(wanted, lines, note="n")

    return editor.change(path, edit, read, Waits().patience())


EVERYTHING = RowChanges(
    added=(Route(MASK_1, ONE, Dial(TWO, MASK_2, external_id="x"), ENDS, greeting="Hi"),),
    changed={7: {"expires": "2026-11-23T12:00:00Z"}},
    removed=frozenset({5}),
)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_change_is_taken_back_with_its_columns(end: str, path: Path) -> None:
    old = "\ufeff" + OLD.replace("\n", end)
    path.write_bytes(old.encode())
    changed = change(path, EVERYTHING)
    assert "to,note,from,destination,caller_id_number,expires,greeting,external_id" in (
        path.read_text(encoding="utf-8")
    )
    editor.take_back(path, changed, read, Waits().patience())
    assert path.read_bytes() == old.encode()


def test_a_change_is_taken_back_though_another_has_widened_the_header(path: Path) -> None:
    path.write_text("to,from,destination,expires\n")
    changed = change(path, RowChanges(added=(Route(MASK_1, ONE, Dial(TWO, MASK_1), ENDS),)))
    theirs = Route(MASK_2, TWO, Dial(ONE, MASK_2, external_id="y"), ENDS)
    change(path, RowChanges(added=(theirs,)))
    editor.take_back(path, changed, read, Waits().patience())
    assert path.read_text() == (
        f"to,from,destination,expires,external_id\n{MASK_2},{TWO},{ONE},2026-11-23T14:00:00Z,y\n"
    )


def test_a_row_that_was_added_goes_though_another_has_ended_or_renewed_it(path: Path) -> None:
    path.write_text("to,from,destination,expires\n")
    changed = change(path, RowChanges(added=(Route(MASK_1, ONE, Dial(TWO, MASK_1), ENDS),)))
    again = change(path, RowChanges(changed={2: {"expires": "2026-11-23T13:00:00Z"}}))
    editor.take_back(path, changed, read, Waits().patience())
    assert path.read_text() == "to,from,destination,expires\n"
    editor.take_back(path, again, read, Waits().patience())  # brings nothing back
    assert path.read_text() == "to,from,destination,expires\n"


def test_the_header_of_another_stays_as_it_is_when_a_change_is_taken_back(path: Path) -> None:
    """They have added a column in front of ours, or the same ones in another order."""
    path.write_text("to,from,destination,expires\n")
    ours = Route(MASK_1, ONE, Dial(TWO, MASK_1, external_id="x"), ENDS)
    changed = change(path, RowChanges(added=(ours,)))
    theirs = Route(MASK_2, TWO, Dial(ONE, MASK_2, external_id="y"), ENDS, greeting="Hello, you")
    change(path, RowChanges(added=(theirs,)))
    editor.take_back(path, changed, read, Waits().patience())
    assert path.read_text() == (
        "to,from,destination,expires,external_id,greeting\n"
        f'{MASK_2},{TWO},{ONE},2026-11-23T14:00:00Z,y,"Hello, you"\n'
    )
    (route,) = read(path.read_text().splitlines())
    assert (route.greeting, route.dial.external_id) == ("Hello, you", "y")


def test_what_was_changed_or_removed_comes_back_unless_another_has_taken_its_place(
    path: Path,
) -> None:
    path.write_text(
        "to,from,destination,expires\n"
        f"{MASK_1},{ONE},{TWO},2026-11-23T12:00:00Z\n"
        f"{MASK_1},{TWO},{ONE},2026-11-23T12:00:00Z\n"
        f"{MASK_2},{ONE},{TWO},2026-11-23T12:00:00Z\n"
    )
    added = Route(MASK_2, TWO, Dial(ONE, MASK_2), ENDS)
    renewal = {4: {"expires": "2026-11-23T15:00:00Z"}}
    changed = change(path, RowChanges((added,), renewal, removed=frozenset({2, 3})))
    theirs = Route(MASK_1, ONE, Dial(PhoneNumber("12025550133"), MASK_1, external_id="y"), ENDS)
    change(path, RowChanges(added=(theirs,)))
    editor.take_back(path, changed, read, Waits().patience())
    assert sorted(path.read_text().splitlines()) == [
        f"{MASK_1},{ONE},12025550133,2026-11-23T14:00:00Z,y",
        f"{MASK_1},{TWO},{ONE},2026-11-23T12:00:00Z,",
        f"{MASK_2},{ONE},{TWO},2026-11-23T12:00:00Z,",
        "to,from,destination,expires,external_id",
    ]


def test_no_path_ends_in_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for path in tmp_path / "a", tmp_path, Path("/"):
        with pytest.raises(ChangeError, match=r"symbolic links|wanted a CSV file, got a folder"):
            append(path)


def test_where_another_has_written_the_old_rows_again_nothing_is_taken_back(path: Path) -> None:
    old = f"to,from,destination,expires\n{MASK_1},{ONE},{TWO},2026-11-23T12:00:00Z\n"
    path.write_text(old)
    changed = change(path, RowChanges(changed={2: {"greeting": "Hi"}}))
    path.write_text(old)
    editor.take_back(path, changed, parse, Waits().patience())
    assert path.read_text() == old


@pytest.mark.parametrize("fault", [OLD + "x\n", "", "# no header\n"])
def test_a_change_is_not_taken_back_in_a_list_with_faults(fault: str, path: Path) -> None:
    path.write_text(OLD)
    changed = change(path, EVERYTHING)
    path.write_text(fault)
    before = path.read_text()
    with pytest.raises(ChangeError, match="another program has changed the same rows since"):
        editor.take_back(path, changed, read, Waits().patience())
    assert path.read_text() == before


def test_of_a_change_that_is_taken_back_the_columns_stay_that_others_have_filled(
    path: Path,
) -> None:
    path.write_text(OLD)
    changed = change(path, EVERYTHING)
    theirs = Route(MASK_1, TWO, Dial(ONE, MASK_1, external_id="y"), ENDS)
    change(path, RowChanges(added=(theirs,), changed={3: {"greeting": "Ho"}}))
    editor.take_back(path, changed, read, Waits().patience())
    assert path.read_text() == (
        "# mine\n"
        "to,note,from,destination,caller_id_number,expires,greeting,external_id\n"
        "12025550100,,,,,,Ho,\n"
        "\n"
        "12025550102,x,,,,,,\n"
        "# mine\n"
        "12025550103,,,,,,,\n"
        f"{MASK_1},n,{TWO},{ONE},{MASK_1},2026-11-23T14:00:00Z,,y\n"
    )
