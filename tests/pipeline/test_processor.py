"""The processor at the head of every benchmark, and the memory of this process."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.processor import this_machine
from server.cli.bench import app


def test_a_processor_is_told_with_what_decides_its_speed(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 sse2\n\nprocessor\t: 1\n")
    machine = this_machine(cpuinfo, {})
    assert machine.model == "AMD EPYC"
    assert machine.sets == ("AVX2",)
    assert not machine.vnni
    assert machine.describe().startswith("AMD EPYC, ")


def test_a_forced_path_is_told(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("model name\t: Xeon\nflags\t\t: avx2 avx512f avx512_vnni\n")
    machine = this_machine(cpuinfo, {"CT2_FORCE_CPU_ISA": "AVX2", "CT2_USE_MKL": "0", "HOME": "/"})
    assert machine.vnni
    assert machine.describe().endswith("forced: CT2_FORCE_CPU_ISA=AVX2 CT2_USE_MKL=0")


def test_a_system_without_cpuinfo_has_cores_all_the_same(tmp_path: Path) -> None:
    assert this_machine(tmp_path / "none", {}).cores >= 1


def test_every_bench_says_where_it_runs_beside_its_report() -> None:
    done = CliRunner().invoke(app, ["hearing", "--help"])
    assert this_machine().describe() in done.stderr
    assert this_machine().describe() not in done.stdout


ARENAS = """
import ctypes, threading
from pipeline.processor import share_malloc_arenas
share_malloc_arenas()
gate = threading.Barrier(12)
def allocate():
    kept = [bytes(5_000) for _ in range(100)]
    gate.wait(60)
threads = [threading.Thread(target=allocate) for _ in range(12)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = libc.fopen(b"/dev/stdout", b"w")
libc.malloc_info(0, ctypes.c_void_p(file))
libc.fclose(ctypes.c_void_p(file))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_threads_share_two_arenas_of_memory() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    told = subprocess.run([sys.executable, "-c", ARENAS], env=environment, capture_output=True, text=True, check=True)
    assert 1 <= told.stdout.count("<heap nr=") <= 2
