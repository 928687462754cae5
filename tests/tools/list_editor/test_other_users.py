"""The list of several users: its rights stay, those who may change it may lock it, nobody else.

The users and groups have numbers alone, which this machine gives to nobody.
"""

import contextlib
import os
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import facts
import pytest
from helpers import ROOT, SUPPORT

from tools.list_editor import turns

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root acts as other users")

ROOT_USER = 0
CLERK, OTHER_CLERK, SERVER, STRANGER = 61011, 61012, 61013, 61014
CLERKS, READERS = 61021, 61022
PAIR = ("pair", "12025550130", "12025550131", "--for", "2h")
ENVIRONMENT = {
    # Another user may not write what measures coverage, nor compiled files.
    **{name: text for name, text in os.environ.items() if "COVERAGE" not in name},
    "PYTHONPATH": os.pathsep.join((str(ROOT), str(SUPPORT))),
    "PYTHONDONTWRITEBYTECODE": "1",
    "MASKING_PORT": "9",
    "MASKING_VIRTUAL_NUMBERS": "12025550161",
}


@dataclass
class SharedList:
    """A folder with a list in it."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "allowlist.csv"

    def belongs(self, folder: tuple[int, int, int], to: tuple[int, int, int]) -> None:
        """Give folder and list their owner, group and mode."""
        for path, (owner, group, mode) in ((self.folder, folder), (self.path, to)):
            os.chown(path, owner, group)
            path.chmod(mode)

    def rights(self) -> tuple[int, int, int]:
        found = self.path.stat()
        return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)

    def start(self, user: int, groups: list[int], *words: str) -> "subprocess.Popen[str]":
        """Start a program as a user of these groups."""
        return subprocess.Popen(
            [sys.executable, SUPPORT / "as_user.py", str(user), ",".join(map(str, groups)), *words],
            cwd=self.folder,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pair(self, user: int, *groups: int) -> tuple[int, str]:
        """Pair two people as a user; return the exit status and what stderr says."""
        with self.start(user, [*groups] or [user], *PAIR) as process:
            errors = process.communicate(timeout=30)[1]
        return process.returncode, errors

    def left(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def shared() -> Iterator[SharedList]:
    """The folder is one that others can enter, unlike those that pytest makes."""
    with tempfile.TemporaryDirectory() as name:
        shared = SharedList(Path(name))
        shared.path.write_text(facts.ALLOW_LIST)
        turns.mark(shared.path)  # or each command would wait for a program that writes it
        yield shared


# Rights


@pytest.mark.parametrize(
    ("user", "groups", "folder", "before", "after"),
    [
        # Root keeps all; so does the owner.
        (ROOT_USER, [0], (0, 0, 0o755), (SERVER, READERS, 0o640), (SERVER, READERS, 0o640)),
        (ROOT_USER, [0], (0, CLERKS, 0o2770), (0, READERS, 0o440), (0, READERS, 0o440)),
        (CLERK, [CLERKS, READERS], (CLERK, CLERKS, 0o755), (CLERK, READERS, 0o640),
         (CLERK, READERS, 0o640)),
        # A member keeps the group, and the owner is root, who reads everything.
        (CLERK, [CLERKS], (0, CLERKS, 0o2770), (0, CLERKS, 0o640), (CLERK, CLERKS, 0o640)),
        (CLERK, [CLERK, CLERKS], (0, CLERKS, 0o770), (0, CLERKS, 0o640), (CLERK, CLERKS, 0o640)),
        (CLERK, [CLERK, CLERKS, READERS], (0, CLERKS, 0o2770), (0, READERS, 0o640),
         (CLERK, READERS, 0o640)),
        # A group that the folder passes on needs no member.
        (CLERK, [CLERK], (CLERK, READERS, 0o2755), (CLERK, READERS, 0o640),
         (CLERK, READERS, 0o640)),
        # A group that has no more rights than the others loses none.
        (CLERK, [CLERK], (CLERK, CLERK, 0o755), (CLERK, READERS, 0o644), (CLERK, CLERK, 0o644)),
        (CLERK, [CLERK], (CLERK, CLERK, 0o755), (CLERK, READERS, 0o600), (CLERK, CLERK, 0o600)),
        # An owner whom the others' rights let in.
        (CLERK, [CLERKS], (0, CLERKS, 0o2770), (SERVER, CLERKS, 0o664), (CLERK, CLERKS, 0o664)),
    ],
)  # fmt: skip
def test_owner_group_and_mode_stay_as_far_as_the_user_may(
    user: int,
    groups: list[int],
    folder: tuple[int, int, int],
    before: tuple[int, int, int],
    after: tuple[int, int, int],
    shared: SharedList,
) -> None:
    shared.belongs(folder, before)
    assert shared.pair(user, *groups) == (0, "")
    assert shared.rights() == after
    assert shared.path.read_text().count(",pair\n") == 2
    assert shared.left() == {"allowlist.csv"}


@pytest.mark.parametrize(
    ("groups", "folder", "rights", "message"),
    [
        ([CLERK], (CLERK, CLERK, 0o755), (CLERK, READERS, 0o640),
         f"its group {READERS} cannot be kept, so others could read it, or no longer; run this as"
         f" root or as a member of {READERS}"),
        ([CLERK, CLERKS], (0, CLERKS, 0o2770), (CLERK, READERS, 0o660),
         f"its group {READERS} cannot be kept, so others could read it, or no longer; run this as"
         f" root or as a member of {READERS}"),
        ([CLERKS], (0, CLERKS, 0o2770), (SERVER, CLERKS, 0o640),
         f"it would belong to {CLERK}, and its owner {SERVER} could no longer read it; run this as"
         f" root or as {SERVER}, or put {SERVER} into the group {CLERKS} and let it read the list"),
    ],
)  # fmt: skip
def test_what_would_shut_a_reader_out_is_an_error_and_nothing_changes(
    groups: list[int],
    folder: tuple[int, int, int],
    rights: tuple[int, int, int],
    message: str,
    shared: SharedList,
) -> None:
    shared.belongs(folder, rights)
    before = shared.path.stat()
    assert shared.pair(CLERK, *groups) == (5, f"pair: allowlist.csv: not changed: {message}\n")
    after = shared.path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert shared.rights() == rights
    assert shared.left() == {"allowlist.csv"}


def acl_of(user: int, *, may: int = 4, group_may: int = 4, others_may: int = 0) -> bytes:
    """Return an ACL that lets one more user read, or more, as Linux stores it."""
    nobody = 2**32 - 1
    entries = [(1, 6, nobody), (2, may, user), (4, group_may, nobody),
               (16, may | group_may, nobody), (32, others_may, nobody)]  # fmt: skip
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def find_acl(path: Path) -> bytes | None:
    with contextlib.suppress(OSError):
        return os.getxattr(path, "system.posix_acl_access")
    return None


@pytest.mark.parametrize("has_acl", [True, False])
def test_an_acl_stays_and_that_of_the_folder_is_not_taken_over(
    has_acl: bool, shared: SharedList
) -> None:
    """Where the file system has none, there is none before and after."""
    with contextlib.suppress(OSError):
        os.setxattr(shared.folder, "system.posix_acl_default", acl_of(STRANGER))
        if has_acl:
            os.setxattr(shared.path, "system.posix_acl_access", acl_of(SERVER))
    shared.belongs((0, CLERKS, 0o2770), (0, CLERKS, 0o640))
    before = find_acl(shared.path)
    assert shared.pair(CLERK, CLERKS) == (0, "")
    assert find_acl(shared.path) == before
    assert shared.rights() == (CLERK, CLERKS, 0o640)


def test_without_the_right_to_write_to_the_folder_nothing_changes(shared: SharedList) -> None:
    shared.belongs((0, 0, 0o755), (CLERK, CLERKS, 0o666))
    assert shared.pair(CLERK, CLERKS) == (
        5,
        "pair: allowlist.csv: cannot be written (Permission denied); it is unchanged; the user who"
        " runs this has to be able to write to its folder\n",
    )
    assert shared.path.read_text() == facts.ALLOW_LIST


# Locks


@contextlib.contextmanager
def doing(shared: SharedList, user: int, groups: list[int], *words: str) -> Iterator[str]:
    """Have a user do something meanwhile, and then be killed; yield what they say."""
    with shared.start(user, groups, *words) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("folder", "first", "then"),
    [
        ((0, CLERKS, 0o2770), (CLERK, [CLERKS]), (OTHER_CLERK, [CLERKS])),
        ((0, CLERKS, 0o770), (CLERK, [CLERK, CLERKS]), (OTHER_CLERK, [OTHER_CLERK, CLERKS])),
        ((0, CLERKS, 0o770), (ROOT_USER, [0]), (CLERK, [CLERK, CLERKS])),
        ((0, CLERKS, 0o770), (CLERK, [CLERK, CLERKS]), (ROOT_USER, [0])),
        ((CLERK, CLERK, 0o755), (ROOT_USER, [0]), (CLERK, [CLERK])),
        ((0, 0, 0o777), (CLERK, [CLERK]), (OTHER_CLERK, [OTHER_CLERK])),
        ((CLERK, CLERKS, 0o1770), (ROOT_USER, [0]), (CLERK, [CLERKS])),
    ],
)
def test_a_lock_whose_holder_was_killed_is_taken_by_all_who_may_change_the_list(
    folder: tuple[int, int, int],
    first: tuple[int, list[int]],
    then: tuple[int, list[int]],
    shared: SharedList,
) -> None:
    shared.belongs(folder, (CLERK, CLERKS, 0o644))
    user, groups = first
    with doing(shared, user, groups, "hold", "allowlist.csv") as said:
        assert said == "held\n"
    assert shared.left() == {"allowlist.csv", ".allowlist.csv.turn"}
    user, groups = then
    assert shared.pair(user, *groups) == (0, "")
    assert shared.left() == {"allowlist.csv"}


def test_the_acl_of_a_folder_says_who_may_take_the_lock(shared: SharedList) -> None:
    """Then its mode does not say what its group may. Where there are no ACLs, nothing is said."""
    shared.belongs((0, CLERKS, 0o755), (0, CLERKS, 0o644))
    acl = acl_of(CLERK, may=7, group_may=5, others_may=5)
    try:
        os.setxattr(shared.folder, "system.posix_acl_access", acl)
        os.setxattr(shared.folder, "system.posix_acl_default", acl_of(STRANGER))
    except OSError:
        return
    with doing(shared, ROOT_USER, [0], "hold", "allowlist.csv"):
        pass
    for user, groups in (OTHER_CLERK, [CLERKS]), (STRANGER, [STRANGER]):
        with doing(shared, user, groups, "block", ".allowlist.csv.turn") as said:
            assert said == "held 0\n"
    assert shared.pair(CLERK) == (0, "")
    assert shared.left() == {"allowlist.csv"}


def test_a_stranger_who_may_read_everything_can_hold_nothing(shared: SharedList) -> None:
    shared.belongs((0, CLERKS, 0o2775), (0, CLERKS, 0o664))
    lock = ".allowlist.csv.turn"
    with doing(shared, CLERK, [CLERKS], "hold", "allowlist.csv"):
        pass
    with doing(shared, STRANGER, [STRANGER], "block", ".", "allowlist.csv", lock) as said:
        assert said == "held 2\n"  # the folder and the list, for reading
        assert shared.pair(OTHER_CLERK, CLERKS) == (0, "")


@pytest.mark.faults
def test_a_lock_that_cannot_be_opened_is_named_and_given_up(shared: SharedList) -> None:
    """Its owner has no way to open it to the owner of the folder, who is in no group of theirs."""
    shared.belongs((CLERK, CLERKS, 0o770), (CLERK, CLERKS, 0o664))
    lock = shared.folder / ".allowlist.csv.turn"
    lock.touch(0o660)
    os.chown(lock, OTHER_CLERK, CLERKS)
    status, errors = shared.pair(CLERK)
    assert status == 1
    assert errors.splitlines() == [
        f"pair: waiting for user {OTHER_CLERK}, who has locked the list with {lock}",
        f"pair: allowlist.csv: not changed: waited 10 s for user {OTHER_CLERK}, who has locked the"
        f" list with {lock}; remove that file if no command of theirs is running, and run this"
        " again",
    ]
    assert shared.path.read_text() == facts.ALLOW_LIST
