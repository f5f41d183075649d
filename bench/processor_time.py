"""Processor time of another process by what it was spent on, from the names of its threads (Linux).

Morgan names its threads after their engines, and the threads that a model library starts inherit the name, so that
all of an engine's work is found under one name in `/proc/PID/task/*/comm`. The main thread has the event loop and all
media; what a process started itself (databases) are processes of their own.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

STAGES: Final = ("stt", "turn model", "llm", "voice", "embeddings", "media and calls", "databases", "rest")
"""In the order of a turn."""

_NAMES: Final = {
    "faster-whisper": "stt",
    "smart-turn": "turn model",
    "llama.cpp": "llm",
    "transformers": "llm",
    "piper": "voice",
    "kokoro": "voice",
    "csm": "voice",
    "embedder": "embeddings",
}

Seconds = dict[str, float]


class NoSuchProcessError(Exception):
    """The process is gone, or this system does not tell; the message is for people."""


def stage_of(thread: str) -> str:
    """The stage that a thread works for, by its name."""
    return next((stage for name, stage in _NAMES.items() if thread.startswith(name)), "rest")


def read_stages(pid: int, proc: Path = PROC) -> Seconds:
    """Seconds of processor time so far, by stage; every stage is there.

    Threads that have ended count under "rest": their names are gone with them.

    Raises:
        NoSuchProcessError: there is no such process, or no `/proc`.
    """
    stages: Seconds = dict.fromkeys(STAGES, 0.0)
    folder = proc / str(pid)
    try:
        whole = _seconds_of_stat(folder / "stat")
        for task in (folder / "task").iterdir():
            try:
                spent = _seconds_of_stat(task / "stat")
                name = (task / "comm").read_text().strip()
            except OSError:
                continue
            stages["media and calls" if task.name == str(pid) else stage_of(name)] += spent
    except OSError:
        raise NoSuchProcessError(f"The processor time of process {pid} cannot be read under {proc}") from None
    stages["rest"] += max(0.0, whole - sum(stages.values()))
    stages["databases"] = sum(_of_tree(child, proc) for child in children_of(pid, proc))
    return stages


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> Seconds:
    """What was spent between two readings; a thread that ended in between takes nothing back."""
    return {stage: max(0.0, seconds - before.get(stage, 0.0)) for stage, seconds in after.items()}


def children_of(pid: int, proc: Path = PROC) -> list[int]:
    """Processes that a process started."""
    found = []
    try:
        for task in (proc / str(pid) / "task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        pass
    return found


def pid_listening_on(port: int, proc: Path = PROC) -> int | None:
    """The process that listens on a TCP port of this machine; None where that cannot be seen."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (proc / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for folder in proc.iterdir() if inodes else ():
        if folder.name.isdigit() and _holds(folder / "fd", inodes):
            return int(folder.name)
    return None


def _holds(folder: Path, inodes: set[str]) -> bool:
    try:
        return any(str(file.readlink()) in inodes for file in folder.iterdir())
    except OSError:
        return False


def _of_tree(pid: int, proc: Path) -> float:
    try:
        own = _seconds_of_stat(proc / str(pid) / "stat", ended_children=True)
    except OSError:
        return 0.0
    return own + sum(_of_tree(child, proc) for child in children_of(pid, proc))


def _seconds_of_stat(path: Path, ended_children: bool = False) -> float:
    """User and system time of a `stat` file (proc_pid_stat(5)); the name in brackets may hold anything."""
    fields = path.read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11 : 15 if ended_children else 13])
    return ticks / os.sysconf("SC_CLK_TCK")
