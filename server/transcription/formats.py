"""Transcripts in the forms that clients ask for: SubRip, WebVTT, OpenAI's JSON."""

import math
import zlib
from collections.abc import Sequence
from typing import Any, Literal, Protocol

from pipeline.text.languages import NAMES
from pipeline.transcription.segments import Segment

Task = Literal["transcribe", "translate"]

UNDETERMINED = "und"
"""Language of audio without speech (ISO 639-2)."""


class Finished(Protocol):
    """What has become of a recording (`server.transcription.transcriber.Transcription`)."""

    @property
    def segments(self) -> Sequence[Segment]: ...

    @property
    def text(self) -> str: ...

    @property
    def language(self) -> str | None: ...

    @property
    def duration_s(self) -> float: ...

    @property
    def unclear(self) -> bool: ...


def srt(segments: Sequence[Segment]) -> str:
    """SubRip subtitles."""
    cues = [
        f"{number}\n{_clock(segment.start, ',')} --> {_clock(segment.end, ',')}\n{_one_line(segment.text)}\n\n"
        for number, segment in enumerate(segments, 1)
    ]
    return "".join(cues)


def vtt(segments: Sequence[Segment]) -> str:
    """WebVTT subtitles (https://www.w3.org/TR/webvtt1/)."""
    cues = [
        f"{_clock(segment.start, '.')} --> {_clock(segment.end, '.')}\n{_escaped(_one_line(segment.text))}\n\n"
        for segment in segments
    ]
    return "WEBVTT\n\n" + "".join(cues)


def openai_json(done: Finished) -> dict[str, Any]:
    """`response_format` "json"."""
    return {"text": done.text, "usage": usage(done), **({"unclear": True} if done.unclear else {})}


def openai_verbose(done: Finished, granularities: Sequence[str], temperature: float, task: Task) -> dict[str, Any]:
    """`response_format` "verbose_json", with what was asked for of segments and words.

    The language goes by its English name ("english"), as OpenAI's API has it and the AI SDK looks it up.
    """
    told: dict[str, Any] = {
        "task": task,
        "language": NAMES.get(done.language or "", done.language or UNDETERMINED).lower(),
        "duration": done.duration_s,
        "text": done.text,
        "unclear": done.unclear,
        "usage": usage(done),
    }
    if "segment" in granularities or not granularities:
        told["segments"] = [_verbose(number, each, temperature) for number, each in enumerate(done.segments)]
    if "word" in granularities:
        told["words"] = [
            {"word": word.text, "start": word.start, "end": word.end}
            for segment in done.segments
            for word in segment.words
        ]
    return told


def usage(done: Finished) -> dict[str, Any]:
    """What it cost, counted in seconds of audio."""
    return {"type": "duration", "seconds": math.ceil(done.duration_s)}


def _verbose(number: int, segment: Segment, temperature: float) -> dict[str, Any]:
    spoken = segment.text.encode()
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": round(segment.start, 3),
        "end": round(segment.end, 3),
        "text": segment.text,
        "language": segment.language,
        # Engines behind the protocol do not tell their tokens.
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": round(math.log(max(segment.confidence, 1e-6)), 4),
        "compression_ratio": round(len(spoken) / len(zlib.compress(spoken)), 4),
        "no_speech_prob": round(segment.no_speech, 4),
    }


def _clock(seconds: float, mark: str) -> str:
    ms = round(seconds * 1000)
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}{mark}{ms % 1000:03}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(text: str) -> str:
    """Words, where WebVTT would read tags and arrows."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
