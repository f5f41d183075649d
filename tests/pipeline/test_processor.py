"""The processor at the head of every benchmark."""

from pathlib import Path

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
