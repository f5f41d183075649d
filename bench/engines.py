"""What the speech engines cost on one thread each: `python -m bench.engines`.

Runs over the recordings of `shared/audio` beside the repository where they are, else over sentences that Morgan's own
voice says. Prints the median of `--runs` in milliseconds, and the best run, which a busy machine disturbs less; the
parts that are named behind it are differences of best runs.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soundfile
import soxr

from pipeline.audio import HEARING_RATE, SPEECH_RATE, Waveform, to_waveform
from pipeline.engines.log_mel import turn_features, whisper_features
from pipeline.engines.protocols import TextToSpeech
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.whisper_encoder import window_frames
from pipeline.engines.stt.window_choice import known_silence_s
from pipeline.engines.tts.piper import Piper
from pipeline.engines.turn.smart_turn import SmartTurn
from pipeline.engines.vad.silero import WINDOW, SileroVad
from pipeline.scheduling.lanes import Ticket

CLIPS = Path(__file__).parents[1].parent / "shared" / "audio"
SENTENCES = {
    "question": "What is the weather in Paris?",
    "greeting": "Hello world.",
    "sentence": "Ask not what your country can do for you, ask what you can do for your country.",
}
RECORDINGS = {"weather.wav": "question", "hello.wav": "greeting", "jfk.flac": "sentence"}


async def measure_all() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache" / "morgan" / "models")
    parser.add_argument("--whisper", default="whisper-base")
    parser.add_argument("--voice", default="piper-en_US-joe-medium")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    piper = Piper(options.models / options.voice)
    clips = recordings() or await synthesised(piper)
    await bench_vad(SileroVad(options.models / "silero-vad-v6"), clips, options.runs)
    await bench_turn(SmartTurn(options.models / "smart-turn-v3.2"), clips, options.runs)
    await bench_stt(FasterWhisper(options.models / options.whisper), clips, options.runs)
    await bench_tts(piper, options.runs)


def recordings() -> dict[str, Waveform]:
    clips = {}
    for file in RECORDINGS:
        if (CLIPS / file).is_file():
            samples, rate = soundfile.read(CLIPS / file, dtype="float32", always_2d=True)
            clips[file] = np.asarray(soxr.resample(samples.mean(axis=1), rate, HEARING_RATE), np.float32)
    return clips


async def synthesised(piper: Piper) -> dict[str, Waveform]:
    clips = {}
    for name, text in SENTENCES.items():
        said = np.concatenate([chunk.pcm async for chunk in piper.synthesize(text, Ticket())])
        clips[name] = np.asarray(soxr.resample(to_waveform(said), SPEECH_RATE, HEARING_RATE), np.float32)
    return clips


class Times(NamedTuple):
    """Milliseconds."""

    median: float
    best: float


async def timed(work: Callable[[], Awaitable[object]], runs: int) -> Times:
    await work()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        await work()
        times.append(1000 * (time.perf_counter() - started))
    return Times(float(np.median(times)), min(times))


def show(engine: str, what: str, times: Times, note: str = "") -> None:
    print(f"{engine:15} {what:46} {times.median:8.2f} ms, best {times.best:8.2f}  {note}")


async def bench_vad(vad: SileroVad, clips: dict[str, Waveform], runs: int) -> None:
    stream = vad.open_stream()
    audio = next(iter(clips.values()))
    windows = audio[: audio.size // WINDOW * WINDOW].reshape(-1, WINDOW)

    async def hear_all() -> None:
        for window in windows:
            stream.probability(window)

    whole = await timed(hear_all, runs)
    show(vad.name, "a window of 32 ms", Times(whole.median / len(windows), whole.best / len(windows)))


async def bench_turn(turn: SmartTurn, clips: dict[str, Waveform], runs: int) -> None:
    for name, audio in clips.items():

        async def features(audio: Waveform = audio) -> None:
            turn_features(audio)

        async def judge(audio: Waveform = audio) -> float:
            return await turn.completeness(audio, Ticket())

        mel = await timed(features, runs)
        whole = await timed(judge, runs)
        show(turn.name, name, whole, f"{mel.best:.1f} of it log-mel; complete with {await judge():.2f}")
    await turn.close()


async def bench_stt(stt: FasterWhisper, clips: dict[str, Waveform], runs: int) -> None:
    await stt.warm_up()
    for name, audio in clips.items():

        async def features(audio: Waveform = audio) -> None:
            whisper_features(audio, window_frames(audio.size, stt.window.padding_s))

        async def encode(audio: Waveform = audio) -> None:
            await stt.lane.run(
                lambda: stt._encoder.encode(audio, stt.window.padding_s, known_silence_s(stt.window.padding_s)),
                Ticket(),
            )

        async def transcribe(audio: Waveform = audio, language: str | None = "en", words: bool = False) -> str:
            heard = await stt.transcribe(audio, Ticket(), language=language, word_timestamps=words)
            return heard.text

        mel, encoding = await timed(features, runs), await timed(encode, runs)
        whole = await timed(transcribe, runs)
        detecting = await timed(lambda: transcribe(language=None), runs)
        timing = await timed(lambda: transcribe(words=True), runs)
        parts = (
            f"log-mel {mel.best:.1f}, encode {encoding.best - mel.best:.0f}, decode {whole.best - encoding.best:.0f}"
        )
        more = f"+ language {detecting.best - whole.best:.0f}, + word times {timing.best - whole.best:.0f}"
        note = f"{parts}; {more}: {await transcribe()}"
        show(stt.name, f"{name}, {audio.size / HEARING_RATE:.1f} s", whole, note)
    await stt.close()


async def bench_tts(tts: TextToSpeech, runs: int) -> None:
    for text in ("Yes.", "Sure, I can help with that.", "The weather in Paris is sunny and warm today."):
        seconds = 0.0

        async def say(text: str = text) -> None:
            nonlocal seconds
            seconds = sum([chunk.pcm.size async for chunk in tts.synthesize(text, Ticket())]) / SPEECH_RATE

        show(tts.name, text, await timed(say, runs), f"{seconds:.2f} s of speech")
    await tts.close()


def main() -> None:
    """Command line."""
    asyncio.run(measure_all())


if __name__ == "__main__":
    main()
