"""Letting one user pass through folders that stay closed to all others: access control lists of POSIX.

The form of the attribute is that of Linux (include/uapi/linux/posix_acl_xattr.h): a version, then entries of tag,
permissions and id.
"""

import os
import pwd
import struct
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

ATTRIBUTE = "system.posix_acl_access"
VERSION = 2
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NOBODY = 0xFFFFFFFF
PASS = 0o1

_HEAD, _ENTRY = struct.Struct("<I"), struct.Struct("<HHI")


def let_through(path: Path, user: pwd.struct_passwd) -> None:
    """Let a user pass through the folders above a path, without the right to list them, and nobody else.

    Where the file system has no access control lists, all users are let through.
    """
    for folder in path.resolve().parents:
        status = folder.stat()
        if status.st_uid == user.pw_uid or status.st_mode & PASS or user.pw_uid in _who_may(folder):
            continue
        try:
            os.setxattr(folder, ATTRIBUTE, _with(folder, status.st_mode, user.pw_uid))
            log.info("a user may pass through a folder", folder=str(folder), user=user.pw_name)
        except (OSError, AttributeError) as error:
            folder.chmod(status.st_mode | PASS)
            log.warning(
                "folder opened for passing through, to all users",
                folder=str(folder),
                for_user=user.pw_name,
                problem=str(error),
            )


def _entries(folder: Path) -> list[tuple[int, int, int]]:
    """The list of a folder; empty where it has none besides its mode."""
    try:
        found = os.getxattr(folder, ATTRIBUTE)
    except (OSError, AttributeError):
        return []
    if len(found) < _HEAD.size or _HEAD.unpack_from(found)[0] != VERSION:
        return []
    return [_ENTRY.unpack_from(found, at) for at in range(_HEAD.size, len(found) - _ENTRY.size + 1, _ENTRY.size)]


def _who_may(folder: Path) -> set[int]:
    entries = _entries(folder)
    mask = next((perm for tag, perm, _ in entries if tag == MASK), PASS)
    return {who for tag, perm, who in entries if tag == USER and perm & mask & PASS}


def _with(folder: Path, mode: int, uid: int) -> bytes:
    """The list of a folder with one more user who may pass."""
    group = (mode >> 3) & 0o7
    entries = _entries(folder) or [
        (USER_OBJ, (mode >> 6) & 0o7, NOBODY),
        (GROUP_OBJ, group, NOBODY),
        (MASK, group, NOBODY),
        (OTHER, mode & 0o7, NOBODY),
    ]
    kept = [entry for entry in entries if not (entry[0] == USER and entry[2] == uid)]
    widened = [(tag, perm | PASS if tag == MASK else perm, who) for tag, perm, who in kept]
    # The kernel wants them in the order of their tags, and users in that of their ids.
    ordered = sorted([*widened, (USER, PASS, uid)], key=lambda entry: (entry[0], entry[2]))
    return _HEAD.pack(VERSION) + b"".join(_ENTRY.pack(*entry) for entry in ordered)
