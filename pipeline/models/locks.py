"""One fetch of a model at a time, over all threads and processes of the machine."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

_POLL_S = 0.2


@contextlib.contextmanager
def file_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if need be.

    The lock ends with the process that holds it, so that a killed fetch blocks no other. There is no limit on the wait:
    the process that holds the lock is downloading, and that takes as long as it takes.

    Args:
        path: the lock file.
        on_wait: called every 0.2 s while another holds the lock.

    Raises:
        OSError: the file cannot be made.
    """
    lock = FileLock(path)
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_POLL_S)
        except Timeout:
            on_wait()
    try:
        yield
    finally:
        lock.release()
