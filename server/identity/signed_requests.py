"""Requests that somebody else signs without saying when: each is good while its call may last, and not for ever."""

import hashlib
import time
from collections.abc import Awaitable, Callable

KEPT_S = 30 * 86_400
"""For so long a signature is remembered."""


class SignedRequests:
    """Lets signed requests in. The provider may repeat one, for example where a caller is sent on in a circle.

    Args:
        claim: whether a name was never claimed before, in any process; it is, for some seconds, from then on.
        again_s: after its first time a request may come again for so long.
        now: monotonic seconds.
    """

    def __init__(
        self,
        claim: Callable[[str, int], Awaitable[bool]],
        again_s: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._claim = claim
        self._again_s = again_s
        self._now = now
        self._first: dict[str, float] = {}

    async def lets_in(self, signature: str) -> bool:
        """Whether a request comes for the first time, or again while its call may last.

        Args:
            signature: of the request, which was found to be right.

        Raises:
            TokenError: that cannot be told now.
        """
        now = self._now()
        while self._first and now - next(iter(self._first.values())) > self._again_s:
            del self._first[next(iter(self._first))]
        name = hashlib.sha256(signature.encode("utf-8", "surrogateescape")).hexdigest()
        if name in self._first:
            return True
        if not await self._claim(f"signed:{name}", KEPT_S):
            return False
        self._first[name] = now
        return True
