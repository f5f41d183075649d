"""The usual time of an engine, by which a call tells one that is slow from one that gives no sign of itself.

A processor without VNNI takes three times as long as one with it, and a loaded machine longer still. So what an engine
is given is a multiple of what its work takes here: as it was measured when nothing else went on, or as this call has
seen it, whichever is longer. All of it is for work of which there is no sign at all.
"""

TIMES = 20
"""As many times as long as usual is what an engine is given: four callers on one core wait five times as long."""

SHORTEST_S = 8.0
"""What the quickest engine is given, too: a service that restarts is back by then, and a machine that was measured
while it was quiet may have become a busy one."""

LONGEST_S = 15.0
"""What the slowest one is given."""

UNKNOWN_S = 0.5
"""The usual time of an engine of which nobody knows it yet, as of those that work elsewhere."""

WEIGHT = 0.5
"""Of the newest time, where it is shorter than the usual one; a longer one counts in full."""

LOOK_S = 0.5
"""What a wait grows by at most from one look to the next: while the whole process stood still, no engine was late."""


class UsualTime:
    """Of one kind of work.

    Args:
        known_s: as it was measured on this machine; None where nobody has.
    """

    def __init__(self, known_s: float | None) -> None:
        self._known_s = known_s
        self._seen_s: float | None = None

    def took(self, seconds: float) -> None:
        """A piece of work was done."""
        seen_s = self._seen_s
        if seen_s is None or seconds > seen_s:
            self._seen_s = seconds
        else:
            self._seen_s = seen_s + WEIGHT * (seconds - seen_s)

    def limit_s(self, size: float = 1.0, shortest_s: float = SHORTEST_S, longest_s: float = LONGEST_S) -> float:
        """Seconds without a sign after which the work does not come any more.

        Args:
            size: of the work, the usual being 1; smaller work is given as long as that.
            shortest_s: what it is given at least,
            longest_s: and at most.
        """
        known_s, seen_s = self._known_s, self._seen_s
        usual_s = UNKNOWN_S if known_s is None and seen_s is None else max(known_s or 0.0, seen_s or 0.0)
        return min(longest_s, max(shortest_s, TIMES * usual_s * max(1.0, size)))


class SilentWait:
    """The wait for one thing of which there is no sign, as long as it is that."""

    def __init__(self) -> None:
        self._what: object = None
        self._looked_at = 0.0
        self._waited_s = 0.0

    def look(self, what: object, now: float) -> float:
        """Seconds that this has been waited for; another thing begins anew.

        Args:
            what: tells what is waited for, and what has come of it; None for nothing.
            now: monotonic time.
        """
        if what is None or what != self._what:
            self._waited_s = 0.0
        else:
            self._waited_s += min(now - self._looked_at, LOOK_S)
        self._what, self._looked_at = what, now
        return self._waited_s
