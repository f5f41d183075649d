"""What a bridge is to do with a caller whom Morgan has left: it asks, by the id under which it knows the call."""

from collections import OrderedDict

from server.bounds import FOLLOW_UP_S, MAX_FOLLOW_UPS


class FollowUps:
    """Numbers or addresses to connect callers to, each until it was asked for. Sans-I/O.

    They are known to this process alone: a bridge has to ask the one that had the call.
    """

    def __init__(self) -> None:
        self._targets: OrderedDict[str, tuple[str, float | None]] = OrderedDict()

    def put(self, bridge_id: str, target: str | None) -> None:
        """Where a caller is to be connected to once Morgan has left; None for nowhere."""
        self._targets.pop(bridge_id, None)
        if target is not None and bridge_id:
            self._targets[bridge_id] = (target, None)
            while len(self._targets) > MAX_FOLLOW_UPS:
                self._targets.popitem(last=False)

    def left(self, bridge_id: str, now: float) -> None:
        """Morgan has left the call: from now on it is waited `FOLLOW_UP_S` for the question."""
        found = self._targets.get(bridge_id)
        if found is not None:
            self._targets[bridge_id] = (found[0], now + FOLLOW_UP_S)

    def take(self, bridge_id: str, now: float) -> str | None:
        """Where the caller of a call is to be connected to; None for nowhere."""
        for known, (_, until) in list(self._targets.items()):
            if until is not None and until < now:
                del self._targets[known]
        found = self._targets.pop(bridge_id, None)
        return None if found is None else found[0]
