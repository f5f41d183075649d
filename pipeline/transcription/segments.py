"""Segments of a transcription, with their place in the audio."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from pipeline.engines.protocols import Transcript, Word
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.text.words import SENTENCE_ENDS

PAUSE_S = 0.8
"""A pause that parts two segments, whatever the words."""

SHORTEST_S = 1.0
"""A sentence that is shorter takes the next one in."""

COMMA_S = 12.0
"""A segment of this length ends at the next comma,"""

LONGEST_S = 20.0
"""and one of this length at the next word."""

LANGUAGE_TOLD_S = 1.5
"""Speech from which a segment tells what language to expect of the next one."""

ONE_LANGUAGE_S = 60.0
"""Speech in one language after which another one is not likely to come."""

_SENTENCE_END: Final = re.compile(rf"[{''.join(SENTENCE_ENDS)}]['\")\]”’»]*$")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech and its words.

    Attributes:
        text: the words, stripped.
        start: seconds from the start of the audio.
        end: the same.
        language: ISO 639-1 code.
        confidence: 0 to 1.
        no_speech: probability (0 to 1) that there was no speech.
        words: with seconds from the start of the audio, where the engine knows them.
    """

    text: str
    start: float
    end: float
    language: str
    confidence: float = 1.0
    no_speech: float = 0.0
    words: tuple[Word, ...] = ()


def whole_text(segments: Sequence[Segment]) -> str:
    """The text of all segments."""
    return " ".join(segment.text for segment in segments)


def whole_confidence(segments: Sequence[Segment]) -> float | None:
    """Confidence in all segments, by their length; None where there are none."""
    seconds = sum(segment.end - segment.start for segment in segments)
    if not seconds:
        return None
    return sum(segment.confidence * (segment.end - segment.start) for segment in segments) / seconds


def prompt_after(segments: Sequence[Segment], prompt: str = "") -> str:
    """What the engine is told of the text before the next segment: what was said last in one language."""
    last = segments[-8:]
    same = list(takewhile(lambda segment: segment.language == last[-1].language, reversed(last)))
    return (whole_text(same[::-1]) or prompt)[-200:]


def translates(transcript: Transcript, prior: str | None, prompt: str) -> bool:
    """Whether a transcript may be a translation: Whisper goes on in the language of its prompt.

    Args:
        transcript: of what was said.
        prior: language of the prompt; None where that is not known.
        prompt: that it was made with.
    """
    return bool(prompt and transcript.text) and prior is not None and transcript.language != prior


class SpokenLanguage:
    """The languages of a transcription: the one that was asked for, else each stretch has its own.

    Args:
        wanted: ISO 639-1 code, None to detect.
        expected: what the speech is likely to be in; None for no idea.

    Attributes:
        wanted: as above.
        prior: what to expect of the next stretch: the language of the one before it.
    """

    def __init__(self, wanted: str | None, expected: str | None = None) -> None:
        self.wanted = wanted
        self.prior = expected
        self._seconds: Counter[str] = Counter()

    @property
    def best(self) -> str | None:
        """The language that most of the speech was in, as far as known."""
        return self.wanted or next((code for code, _ in self._seconds.most_common(1)), None)

    @property
    def one(self) -> bool:
        """Whether there is only one, by what was asked for or heard for long."""
        return self.wanted is not None or (len(self._seconds) == 1 and self._seconds.total() >= ONE_LANGUAGE_S)

    def heard(self, segments: Sequence[Segment]) -> None:
        """Count finished segments in."""
        for segment in segments:
            seconds = segment.end - segment.start
            self._seconds[segment.language] += max(seconds, 0.1)  # type: ignore[assignment]
            if seconds >= LANGUAGE_TOLD_S or self.prior is None:
                self.prior = segment.language


def one_segment(transcript: Transcript, start: float) -> list[Segment]:
    """The transcript of a stretch of speech as one segment; none where there are no words to be believed.

    Args:
        transcript: of the stretch.
        start: of the stretch, seconds from the start of the audio.
    """
    text = clean_transcript(transcript)
    if not text:
        return []
    words = tuple(word for word, _, _ in _placed(transcript.words, text, start))
    end = start + transcript.duration
    return [
        Segment(text, start, round(end, 3), transcript.language, transcript.confidence, transcript.no_speech, words)
    ]


def sentences(transcript: Transcript, start: float) -> list[Segment]:
    """The transcript as segments of about a sentence, parted at full stops, pauses and where they get too long.

    Args:
        transcript: with the times of its words; without, it is one segment.
        start: of its audio, seconds.
    """
    text = clean_transcript(transcript)
    placed = _placed(transcript.words, text, start) if text else []
    if not placed:
        return one_segment(transcript, start)
    segments = []
    first = 0
    for index, (word, _, end_in_text) in enumerate(placed):
        last = index + 1 == len(placed)
        if last or _parts(placed[first][0].start, word, placed[index + 1][0]):
            spoken = tuple(each for each, _, _ in placed[first : index + 1])
            stop = len(text) if last else end_in_text
            begin = 0 if first == 0 else placed[first][1]
            segments.append(
                Segment(
                    text[begin:stop].strip(),
                    spoken[0].start,
                    spoken[-1].end,
                    transcript.language,
                    transcript.confidence,
                    transcript.no_speech,
                    spoken,
                )
            )
            first = index + 1
    return segments


def _parts(began: float, word: Word, following: Word) -> bool:
    """Whether a segment ends between two words."""
    seconds = word.end - began
    if following.start - word.end >= PAUSE_S or seconds >= LONGEST_S:
        return True
    if seconds >= COMMA_S and word.text.endswith((",", ";", ":", "，", "、")):
        return True
    return seconds >= SHORTEST_S and bool(_SENTENCE_END.search(word.text)) and not following.text[:1].islower()


def _placed(words: Sequence[Word], text: str, offset: float) -> list[tuple[Word, int, int]]:
    """Each word that is in the text, moved by the offset, with its place there; what was filtered out is left out."""
    placed = []
    cursor = 0
    for word in words:
        found = text.find(word.text, cursor)
        if not word.text or found < 0:
            continue
        cursor = found + len(word.text)
        moved = Word(word.text, round(word.start + offset, 3), round(word.end + offset, 3))
        placed.append((moved, found, cursor))
    return placed
