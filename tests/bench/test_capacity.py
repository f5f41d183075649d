"""Levels of callers: their figures, bounds and table, and the processor time of a process by thread name."""

import builtins
import io
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.capacity_figures import Level, broken_levels, refusals_begin
from bench.capacity_plot import plotter
from bench.capacity_table import show_levels
from bench.processor_time import (
    STAGES,
    NoSuchProcessError,
    children_of,
    pid_listening_on,
    read_stages,
    spent,
    stage_of,
)

TICKS = os.sysconf("SC_CLK_TCK")


def one_level(callers: int, gap_s: float, rounds: int = 2, refused: int = 0) -> Level:
    level = Level(callers, rounds, gaps_s=[gap_s] * (rounds * (callers - refused)), refused_s=[0.1] * refused)
    level.cpu_s, level.wall_s = {"stt": 1.0, "llm": 2.0}, 10.0
    return level


def test_a_level_tells_what_a_turn_costs() -> None:
    report = one_level(2, 0.5).report()
    assert (report["asked"], report["answered"], report["p50_ms"], report["p95_ms"]) == (4, 4, 500, 500)
    assert report["cpu_ms_per_turn"] == {"stt": 250, "llm": 500}
    assert report["cores_used"] == 0.3


def test_four_callers_are_all_answered_soon() -> None:
    alone = one_level(1, 0.5)
    assert broken_levels([alone, one_level(4, 1.2)]) == []
    (late,) = broken_levels([alone, one_level(4, 1.5)])
    assert "3.0 times" in late
    (refused,) = broken_levels([alone, one_level(4, 0.5, refused=1)])
    assert "6 of 8 answered" in refused


def test_of_eight_those_that_are_let_in_are_answered_and_the_others_refused_at_once() -> None:
    alone, eight = one_level(1, 0.5), one_level(8, 1.9, refused=3)
    assert broken_levels([alone, eight]) == []
    assert refusals_begin([alone, eight]) == 8
    eight.gaps_s[0], eight.refused_s[0] = None, 3.0
    assert broken_levels([alone, eight]) == ["8 callers: 9 of 10 answered", "8 callers: refused only after 3.0 s"]


def test_the_table_has_a_column_for_each_level_and_a_row_for_each_stage() -> None:
    levels = [one_level(1, 0.5), one_level(8, 1.9, refused=3)]
    report: dict[str, Any] = {
        "levels": [level.report() for level in levels],
        "refusals_begin_at": refusals_begin(levels),
        "broken": ["something"],
    }
    console = Console(file=io.StringIO(), width=120)
    show_levels(report, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("10 of 10", "1,900", "a turn, ms: stt", "Refusals begin at 8", "out of bounds: something"):
        assert words in shown
    assert "voice:" not in shown


def test_a_picture_without_matplotlib_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SystemExit, match="bench"):
        plotter()


def test_a_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    levels = [one_level(1, 0.5).report(), one_level(8, 1.9, refused=3).report()]
    plotter()(levels, "a processor", tmp_path / "capacity.png")
    assert (tmp_path / "capacity.png").read_bytes().startswith(b"\x89PNG")


def process(proc: Path, pid: int, ticks: int, threads: dict[int, tuple[str, int]], children: str = "") -> None:
    """A process as /proc shows it; `ticks` is all that it ever used, threads that ended included."""
    folder = proc / str(pid)
    for thread, (name, used) in threads.items():
        task = folder / "task" / str(thread)
        task.mkdir(parents=True)
        (task / "comm").write_text(f"{name}\n")
        (task / "stat").write_text(f"{thread} (odd) name)) S {' '.join(['0'] * 10)} {used} 0 0 0 0\n")
        (task / "children").write_text(children if thread == pid else "")
    (folder / "stat").write_text(f"{pid} (python) S {' '.join(['0'] * 10)} {ticks - 1} 1 {ticks} 0 0\n")


def test_the_threads_of_an_engine_are_found_by_their_name(tmp_path: Path) -> None:
    threads = {
        7: ("python", 3 * TICKS),
        8: ("faster-whisper", 2 * TICKS),
        9: ("faster-whisper", TICKS),
        10: ("llama.cpp", 4 * TICKS),
        11: ("ThreadPoolExec", TICKS),
    }
    process(tmp_path, 7, 12 * TICKS, threads, children="20 ")
    process(tmp_path, 20, 5 * TICKS, {20: ("postgres", 5 * TICKS)})
    stages = read_stages(7, tmp_path)
    assert set(stages) == set(STAGES)
    assert {stage: seconds for stage, seconds in stages.items() if seconds} == {
        "media and calls": 3.0,
        "stt": 3.0,
        "llm": 4.0,
        "rest": 2.0,  # a thread that nobody knows, and one that has ended
        "databases": 10.0,  # with the time of its own ended children
    }
    assert children_of(7, tmp_path) == [20]


def test_what_was_spent_is_the_difference() -> None:
    assert spent({"stt": 1.0, "rest": 2.0}, {"stt": 3.0, "rest": 1.0}) == {"stt": 2.0, "rest": 0.0}


def test_a_process_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoSuchProcessError, match="process 7"):
        read_stages(7, tmp_path)


@pytest.mark.parametrize(
    ("name", "stage"), [("piper", "voice"), ("smart-turn", "turn model"), ("embedder", "embeddings"), ("x", "rest")]
)
def test_threads_belong_to_stages(name: str, stage: str) -> None:
    assert stage_of(name) == stage


def test_a_server_is_found_by_its_port(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    line = "   0: 0100007F:1F40 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"
    (tmp_path / "net" / "tcp").write_text(
        "head\n" + line.format(state="01", inode=5) + line.format(state="0A", inode=6)
    )
    for pid, inode in ((41, 5), (42, 6)):
        (tmp_path / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / str(pid) / "fd" / "3").symlink_to(f"socket:[{inode}]")
    assert pid_listening_on(8000, tmp_path) == 42
    assert pid_listening_on(8001, tmp_path) is None
