"""The language of a call, turn by turn."""

from pipeline.text.words import primary_language

SURE = 0.8
"""Probability of a turn's language from which the turn can switch the call to it,"""

HEARD_S = 0.8
"""if it holds so much voice (seconds, see `VoiceMeter`): a single word sounds like many languages."""

LIKELY = 0.5
"""The same for a turn that holds more,"""

LONG_S = 3.0
"""this much; for the second turn in a row in that language; and where nothing told the language before."""

AGAINST_A_GUESS = 0.65
"""The same where there was only a guess, and the turn holds more than a word (`HEARD_S`)."""


class CallLanguage:
    """Follows the language of one call.

    A language that was asked for stays. Otherwise the call has the language of its last turns: a turn in another one
    switches it only when speech to text is sure of that and heard enough, or when the turn before said the same.

    Args:
        forced: ISO 639-1 code that all speech is in, whatever it sounds like; None or "" to listen.
        expected: the one that it is likely to be in, from what is known of the caller; None or "" for nothing.
        weakly: a mere guess, such as the language of the voice; None for none.
    """

    def __init__(self, forced: str | None, expected: str | None, weakly: str | None) -> None:
        self.force(forced)
        self._settled = primary_language(expected) if expected else None
        self._weakly = primary_language(weakly) if weakly else None
        self._doubted = ""

    def force(self, language: str | None) -> None:
        """From now on all speech is in a language, ISO 639-1; None or "" to listen."""
        self.forced = primary_language(language) if language else None

    @property
    def prior(self) -> str | None:
        """What to tell speech to text to expect."""
        return self._settled or self._weakly

    @property
    def current(self) -> str:
        """The language that the call is in, or most likely so."""
        return self.forced or self.prior or "en"

    def after(self, language: str, probability: float, voice_s: float) -> str:
        """The language that the call would be in after a turn; in it the turn is answered.

        Args:
            language: of the turn, ISO 639-1; "" where it is not known.
            probability: of that.
            voice_s: seconds of voice in it.
        """
        heard = primary_language(language) if language else ""
        if self.forced or heard in ("", self.prior):
            return self.current
        needed = 1.1
        if voice_s >= LONG_S or heard == self._doubted or not self.prior:
            needed = LIKELY
        elif voice_s >= HEARD_S:
            needed = SURE if self._settled else AGAINST_A_GUESS
        return heard if probability >= needed else self.current

    def settle(self, language: str, probability: float, voice_s: float) -> str:
        """A turn is part of the conversation: `after` it, for good."""
        after = self.after(language, probability, voice_s)
        heard = primary_language(language) if language else ""
        self._doubted = heard
        if heard and not self.forced and (after == heard or self.prior):
            self._settled = after
        return after
