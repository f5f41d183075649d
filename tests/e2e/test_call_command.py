"""`morgan call` against a real server with real models: what is said is understood, what is answered is heard."""

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from pipeline.audio import to_waveform
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.scheduling.lanes import Ticket
from pipeline.text.normalise import word_error_rate
from pipeline.text.spoken import speakable
from tests.e2e.conftest import RunningServer
from tests.spoken import spoken


def morgan(*arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the `morgan` command."""
    environment = {**os.environ, **({"MORGAN_URL": url} if url else {})}
    command = [sys.executable, "-m", "server.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)


def read_wav(path: Path, step: int) -> np.ndarray:
    """Every `step`-th sample of a WAV file."""
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return to_waveform(pcm.reshape(-1, step).mean(axis=1).astype(np.int16) if step > 1 else pcm)


async def said_in(path: Path, models_dir: Path) -> str:
    """What Whisper hears in a 48 kHz file."""
    import soxr

    whisper = FasterWhisper(models_dir / "whisper-base")
    try:
        heard = soxr.resample(read_wav(path, 1), 48_000, 16_000)
        return (await whisper.transcribe(heard, Ticket(), language="en")).text
    finally:
        await whisper.close()


@pytest.fixture(scope="module")
def question(repository: Path) -> Path:
    """A question spoken by Morgan's own voice."""
    return repository / "tests" / "clips" / "question.wav"


async def check_call(clip: Path, words: str, server: RunningServer, models_dir: Path, out: Path) -> None:
    """Call with a clip; the transcript is right, and what was heard is what the reply says."""
    done = morgan("call", str(clip), "--out", str(out), "--json", url=server.url)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["transcript"] == spoken(words)
    assert report["reply"]
    assert report["voice_to_voice_ms"] < 20_000
    assert sum(report["stages"].values()) == pytest.approx(report["server_ms"], abs=1)
    heard = await said_in(out, models_dir)
    assert word_error_rate(speakable(report["reply"]), heard) <= 0.2, (report["reply"], heard)


async def test_a_clip_in_morgans_own_voice_is_understood_and_answered(
    server: RunningServer, question: Path, models_dir: Path, tmp_path: Path
) -> None:
    await check_call(question, "How are you today?", server, models_dir, tmp_path / "reply.wav")


async def test_real_speech_is_understood_and_answered(
    server: RunningServer, shared_audio: Path, models_dir: Path, tmp_path: Path
) -> None:
    clip = shared_audio / "weather.wav"
    await check_call(clip, "What is the weather in Paris?", server, models_dir, tmp_path / "reply.wav")


def test_the_printed_report_names_both_sides_and_every_stage(server: RunningServer, question: Path) -> None:
    done = morgan("call", str(question), url=server.url)
    assert done.returncode == 0, done.stderr
    for expected in (
        "You",
        "How are you today?",
        "Morgan",
        "stt",
        "llm first token",
        "tts first audio",
        "voice to voice",
    ):
        assert expected in done.stdout


def test_a_file_that_is_not_audio_is_named(server: RunningServer, tmp_path: Path) -> None:
    bad = tmp_path / "notes.wav"
    bad.write_text("this is no sound")
    done = morgan("call", str(bad), url=server.url)
    assert done.returncode == 1
    assert "cannot be read as audio" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    done = morgan("call", str(tmp_path / "nothing.wav"))
    assert done.returncode == 1
    assert "no such file" in done.stderr


def test_a_server_that_does_not_run_is_told(question: Path) -> None:
    done = morgan("call", str(question), "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "Is `morgan serve` running?" in done.stderr.replace("\n", " ")
