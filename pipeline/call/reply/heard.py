"""The written words that the listener has heard, from the position of the playout."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from pipeline.audio import SPEECH_RATE
from pipeline.engines.protocols import Word
from pipeline.text.normalise import normalise
from pipeline.text.spoken import Spoken
from pipeline.text.words import Span, is_cjk


@dataclass(slots=True)
class _Piece:
    source: str
    spoken: Spoken
    start: int
    duration: float
    timings: list[Word] = field(default_factory=list)
    closed: bool = False
    """Cut by `truncate`: what is left was heard."""


class HeardText:
    """The pieces of a reply as they were put into the playout, in order.

    Positions count samples since the call began, as the speaker that plays them counts.

    Args:
        rate: sample rate of the positions, Hz.
    """

    def __init__(self, rate: int = SPEECH_RATE) -> None:
        self._rate = rate
        self._pieces: list[_Piece] = []

    def copy(self) -> "HeardText":
        """Another one with the same pieces; what is done to either does not touch the other."""
        other = HeardText(self._rate)
        other._pieces = [replace(piece, timings=list(piece.timings)) for piece in self._pieces]
        return other

    @property
    def text(self) -> str:
        """The source text of all pieces, heard or not."""
        return _join([piece.source for piece in self._pieces])

    def append_piece(
        self, source: str, spoken: Spoken, start: int, timings: Sequence[Word] = (), duration: float = 0.0
    ) -> None:
        """Add a piece.

        Args:
            source: the text as it was written.
            spoken: what was made of it (`pipeline.text.spoken.speak`).
            start: position of its first sample; not before that of the piece before.
            timings: of the words of `spoken.text.split()`, seconds from the start of the piece, as far as known.
            duration: seconds of audio, as far as known.

        Raises:
            ValueError: `start` lies before that of the piece before.
        """
        if self._pieces and start < self._pieces[-1].start:
            raise ValueError(f"piece starts at {start}, before the one that it follows ({self._pieces[-1].start})")
        self._pieces.append(_Piece(source, spoken, start, duration, list(timings)))

    def extend_piece(self, timings: Sequence[Word] = (), duration: float = 0.0) -> None:
        """More of the last piece became known: further word timings, seconds from its start, and its length so far."""
        if self._pieces and not self._pieces[-1].closed:
            piece = self._pieces[-1]
            piece.timings += timings
            piece.duration = max(piece.duration, duration)

    def heard(self, position: int) -> str:
        """The source text whose words had been heard by `position`, without white space around it.

        A written word counts when at least half of the time that it takes to say was played.
        """
        return _join(self._heard(position)).strip()

    def word_start(self, position: int) -> int:
        """Position at which the spoken word begins that is under way at `position`; between two words `position`."""
        piece = next((piece for piece in reversed(self._pieces) if piece.start <= position), None)
        if piece is None:
            return position
        seconds = (position - piece.start) / self._rate
        for start, end in _word_times(piece):
            if start <= seconds < end:
                return piece.start + int(start * self._rate)
        return position

    def word_end(self, position: int) -> int:
        """Position at which the spoken word ends that is under way at `position`; between two words `position`."""
        piece = next((piece for piece in reversed(self._pieces) if piece.start <= position), None)
        if piece is None:
            return position
        seconds = (position - piece.start) / self._rate
        for start, end in _word_times(piece):
            if start <= seconds < end and math.isfinite(end):
                return piece.start + math.ceil(end * self._rate)
        return position

    def truncate(self, position: int) -> str:
        """Forget what was not heard by `position`; returns what remains. Further pieces may follow."""
        kept = self._heard(position)
        self._pieces = self._pieces[: len(kept)]
        for piece, source in zip(self._pieces, kept, strict=True):
            piece.source, piece.closed = source, True
        return self.heard(position)

    def _heard(self, position: int) -> list[str]:
        parts: list[str] = []
        for i, piece in enumerate(self._pieces):
            if position < piece.start:
                break
            following = self._pieces[i + 1].start if i + 1 < len(self._pieces) else None
            if piece.closed or (following is not None and following > piece.start and position >= following):
                parts.append(piece.source)
                continue
            part = _heard_of(piece, (position - piece.start) / self._rate)
            parts.append(part)
            if part != piece.source:
                break
        return parts


def _heard_of(piece: _Piece, seconds: float) -> str:
    """The beginning of the piece's source that was heard in its first `seconds`."""
    spans = piece.spoken.spans
    times = _word_times(piece)
    said = 0
    while said < len(spans):
        # Words that stand for one written word are heard together.
        after = said + 1
        while after < len(spans) and spans[after].start == spans[said].start:
            after += 1
        if seconds < (times[said][0] + times[after - 1][1]) / 2:
            return _cut(piece.source, spans, said)
        said = after
    return piece.source


def _cut(source: str, spans: Sequence[Span], said: int) -> str:
    """The source up to its word number `said`, with the punctuation that clings to the last one heard."""
    if not said:
        return ""
    end = spans[said - 1].end
    while end < spans[said].start and not source[end].isspace():
        end += 1
    return source[:end]


def _word_times(piece: _Piece) -> list[tuple[float, float]]:
    """Start and end of every spoken word in seconds; infinite for those whose time is not known yet."""
    words, timings = piece.spoken.text.split(), piece.timings
    if timings and all(normalise(t.text) == normalise(w) for t, w in zip(timings, words, strict=False)):
        known = [(t.start, t.end) for t in timings[: len(words)]]
        return known + [(math.inf, math.inf)] * (len(words) - len(known))
    # The engine cuts words otherwise, or knows no times: both are lined up by their share of the characters.
    anchors = [(0.0, timings[0].start)] if timings else [(0.0, 0.0)]
    letters = sum(len(t.text) for t in timings)
    count = 0
    for timing in timings:
        count += len(timing.text)
        anchors.append((count / letters if letters else 1.0, timing.end))
    if not timings:
        if piece.duration <= 0:
            return [(math.inf, math.inf)] * len(words)
        anchors.append((1.0, piece.duration))
    total = sum(len(word) for word in words)
    times, at = [], 0
    for word in words:
        times.append((_interpolate(anchors, at / total), _interpolate(anchors, (at + len(word)) / total)))
        at += len(word)
    return times


def _interpolate(anchors: Sequence[tuple[float, float]], share: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(anchors):
        if share <= x1 and x1 > x0:
            return y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return anchors[-1][1]


def _join(parts: Sequence[str]) -> str:
    """The pieces one after the other, with a space where two words would touch."""
    text = ""
    for part in parts:
        touching = text and part and not text[-1].isspace() and not part[0].isspace()
        if touching and not is_cjk(part[0]):
            text += " "
        text += part
    return text
