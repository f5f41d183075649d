"""The guard against a sender who floods with audio: what may come at once, and how much time must pass for more."""

BURST_S = 10.0
"""Most audio that may come at once, s: as much as a stall held back, and never more than this."""

START_S = 3.0
"""The same of a sender that has just begun."""

FASTER = 1.05
"""Seconds of audio that are taken in a second."""


class IntakeCredit:
    """Seconds of audio that a sender may send now. Sans-I/O."""

    def __init__(self) -> None:
        self._seconds = START_S
        self._since: float | None = None

    def grants(self, at: float) -> bool:
        """Whether a packet may be taken that comes at a monotonic time; the credit grows with the time that passed."""
        if self._since is not None:
            self._seconds += FASTER * (at - self._since)
        self._since = at
        return self._seconds > 0

    def spend(self, seconds: float) -> None:
        """Take in that there is so much more audio than before, sent or made up for."""
        self._seconds = min(BURST_S, self._seconds - seconds)
