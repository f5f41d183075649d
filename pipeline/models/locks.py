"""One fetch of a model at a time, over all threads and processes of the machine."""

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_POLL_S = 0.2


@contextlib.contextmanager
def file_lock(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock on a file, which is made if need be and left behind (removing it would race).

    The lock ends with the process that holds it, so that a killed fetch blocks nobody. There is no limit on the wait:
    whoever holds the lock is downloading, and that takes as long as it takes.

    Args:
        path: the lock file.
        on_wait: called every 0.2 s while another holds the lock.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                on_wait()
                time.sleep(_POLL_S)
        yield
