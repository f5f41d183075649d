"""What requests hold of what clients sent: counted as it comes, unpacked, whatever their headers say of its size."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from media.byte_budget import ByteBudget


class TooMuchHeldError(Exception):
    """Too much of what clients sent is in hand."""


class Hold:
    """What one request holds.

    Args:
        budget: shared by all requests of all applications; None for no bound.
    """

    def __init__(self, budget: ByteBudget | None) -> None:
        self._budget = budget
        self._bytes = 0

    def more(self, count: int) -> None:
        """Hold so many bytes more.

        Raises:
            TooMuchHeldError: there is no room for them; clients are told to come again (503).
        """
        if self._budget is None:
            return
        if not self._budget.take(count):
            raise TooMuchHeldError
        self._bytes += count

    def give_back(self) -> None:
        """The request is over."""
        if self._budget is not None:
            self._budget.give(self._bytes)
        self._bytes = 0


HOLD: web.RequestKey[Hold] = web.RequestKey("hold", Hold)


def hold_of(request: web.Request) -> Hold:
    """What a request holds; nothing is counted in an application without `counting`."""
    return request.get(HOLD) or Hold(None)


def counting(budget: ByteBudget) -> Middleware:
    """A middleware that counts what requests hold, and gives it back when they are answered."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        hold = request[HOLD] = Hold(budget)
        try:
            return await handler(request)
        finally:
            hold.give_back()

    return middleware
