"""Two servers in turns: their figures, their ratio, and the independent caller's reading of what it hears."""

import io
import shutil
import wave
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.peers.caller import RATE, Say, load
from bench.peers.side_by_side import broken, ratios, show, summary
from tests.conftest import lacking


def call(*gaps: int, asked: int | None = None, failed: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"v2v_ms": list(gaps), "asked": len(gaps) if asked is None else asked, "failed": list(failed)}


def report_of(morgan: list[dict[str, Any]], pipecat: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    report: dict[str, Any] = {"morgan": summary(morgan), **({"pipecat": summary(pipecat)} if pipecat else {})}
    report["ratios"] = ratios(report["morgan"], report.get("pipecat", {}))
    report["broken"] = broken(report)
    return report


def test_percentiles_are_those_of_all_calls_together() -> None:
    assert summary([call(100, 200), call(300, asked=2)]) == {
        "asked": 4,
        "answered": 3,
        "failed": [],
        "p50_ms": 200,
        "p95_ms": 290,
    }


def test_a_ratio_within_bounds_is_well() -> None:
    report = report_of([call(300, 300, 400)], [call(2000, 2500, 3000)])
    assert report["ratios"] == {"p50_of_pipecats": 0.12, "p95_of_own_p50": 1.3}
    assert report["broken"] == []


def test_what_is_out_of_bounds_is_told() -> None:
    report = report_of([call(300, 300, 900, asked=4)], [call(1000)])
    assert len(report["broken"]) == 3
    console = Console(file=io.StringIO(), width=120)
    show(report, console)
    assert "3 of 4" in console.file.getvalue()  # type: ignore[attr-defined]


def test_morgan_alone_is_held_against_itself() -> None:
    assert report_of([call(300, 300, 400)])["broken"] == []
    (late,) = report_of([call(300, 300, 900)])["broken"]
    assert "times the own p50" in late
    console = Console(file=io.StringIO(), width=120)
    show(report_of([call(300)]), console)
    assert "pipecat" not in console.file.getvalue().lower()  # type: ignore[attr-defined]


def test_a_peer_that_never_answers_has_no_ratio() -> None:
    assert ratios(summary([call(300)]), summary([call(asked=3)]))["p50_of_pipecats"] is None


def test_the_caller_knows_where_a_clip_begins_and_ends(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        lacking("no ffmpeg, by which the caller reads files")
    pcm = np.zeros(RATE, np.int16)
    pcm[RATE // 4 : RATE // 2] = (8000 * np.sin(np.arange(RATE // 4))).astype(np.int16)
    with wave.open(str(tmp_path / "clip.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())
    clip = load(str(tmp_path / "clip.wav"))
    assert (clip.first, clip.last) == (RATE // 4, RATE // 2)


async def test_the_caller_says_a_clip_sample_by_sample() -> None:
    clip = np.full(2000, 5000, np.int16)
    track = Say(clip)
    at = track.play()
    frames = [(await track.recv()).to_ndarray()[0] for _ in range(6)]
    sent = np.concatenate(frames)[at : at + 2000]
    assert abs(int(sent.mean()) - 5000) < 5
    assert track.wall(at + 1999) >= track.wall(at)
