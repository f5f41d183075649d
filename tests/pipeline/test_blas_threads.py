"""NumPy's products take no threads of their own: those that OpenBLAS has do not survive a fork beside them."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os
import {package}
import numpy as np
square = np.ones((1500, 1500), np.float32)
square @ square
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize(
    "package", ["pipeline.engines.log_mel", "media.values", "persistence.memory", "server.app", "server.cli.main"]
)
def test_a_product_is_computed_on_the_thread_that_asks_for_it(package: str) -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", PROGRAM.format(package=package)]
    done = subprocess.run(command, env=environment, cwd=Path(__file__).parents[2], capture_output=True, check=True)
    assert int(done.stdout) == 1
