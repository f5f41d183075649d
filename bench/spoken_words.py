"""Which words of a written reply a recording holds, by Whisper: the listener of the interruption benchmark."""

import difflib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soxr

from media.values import Pcm
from pipeline.audio import HEARING_RATE, to_waveform
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.scheduling.lanes import Ticket
from pipeline.text.normalise import edit_distances, normalise
from pipeline.text.spoken import speak

Transcriber = Callable[[Pcm, int], str]

PAUSE_S = 0.3
"""A longer silence is shortened to this before the recording is transcribed: Whisper invents words in silence."""

SILENT_DBFS = -55.0


class Listener:
    """Whisper on one thread, in this process. Use it when the calls are over: it takes a core.

    Args:
        models: folder of the weights.
        model: its name there.
    """

    def __init__(self, models: Path, model: str = "whisper-base") -> None:
        self._whisper = FasterWhisper(models / model)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._whisper.close()

    async def transcribe(self, pcm: Pcm, rate: int) -> str:
        """What is said in a recording, long ones in stretches that end in a pause; pcm has shape (n,)."""
        stretches = in_stretches(without_long_pauses(pcm, rate), rate)
        texts = []
        for stretch in stretches:
            samples = to_waveform(np.asarray(soxr.resample(stretch, rate, HEARING_RATE), np.int16))
            texts.append((await self._whisper.transcribe(samples, Ticket(), language="en")).text.strip())
        return " ".join(text for text in texts if text)


def without_long_pauses(pcm: Pcm, rate: int) -> Pcm:
    """The recording with every silence cut to `PAUSE_S`."""
    step = rate // 50
    frames = pcm[: len(pcm) // step * step].reshape(-1, step)
    kept, silent = [], 0
    for frame, loud in zip(frames, _loud(frames), strict=True):
        silent = 0 if loud else silent + 1
        if silent * 0.02 <= PAUSE_S:
            kept.append(frame)
    return np.concatenate(kept) if kept else pcm[:0]


def in_stretches(pcm: Pcm, rate: int, most_s: float = 20.0) -> list[Pcm]:
    """The recording in parts that Whisper can take, cut in the middle of the longest silence of each."""
    parts = []
    while len(pcm) > most_s * rate:
        step = rate // 50
        first = int(most_s * rate / 2) // step
        frames = pcm[: int(most_s * rate) // step * step].reshape(-1, step)
        best, run = len(frames), 0
        longest = 0
        for number, loud in enumerate(_loud(frames)):
            run = 0 if loud or number < first else run + 1
            if run > longest:
                longest, best = run, number - run // 2
        parts.append(pcm[: best * step])
        pcm = pcm[best * step :]
    return [*parts, pcm] if len(pcm) else parts


def _loud(frames: Pcm) -> list[bool]:
    power = np.mean(np.square(frames.astype(np.float32) / 32768), axis=1)
    return [bool(loud) for loud in 10 * np.log10(power + 1e-12) > SILENT_DBFS]


def words_of(text: str) -> list[str]:
    """The words as they are spoken (numbers written out, markup gone), normalised."""
    return normalise(speak(text, "en").text).split()


def words_heard(transcript: str, reply: str) -> int:
    """How many words of a reply a recording of its beginning holds, by what Whisper wrote of it.

    The beginning of the reply that is closest to the transcript; among equals the one of its length.
    """
    said, written = words_of(transcript), words_of(reply)
    distances = edit_distances(said, written)
    return min(range(len(distances)), key=lambda count: (distances[count], abs(count - len(said))))


def lost_words(transcript: str, reply: str) -> list[str]:
    """Words of the reply that a recording of some of it skips; a word that Whisper wrote otherwise is not lost.

    Only what lies between the first and the last word that both share counts: the recording may begin and end
    anywhere.
    """
    said, written = words_of(transcript), words_of(reply)
    begin, end = _place(said, written)
    codes = difflib.SequenceMatcher(None, written[begin:end], said, autojunk=False).get_opcodes()
    same = [number for number, code in enumerate(codes) if code[0] == "equal"]
    if not same:
        return written[begin:end]
    lost: list[str] = []
    for tag, first, last, said_first, said_last in codes[same[0] : same[-1]]:
        words = written[begin + first : begin + last]
        if tag in ("delete", "replace") and not _written_otherwise(words, said[said_first:said_last]):
            lost += words
    return lost


def words_not_said(transcript: str, expected: list[str]) -> list[str]:
    """Expected words that a transcript lacks, wherever; a word that Whisper wrote otherwise is not lost."""
    said = words_of(transcript)
    lost: list[str] = []
    for tag, first, last, said_first, said_last in _changes(said, expected):
        words = expected[first:last]
        if tag in ("delete", "replace") and not _written_otherwise(words, said[said_first:said_last]):
            lost += words
    return lost


def words_on_top(transcript: str, expected: list[str]) -> list[str]:
    """Words of a transcript that nobody expected there, as where something is heard twice."""
    said = words_of(transcript)
    return [word for tag, *_, first, last in _changes(said, expected) if tag == "insert" for word in said[first:last]]


def _changes(said: list[str], expected: list[str]) -> list[tuple[str, int, int, int, int]]:
    return list(difflib.SequenceMatcher(None, expected, said, autojunk=False).get_opcodes())


def _place(said: list[str], written: list[str]) -> tuple[int, int]:
    """The stretch of the written words that is closest to what was said; a story repeats itself."""
    ends = [edit_distances(said, written[begin:]) for begin in range(max(1, len(written)))]
    begin = min(range(len(ends)), key=lambda number: min(ends[number]))
    length = min(range(len(ends[begin])), key=lambda count: (ends[begin][count], abs(count - len(said))))
    return begin, begin + length


def _written_otherwise(words: list[str], said: list[str]) -> bool:
    """Whether something of about that many letters stands in their place."""
    letters, others = len("".join(words)), len("".join(said))
    return others >= 0.6 * letters or len(said) >= len(words)
