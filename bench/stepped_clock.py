"""A process whose wall clock can be set forward and back, while that of the machine goes on."""

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("stepped_clock.c")


class SteppedClock:
    """The clock of processes that are started with `environ`.

    Args:
        folder: for the library, built with the C compiler of this machine.

    Raises:
        OSError, subprocess.CalledProcessError: there is none, or it cannot build it.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock-step"
        self._file.write_bytes(bytes(8))
        library = folder / "stepped_clock.so"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
        self.environ = {"LD_PRELOAD": str(library), "BENCH_CLOCK_STEP": str(self._file)}

    def step(self, seconds: int) -> None:
        """Have the wall clock be ahead of the machine's by so much."""
        # Written in place: the processes have the file mapped.
        with self._file.open("r+b") as file:
            file.write(seconds.to_bytes(8, "little", signed=True))
