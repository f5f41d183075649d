"""CPU time of native threads by their name: which engine the processor works for.

Threads that a model library starts inherit the name of the thread that starts them, as they do its niceness, so that
all threads of an engine have one name. Linux only; elsewhere there are no figures.
"""

import contextlib
import os
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

_TASKS = Path("/proc/self/task")
_LONGEST = 15
"""Bytes of a thread's name (proc_pid_comm(5))."""


def name_thread(name: str) -> None:
    """Give the calling thread the name by which its CPU time is found; threads that it starts inherit it."""
    with contextlib.suppress(OSError):
        (_TASKS / str(threading.get_native_id()) / "comm").write_bytes(name.encode()[:_LONGEST])


def cpu_by_thread_name() -> dict[str, float]:
    """CPU seconds of the threads that live, summed up by name; empty where the system does not tell."""
    seconds: dict[str, float] = defaultdict(float)
    with contextlib.suppress(OSError):
        for task in _TASKS.iterdir():
            # A thread may end between the two reads.
            with contextlib.suppress(OSError, ValueError, IndexError):
                name = _read(f"{task}/comm").decode().removesuffix("\n")
                seconds[name] += int(_read(f"{task}/schedstat").split()[0]) / 1e9
    return dict(seconds)


def _read(path: str) -> bytes:
    """A small file of the kernel's; a third of the time that `open` takes, and there are two for each thread."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, 256)
    finally:
        os.close(descriptor)


def cpu_of(name: str, spent: Mapping[str, float]) -> float | None:
    """CPU seconds of the threads with a name, out of what `cpu_by_thread_name` told; None where it does not tell."""
    return spent.get(name[:_LONGEST])
