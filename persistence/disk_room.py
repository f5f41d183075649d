"""Room left on a disk, for stores that write by memory maps.

A page of a sparse file that is written to on a full disk cannot be had: the kernel ends the process by SIGBUS, and no
code of its own can catch that. So who maps files asks first.
"""

import os
from pathlib import Path

from persistence.errors import NoRoomError

LEAST_BYTES = 16 * 1024 * 1024
"""Much more than one write of ours takes, and what other programs take while it is under way."""


def require_room(folder: Path, least_bytes: int = LEAST_BYTES) -> None:
    """See that a disk has room for a write.

    Args:
        folder: on that disk.
        least_bytes: that must be free for us.

    Raises:
        NoRoomError: it has not.
    """
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if free < least_bytes:
        raise NoRoomError(
            f"the disk of {folder} has {free // 1024**2} MiB left, {least_bytes // 1024**2} are needed: make room"
        )
