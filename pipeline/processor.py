"""The processor that this runs on: at the head of every benchmark, and the key of what was measured for it.

Engines here differ by three from one processor to the next, mostly by what they have for 8-bit integers (AVX2 alone,
VNNI, AMX), so a figure without its processor says nothing.
"""

import contextlib
import ctypes
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

CPUINFO: Final = Path("/proc/cpuinfo")

_SETS: Final = {
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx_vnni": "AVX-VNNI",
    "avx512_vnni": "AVX512-VNNI",
    "amx_int8": "AMX-INT8",
    "asimd": "NEON",
    "asimddp": "dot product",
    "i8mm": "I8MM",
}
"""Flags of `/proc/cpuinfo` that decide how fast engines are, by the names people know."""

_FORCING: Final = ("CT2_FORCE_CPU_ISA", "CT2_USE_MKL", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
"""Variables that make a library take another path than the processor allows."""

_M_ARENA_MAX: Final = -8
"""Of mallopt(3)."""

PLAIN_PATH: Final = {"CT2_FORCE_CPU_ISA": "AVX2", "CT2_USE_MKL": "0"}
"""With these CTranslate2 computes as on a processor that has AVX2 alone."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor, and what was forced upon it.

    Attributes:
        model: its name.
        cores: that this process may run on.
        sets: instruction sets that matter to the engines.
        forced: variables that take other paths, such as `CT2_FORCE_CPU_ISA=AVX2`.
    """

    model: str
    cores: int
    sets: tuple[str, ...]
    forced: tuple[str, ...]

    @property
    def vnni(self) -> bool:
        """Whether 8-bit products have instructions of their own (x86)."""
        return any("VNNI" in name or "AMX" in name for name in self.sets)

    def describe(self) -> str:
        """One line for people."""
        sets = ", ".join(self.sets) or "instruction sets unknown"
        forced = f"; forced: {' '.join(self.forced)}" if self.forced else ""
        return f"{self.model}, {self.cores} core{'s' * (self.cores != 1)}, {sets}{forced}"

    def report(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


def int8_sums_overflow() -> bool:
    """Whether sums of products of uint8 and int8 stop at 16 bits: on x86 processors with AVX2 and no VNNI."""
    return platform.machine().lower() in ("x86_64", "amd64") and not this_machine().vnni


def this_machine(cpuinfo: Path = CPUINFO, environ: Mapping[str, str] = os.environ) -> Machine:
    """The processor that this runs on.

    Args:
        cpuinfo: what Linux says of it; other systems give name and cores alone.
        environ: where forced paths are named.
    """
    fields = _first_processor(cpuinfo.read_text()) if cpuinfo.is_file() else {}
    flags = (fields.get("flags") or fields.get("Features") or "").split()
    return Machine(
        model=fields.get("model name") or platform.processor() or platform.machine(),
        cores=_cores(),
        sets=tuple(name for flag, name in _SETS.items() if flag in flags),
        forced=tuple(f"{name}={environ[name]}" for name in _FORCING if environ.get(name)),
    )


def has_amx() -> bool:
    """Whether the processor multiplies tiles (Intel AMX)."""
    return "AMX-INT8" in this_machine().sets


def usable_memory(root: Path = Path("/")) -> int | None:
    """Bytes of memory that are free or can be freed, within the limit of the container; None where that is not told.

    Args:
        root: where `proc` and `sys` are found.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    limit = _number(root / "sys/fs/cgroup/memory.max")
    used = _number(root / "sys/fs/cgroup/memory.current")
    return free if limit is None or used is None else min(free, limit - used)


def return_free_memory() -> None:
    """Give freed memory back to the system; glibc keeps it (350 MB after whisper-base in float32 was unloaded)."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # musl, macOS and Windows have no malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


def share_malloc_arenas() -> None:
    """Have all threads share two arenas of glibc, before there are any; no word of it where the library is another.

    Each thread has its own otherwise, up to eight for each core, and each keeps what its thread has freed: 120 MB more
    of the same work. Engines keep buffers of their own, so that threads seldom meet here (Whisper's encoder and Smart
    Turn take as long as before).
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(AttributeError, OSError, TypeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


def resident_memory(root: Path = Path("/")) -> int | None:
    """Bytes of this process that are in memory; None where that is not told."""
    try:
        return int((root / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def _first_processor(text: str) -> dict[str, str]:
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
