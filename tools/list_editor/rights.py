"""Who may read and write: a new file gets the rights of the list whose place it takes.

The server reads the list by its owner, its group, its mode or its ACL, often as another user. Each
is kept as far as the user may; where one cannot be kept and somebody could no longer read the list,
there is an error while the new file is still empty. Other extended attributes are not kept.
"""

import contextlib
import os
import stat
import struct
from pathlib import Path

try:
    import grp
    import pwd
except ImportError:  # not on this system, which has no such owners either
    grp = pwd = None  # type: ignore[assignment]

_ACL = "system.posix_acl_access"
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_OWNER, _ACL_GROUP = 0x01, 0x04
_WRITE, _READ_WRITE = 2, 6


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


def share(file: int, folder: Path) -> None:
    """Let all who may write to a folder read and write an open file in it, and nobody else."""
    found = folder.stat()
    change_owner(file, -1, found.st_gid)
    has_group = os.fstat(file).st_gid == found.st_gid
    acl = _find_acl(folder)
    if acl is None:
        _remove_acl(file)
        of_group = 0o060 if has_group and found.st_mode & stat.S_IWGRP else 0
        of_others = 0o006 if found.st_mode & stat.S_IWOTH else 0
        os.chmod(file, 0o600 | of_group | of_others)
    else:
        os.setxattr(file, _ACL, _writers(acl, has_group=has_group))
    change_owner(file, found.st_uid, -1)


def _writers(acl: bytes, *, has_group: bool) -> bytes:
    """Return an ACL by which those may read and write whom another ACL lets write, and the owner.

    Source: posix_acl_xattr.h of Linux: a version, then entries of a tag, permissions and an id.
    """
    entries = b""
    for tag, permissions, who in _ACL_ENTRY.iter_unpack(acl[4:]):
        may_write = permissions & _WRITE and (tag != _ACL_GROUP or has_group)
        entries += _ACL_ENTRY.pack(tag, _READ_WRITE if may_write or tag == _ACL_OWNER else 0, who)
    return acl[:4] + entries


def _copy_acl(old: Path, new: Path) -> None:
    """Give the new file the ACL of the old one, or none: a folder may pass its own on."""
    acl = _find_acl(old)
    if acl is None:
        _remove_acl(new)
        return
    try:
        os.setxattr(new, _ACL, acl)
    except OSError as error:
        message = f"its access control list cannot be kept ({error.strerror}); run this as root"
        raise RightsError(message) from None


def _find_acl(path: Path) -> bytes | None:
    """Return the ACL of a file or folder; `None` if it has none, or the system knows none."""
    if not hasattr(os, "getxattr"):
        return None
    try:
        return os.getxattr(path, _ACL)
    except OSError:
        return None


def _remove_acl(file: Path | int) -> None:
    with contextlib.suppress(OSError, AttributeError):
        os.removexattr(file, _ACL)
