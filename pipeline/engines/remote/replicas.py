"""The servers of one service, and which of them is asked next. Sans-I/O."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.engines.remote.breaker import CircuitBreaker

AFFINITY = 2
"""So many more requests in flight than another is a server worth that has read a conversation before."""


@dataclass(slots=True, eq=False)
class Replica:
    """One server of a service.

    Attributes:
        url: of its root, without a slash at the end.
        breaker: whether it is worth a try.
        in_flight: requests that it has in hand for us.
        round_trip_s: of the last probe; None before the first answer.
        problem: what its last failure was; empty once it answered after that.
    """

    url: str
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    in_flight: int = 0
    round_trip_s: float | None = None
    problem: str = ""

    def succeeded(self) -> None:
        """It answered."""
        self.problem = ""
        self.breaker.succeeded()

    def failed(self, now: float, problem: str, *, gone: bool = False) -> None:
        """It did not; see `CircuitBreaker.failed`."""
        self.problem = problem
        self.breaker.failed(now, gone=gone)


class Replicas:
    """All servers of a service.

    Args:
        urls: of their roots; at least one.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        if not urls:
            raise ValueError("name one URL at least")
        self.all = tuple(Replica(url.rstrip("/")) for url in dict.fromkeys(urls))
        self._turn = 0

    def usable(self, now: float) -> int:
        """How many of them are asked as a matter of course."""
        return sum(replica.breaker.state(now) == "closed" for replica in self.all)

    def next(self, now: float, tried: Sequence[Replica] = (), conversation: str = "") -> Replica | None:
        """The server to ask: of those that work the one with the least in flight, in turn among equals.

        Args:
            now: monotonic time.
            tried: servers that have failed at this piece of work.
            conversation: key of a conversation, which stays with one server as long as that is not much busier than
                others: its language model remembers what it has read.

        Returns:
            None when none is worth a try now.
        """
        self._turn += 1
        home = max(self.all, key=lambda replica: zlib.crc32(f"{conversation} {replica.url}".encode()))

        def cost(place: int) -> tuple[bool, int, int]:
            replica = self.all[place]
            bonus = AFFINITY if conversation and replica is home else 0
            waiting = replica.breaker.state(now) != "closed"
            return waiting, replica.in_flight - bonus, (place + self._turn) % len(self.all)

        places = sorted((place for place, replica in enumerate(self.all) if replica not in tried), key=cost)
        return next((self.all[place] for place in places if self.all[place].breaker.enter(now)), None)
