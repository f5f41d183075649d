"""What a bridge is to do with a caller whom Morgan has left: it asks, by the id under which it knows the call."""

from collections import OrderedDict
from collections.abc import Callable

from server.bounds import FOLLOW_UP_S, MAX_FOLLOW_UPS


class FollowUps:
    """Numbers or addresses to connect callers to, each until it was asked for. Sans-I/O.

    An id counts together with the user whose call it is: a client says itself which id its call has. They are known to
    this process alone: a bridge has to ask the one that had the call.
    """

    def __init__(self) -> None:
        self._targets: OrderedDict[tuple[str, str], tuple[str, float | None]] = OrderedDict()

    def put(self, bridge_id: str, user_id: str, target: str | None) -> None:
        """Where a caller is to be connected to once Morgan has left; None for nowhere."""
        self._targets.pop((bridge_id, user_id), None)
        if target is not None and bridge_id:
            self._targets[bridge_id, user_id] = (target, None)
            while len(self._targets) > MAX_FOLLOW_UPS:
                self._targets.popitem(last=False)

    def left(self, bridge_id: str, user_id: str, now: float) -> None:
        """Morgan has left the call: from now on it is waited `FOLLOW_UP_S` for the question."""
        found = self._targets.get((bridge_id, user_id))
        if found is not None:
            self._targets[bridge_id, user_id] = (found[0], now + FOLLOW_UP_S)

    def take(self, bridge_id: str, reaches: Callable[[str], bool], now: float) -> str | None:
        """Where the caller of a call is to be connected to; None for nowhere.

        Args:
            bridge_id: of the call.
            reaches: whether what is a user's is there for who asks.
            now: monotonic, s.
        """
        target = None
        for (known, user_id), (found, until) in list(self._targets.items()):
            if until is not None and until < now:
                del self._targets[known, user_id]
            elif known == bridge_id and target is None and reaches(user_id):
                target = found
                del self._targets[known, user_id]
        return target
