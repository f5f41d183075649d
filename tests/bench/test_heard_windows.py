"""Clips on windows of different length, through the real engine."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench import hearing
from bench.heard_windows import hear_on_windows, show_windows
from bench.real_clips import read_clips
from pipeline.engines.stt.faster_whisper import FasterWhisper


async def test_a_clip_is_heard_once_on_each_window_and_on_the_full_one(models_dir: Path) -> None:
    clips = [clip for clip in read_clips() if clip.name in ("question", "recall")]
    engine = FasterWhisper(models_dir / "whisper-base")
    try:
        found = await hear_on_windows(clips, engine, [8.0, 12.0])
    finally:
        await engine.close()
    assert found["clips"] == 2
    assert [row["padding_s"] for row in found["windows"]] == [8.0, 12.0, None]
    assert [row["doubled"] for row in found["windows"]] == [[], [], []], "clear voices are heard once"
    assert all(row["rate"] <= 0.5 for row in found["windows"])
    assert found["windows"][-1]["time"] == 1


def test_what_was_doubled_is_named() -> None:
    rows = [
        {"padding_s": 4.0, "doubled": ["are_you"], "rate": 0.5, "time": 0.25},
        {"padding_s": None, "doubled": [], "rate": None, "time": 1.0},
    ]
    console = Console(file=io.StringIO(), width=160)
    show_windows([{"path": "as it is", "figures": {"clips": 3, "windows": rows}}], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "1: are_you" in shown
    assert "50.0%" in shown
    assert "full window" in shown


def test_windows_are_neither_called_with_nor_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["hearing", "--windows", "4,5.5"])
    assert hearing.parse().windows == [4.0, 5.5]
    for wrong in (["--windows", "4", "--call"], ["--windows", "4", "--check"], ["--windows", "four"]):
        monkeypatch.setattr("sys.argv", ["hearing", *wrong])
        with pytest.raises(SystemExit):
            hearing.parse()
