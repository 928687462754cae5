"""Gives a new file the owner, the group, the mode and the ACL of the list whose place it takes.

The server reads the list by one of them, often as another user. Each is kept as far as the user
may; where the owner, the group or the ACL cannot be kept and somebody could no longer read the
list, there is an error while the new file is still empty. Other extended attributes are not kept.
"""

import contextlib
import os
import stat
from pathlib import Path

try:
    import grp
    import pwd
except ImportError:  # not on this system, which has no such owners either
    grp = pwd = None  # type: ignore[assignment]

_ACL = "system.posix_acl_access"


class RightsError(Exception):
    """Somebody would be shut out; the message says who and what to do."""


def copy(old: Path, new: Path) -> None:
    """Give a new file, which is empty, the rights of an old one. Raises `RightsError`."""
    if pwd is None:
        return
    wanted = old.stat()
    # Root keeps both; another user the groups that they are in, or that the folder passes on.
    change_owner(new, -1, wanted.st_gid)
    change_owner(new, wanted.st_uid, -1)
    _check(wanted, new.stat())
    _copy_acl(old, new)
    new.chmod(stat.S_IMODE(wanted.st_mode))


def change_owner(file: Path | int, user: int, group: int) -> None:
    """Change the owner or the group of a file, or of an open one, if we may; -1 leaves it."""
    with contextlib.suppress(OSError):
        os.chown(file, user, group)


def user_name(user: int) -> str:
    """Return the name of a user, or their number where they have none."""
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return str(user)


def _check(wanted: os.stat_result, got: os.stat_result) -> None:
    group_bits, other_bits = wanted.st_mode >> 3 & 7, wanted.st_mode & 7
    if got.st_gid != wanted.st_gid and group_bits != other_bits:
        group = _group_name(wanted.st_gid)
        raise RightsError(
            f"its group {group} cannot be kept, so others could read it, or no longer; run this as"
            f" root or as a member of {group}"
        )
    if got.st_uid != wanted.st_uid and not _reads_without_owning(wanted):
        owner = user_name(wanted.st_uid)
        raise RightsError(
            f"it would belong to {user_name(got.st_uid)}, and its owner {owner} could no longer"
            f" read it; run this as root or as {owner}, or put {owner} into the group"
            f" {_group_name(wanted.st_gid)} and let it read the list"
        )


def _reads_without_owning(wanted: os.stat_result) -> bool:
    """Whether the owner of a file may read one of the same group and mode that is another's."""
    if wanted.st_uid == 0 or not wanted.st_mode & stat.S_IRUSR:
        return True
    is_member = wanted.st_gid in _groups(wanted.st_uid)
    return bool(wanted.st_mode & (stat.S_IRGRP if is_member else stat.S_IROTH))


def _groups(user: int) -> list[int]:
    """Return the groups of a user: none, as far as is known, of one without a name."""
    try:
        found = pwd.getpwuid(user)
    except KeyError:
        return []
    return os.getgrouplist(found.pw_name, found.pw_gid)


def _group_name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def _copy_acl(old: Path, new: Path) -> None:
    """Give the new file the ACL of the old one, or none: a folder may pass its own on."""
    if not hasattr(os, "getxattr"):
        return
    try:
        acl = os.getxattr(old, _ACL)
    except OSError:  # it has none
        with contextlib.suppress(OSError):
            os.removexattr(new, _ACL)
        return
    try:
        os.setxattr(new, _ACL, acl)
    except OSError as error:
        message = f"its access control list cannot be kept ({error.strerror}); run this as root"
        raise RightsError(message) from None
