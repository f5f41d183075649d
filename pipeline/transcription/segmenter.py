"""Cuts a stream of audio into stretches of speech that are worth transcribing."""

from dataclasses import dataclass

from pipeline.audio import HEARING_RATE
from pipeline.call.hearing import WINDOW
from pipeline.call.inputs import VoiceHeard

_SMOOTHING = 5
"""Windows (160 ms) whose loudness is summed to find the quietest point."""


@dataclass(frozen=True, slots=True)
class Segmenting:
    """How speech is cut. All times in seconds.

    Attributes:
        pause_s: silence that ends a stretch.
        longest_s: a longer stretch is cut at its quietest point.
        pre_roll_s: kept in front of the first speech.
        post_roll_s: kept behind the last.
        onset_s: speech that begins a stretch.
        speech_threshold: voice probability from which silence turns into speech.
        silence_threshold: voice probability below which speech turns into silence.
    """

    pause_s: float
    longest_s: float
    pre_roll_s: float = 0.3
    post_roll_s: float = 0.2
    onset_s: float = 0.064
    speech_threshold: float = 0.5
    silence_threshold: float = 0.35


LIVE = Segmenting(pause_s=0.8, longest_s=15.0)
"""Streams: soon final, and a growing window that stays cheap."""

RECORDING = Segmenting(pause_s=1.5, longest_s=28.0)
"""Recordings: as much context as a model's window of 30 s takes."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of audio, in samples at 16 kHz since the beginning."""

    start: int
    end: int


class Segmenter:
    """Follows the voice activity of one stream.

    Args:
        config: how to cut.
        begins_at: number of the first sample.

    Attributes:
        open_since: first sample of the stretch that is under way, None in silence.
        speaking: whether the last window was speech.
    """

    def __init__(self, config: Segmenting, begins_at: int = 0) -> None:
        self.open_since: int | None = None
        self.speaking = False
        self._config = config
        self._closed_until = begins_at
        self._heard_until = begins_at
        self._speech_until = begins_at
        self._onset = 0
        self._levels: list[tuple[int, float]] = []

    @property
    def needed_from(self) -> int:
        """Audio before this sample belongs to no stretch to come."""
        if self.open_since is not None:
            return self.open_since
        return max(self._closed_until, self._heard_until - self._samples(self._config.pre_roll_s) - 8 * WINDOW)

    def hear(self, window: VoiceHeard) -> Span | None:
        """Take in the next window; returns the stretch that it ended."""
        self._heard_until = window.end
        threshold = self._config.silence_threshold if self.speaking else self._config.speech_threshold
        self.speaking = window.probability >= threshold
        self._onset = self._onset + WINDOW if self.speaking else 0
        if self.open_since is None:
            if self._onset >= self._samples(self._config.onset_s):
                begin = window.end - self._onset - self._samples(self._config.pre_roll_s)
                self.open_since, self._levels = max(begin, self._closed_until), []
                self._speech_until = window.end
            return None
        self._levels.append((window.end, max(window.levels_db)))
        if self.speaking:
            self._speech_until = window.end
        if window.end - self._speech_until >= self._samples(self._config.pause_s):
            return self._close()
        if window.end - self.open_since >= self._samples(self._config.longest_s):
            return self._cut()
        return None

    def finish(self) -> Span | None:
        """The stream is over; returns the stretch that was under way."""
        return None if self.open_since is None else self._close()

    def _close(self) -> Span:
        assert self.open_since is not None
        end = min(self._heard_until, self._speech_until + self._samples(self._config.post_roll_s))
        span = Span(self.open_since, end)
        self.open_since, self._closed_until, self.speaking, self._onset = None, end, False, 0
        return span

    def _cut(self) -> Span:
        """End the stretch at the quietest point of its second half; the rest goes on as the next one."""
        assert self.open_since is not None
        earliest = self.open_since + self._samples(self._config.longest_s) // 2
        levels = [level for _, level in self._levels]
        choices = [
            (sum(levels[max(0, index - _SMOOTHING // 2) : index + _SMOOTHING // 2 + 1]), index)
            for index in range(len(levels) - _SMOOTHING)
            if self._levels[index][0] > earliest
        ]
        cut = self._levels[min(choices)[1]][0] - WINDOW // 2
        span = Span(self.open_since, cut)
        self._closed_until = cut
        self.open_since = cut if self._speech_until > cut else None
        self._levels = [entry for entry in self._levels if entry[0] > cut]
        return span

    def _samples(self, seconds: float) -> int:
        return int(seconds * HEARING_RATE)
