"""The wait of a reply for a language model that thinks before it speaks."""

LONGEST_S = 45.0
"""A thought is waited for so long, from the moment that the user waits; then the call says sorry as for any other."""

GOES_ON_S = 5.0
"""Between two signs of a thought; without one the model is as silent as any other."""


class Thinking:
    """Of one reply.

    Attributes:
        awaited_since: monotonic time since when a user has waited for the thought in hand; None where none has.
        patient_until: monotonic time until which the thought may last.
        released_at: when the turn was over; None before.
    """

    def __init__(self) -> None:
        self.awaited_since: float | None = None
        self.patient_until = 0.0
        self.released_at: float | None = None
        self._thinks = False

    def released(self, now: float) -> None:
        """The turn is over, and the user waits."""
        self.released_at = now
        if self._thinks:
            self.awaited_since = now

    def goes_on(self, now: float) -> None:
        """There is a thought."""
        self._thinks = True
        if self.released_at is None:
            return
        self.awaited_since = self.released_at if self.awaited_since is None else self.awaited_since
        self.patient_until = min(now + GOES_ON_S, self.released_at + LONGEST_S)

    def pause(self) -> None:
        """There are words."""
        self._thinks, self.awaited_since = False, None
