"""Patience learnt from the speaker's pauses, so that the same one does not end a turn twice."""

from pipeline.call.turn_taking.config import WINDOW_S, TurnTakingConfig


class AdaptiveWait:
    """Time added to the short waits.

    Args:
        config: how much may be added, and how soon it is forgotten.

    Attributes:
        seconds: what is added now.
        first_voice: monotonic time of the first voice after the last commit, None while there is none.
    """

    def __init__(self, config: TurnTakingConfig) -> None:
        self.seconds = 0.0
        self._config = config
        self._stands = False
        self._last_speech = 0.0
        self._waited = 0.0
        self._voice_windows = 0
        self.first_voice: float | None = None

    def configure(self, config: TurnTakingConfig) -> None:
        """How much may be added from now on."""
        self._config = config
        self.seconds = min(self.seconds, config.patience_max_s)

    def committed(self, last_speech: float, waited: float) -> None:
        """A turn was committed.

        Args:
            last_speech: monotonic time of its last speech.
            waited: silence that was waited for, seconds.
        """
        if self._stands:
            # The user did not go on after the commit before this one.
            self.seconds *= self._config.patience_kept
        self._stands = True
        self._last_speech, self._waited = last_speech, waited
        self._voice_windows, self.first_voice = 0, None

    def hear(self, probability: float, at: float) -> None:
        """Note the first voice after a commit; the guard against echo may take it for speech only later."""
        self._voice_windows = self._voice_windows + 1 if probability >= self._config.speech_threshold else 0
        if self.first_voice is None and self._voice_windows * WINDOW_S >= self._config.onset_s - 1e-6:
            self.first_voice = at - self._voice_windows * WINDOW_S

    def went_on(self, began: float) -> None:
        """The speaker went on after the commit, with speech that began then: learn from the pause between."""
        config = self._config
        pause = (began if self.first_voice is None else self.first_voice) - self._last_speech
        needed = self.seconds + pause + config.patience_margin_s - self._waited
        least = min(self.seconds + config.patience_step_s, config.patience_max_s)
        self.seconds = max(least, needed) if needed <= config.patience_max_s else least
        self._stands = False
