"""The watchdog of a call that is stuck: thinking without end, or speaking without sound."""


class Watchdog:
    """Limits on how long a call may wait for what should have come.

    Attributes:
        think_limit_s: from the commit to the first sound of the reply.
        silence_limit_s: of a reply that has said everything and does not end.
        starved_limit_s: of a reply whose next words an engine still owes,
        starved_least_s: and of one that a quick voice owes.
        at_hand_s: for the sound of an apology for a voice that gives none.
        overlap_limit_s: for the words that were said over a reply.
    """

    think_limit_s = 15.0
    silence_limit_s = 0.5
    starved_limit_s = 8.0
    starved_least_s = 4.0
    at_hand_s = 1.0
    overlap_limit_s = 2.5

    def __init__(self) -> None:
        self._thinking_since = 0.0
        self._dry_since: float | None = None
        self._excused_until = 0.0

    def excuse(self, until: float) -> None:
        """Until then the call waits for something that has a deadline of its own."""
        self._excused_until = until

    def thinking(self, now: float) -> None:
        """A reply is owed from now on."""
        self._thinking_since = now
        self._dry_since = None

    def thought_too_long(self, now: float) -> bool:
        """Whether the reply that is owed is overdue."""
        return now - max(self._thinking_since, self._excused_until) > self.think_limit_s

    def silent_too_long(self, now: float, *, dry: bool, limit_s: float) -> bool:
        """Whether a reply that should sound has been silent for longer than it may.

        Args:
            now: monotonic time.
            dry: all that was written has gone out.
            limit_s: how long it may be.
        """
        if not dry:
            self._dry_since = None
            return False
        if self._dry_since is None:
            self._dry_since = now
        return now - max(self._dry_since, self._excused_until) > limit_s
