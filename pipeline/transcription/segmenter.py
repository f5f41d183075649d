"""The segmenter of a stream of audio: stretches of speech that are worth transcribing."""

import itertools
from dataclasses import dataclass

from pipeline.audio import HEARING_RATE
from pipeline.call.inputs import VoiceHeard
from pipeline.call.user.audio_buffer import WINDOW

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


NOTED_PAUSE_S = 0.5
"""Shortest pause inside of a stretch that is told: at shorter ones nobody changes the language."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of audio, in samples at 16 kHz since the beginning.

    Attributes:
        start: its first sample.
        end: sample after its last one.
        pauses: (start, end) of each pause inside of it, in order.
    """

    start: int
    end: int
    pauses: tuple[tuple[int, int], ...] = ()

    def parted(self, shortest_s: float) -> list["Span"]:
        """The stretch in parts, cut in the middle of its pauses, the longest first, as long as no part gets too short.

        Args:
            shortest_s: seconds that each part has at least.
        """
        least = int(shortest_s * HEARING_RATE)
        cuts = [self.start, self.end]
        for begin, end in sorted(self.pauses, key=lambda pause: pause[0] - pause[1]):
            middle = (begin + end) // 2
            if all(abs(middle - cut) >= least for cut in cuts):
                cuts.append(middle)
        cuts.sort()
        return [Span(begin, end) for begin, end in itertools.pairwise(cuts)]


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
        self._pauses: list[tuple[int, int]] = []

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
                self.open_since, self._levels, self._pauses = max(begin, self._closed_until), [], []
                self._speech_until = window.end
            return None
        self._levels.append((window.end, max(window.levels_db)))
        if self.speaking:
            resumed = window.end - WINDOW
            if resumed - self._speech_until >= self._samples(NOTED_PAUSE_S):
                self._pauses.append((self._speech_until, resumed))
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
        span = Span(self.open_since, end, tuple(self._pauses))
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
        span = Span(self.open_since, cut, tuple(pause for pause in self._pauses if pause[1] < cut))
        self._pauses = [pause for pause in self._pauses if pause[0] > cut]
        self._closed_until = cut
        self.open_since = cut if self._speech_until > cut else None
        self._levels = [entry for entry in self._levels if entry[0] > cut]
        return span

    def _samples(self, seconds: float) -> int:
        return int(seconds * HEARING_RATE)
