"""The wait at the end of a turn: how long a silence has to last, by the turn model's score and the words so far.

Both come while the silence lasts. All times are seconds of silence, which count from the last speech.
"""

import math

from pipeline.call.turn_taking.adaptive_wait import AdaptiveWait
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.text.groups import More


class TurnEvidence:
    """What is known of whether the turn in hand is over. Sans-I/O.

    Args:
        config: the waits, and when the turn model is asked.
        patience: what is added to the short waits for this speaker.
    """

    def __init__(self, config: TurnTakingConfig, patience: AdaptiveWait) -> None:
        self._config = config
        self._patience = patience
        self._score: float | None = None
        self._more, self._question = More.NO, False
        self._words_pending = False
        self._hurried = False
        self._next_ask_s, self._asked = 0.0, False

    def configure(self, config: TurnTakingConfig) -> None:
        """Set the waits that count from now on."""
        self._config = config

    # The silence -------------------------------------------------------------------------------------------------

    def turn_began(self) -> None:
        """A turn begins, of which nothing is known yet."""
        self._score = None
        self.speech_resumed()

    def silence_began(self) -> None:
        """The user fell silent: what is said of this silence is asked for anew."""
        self._score = None
        self._words_pending = self._hurried = False
        self._next_ask_s, self._asked = 0.0, False

    def speech_resumed(self) -> None:
        """It was a pause: the words so far are not the last ones."""
        self._more, self._question = More.NO, False

    # What the models say -----------------------------------------------------------------------------------------

    def score(self, completeness: float) -> None:
        """Take in the turn model's answer to the last question, 0 to 1."""
        self._score = completeness

    def words_pending(self, expected_s: float) -> None:
        """Take in that the words up to this silence are being transcribed.

        Args:
            expected_s: seconds that this takes. The turn model is asked so that it answers by then, not before: it
                hears more with a longer silence, and most silences do not last.
        """
        self._words_pending = True
        self._next_ask_s = min(max(0.0, expected_s - self._config.ask_ahead_s), self._config.ask_latest_s)

    def words(self, more: More, *, question: bool = False) -> None:
        """Take in what the transcript so far says of what is to come.

        Args:
            more: whether more has to come.
            question: the words are a whole question, and who has asked waits for an answer.
        """
        self._more, self._question = more, question
        self._words_pending = False
        if not self._asked:
            self._next_ask_s = 0.0

    def await_no_words(self) -> None:
        """The client ends the turn: the words that are being transcribed are not waited for."""
        self._words_pending = False

    # What follows ------------------------------------------------------------------------------------------------

    def ask(self, silence: float) -> bool:
        """Whether the turn model is to be asked in this silence, in which case it is taken as asked."""
        if silence < self._next_ask_s or self._more in (More.YES, More.GROUP):
            return False
        self._asked = True
        soonest = silence + self._config.ask_apart_s
        self._next_ask_s = next((again for again in self._config.ask_again_s if again >= soonest), math.inf)
        return True

    def awaits_words(self, silence: float) -> bool:
        """Whether the turn cannot be over yet because its words are still being transcribed."""
        return self._words_pending and silence < self._config.words_wait_s

    def hurry(self) -> bool:
        """Whether those words are to be hurried: once in a silence."""
        hurried, self._hurried = self._hurried, True
        return not hurried

    def wait(self) -> float:
        """Seconds of silence after which the turn is taken as over, by the score and the words so far."""
        config, score = self._config, self._score
        if score is None:
            wait = config.unsure_wait_s
        elif score >= 0.5:
            wait = _between(score, 0.5, config.likely_wait_s, 0.9, config.complete_wait_s) + self._patience.seconds
        elif score >= 0.2:
            wait = _between(score, 0.2, config.unsure_wait_s, 0.5, config.likely_wait_s) + self._patience.seconds
        else:
            wait = _between(score, 0.0, config.incomplete_wait_s, 0.2, config.unsure_wait_s)
        if self._question:
            wait = min(wait, config.question_wait_s + self._patience.seconds)
        return max(wait, self._least_wait())

    def _least_wait(self) -> float:
        match self._more:
            case More.NO:
                return 0.0
            case More.PERHAPS:
                return self._config.unsure_wait_s
            case More.YES:
                return self._config.unfinished_wait_s
            case More.GROUP:
                return self._config.group_wait_s


def _between(x: float, x0: float, y0: float, x1: float, y1: float) -> float:
    """Linear between two points, flat beyond them."""
    part = min(1.0, max(0.0, (x - x0) / (x1 - x0)))
    return y0 + (y1 - y0) * part
