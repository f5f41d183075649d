"""Calls that a PBX has announced and that come over AudioSocket, which knows no keys: their ids let them in."""

import uuid
from collections import OrderedDict
from dataclasses import dataclass

from server.bounds import FOLLOW_UP_S, MAX_FOLLOW_UPS
from server.identity.principal import Principal
from server.telephone.wishes import LineWishes


@dataclass(frozen=True, slots=True)
class AnnouncedCall:
    """What is known of it.

    Attributes:
        principal: who announced it.
        user_id: whose call it is; None for the number that calls.
        wishes: how it is to be.
    """

    principal: Principal
    user_id: str | None
    wishes: LineWishes


class AnnouncedCalls:
    """Each id lets in once, for `FOLLOW_UP_S`. Sans-I/O."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[AnnouncedCall, float]] = OrderedDict()

    def announce(self, call: AnnouncedCall, now: float) -> str:
        """A call is about to come; returns the uuid that it has to come with (122 random bits)."""
        identity = str(uuid.uuid4())
        self._waiting[identity] = (call, now + FOLLOW_UP_S)
        while len(self._waiting) > MAX_FOLLOW_UPS:
            self._waiting.popitem(last=False)
        return identity

    def take(self, identity: str, now: float) -> AnnouncedCall | None:
        """The call that came with a uuid; None where none was announced with it."""
        while self._waiting and next(iter(self._waiting.values()))[1] < now:
            self._waiting.popitem(last=False)
        found = self._waiting.pop(identity, None)
        return None if found is None else found[0]
