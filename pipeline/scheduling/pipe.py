"""The pipe from a worker's thread to the event loop: results, streams of them, and errors.

Nothing here raises when the loop is gone: then no result is waited for.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Item(Generic[T]):
    """A result, or the end of all: then with the error that it ended with, if any."""

    value: Any = field(default=None)
    last: bool = False
    error: BaseException | None = None


class Pipe(Generic[T]):
    """The way of a stream's results from the worker to the loop; `sent` belongs to the one, `read` to the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, backlog: int) -> None:
        self.results: asyncio.Queue[Item[T]] = asyncio.Queue()
        self.stopped = False
        self.read = 0
        self._sent = 0
        self._loop = loop
        self._backlog = backlog

    def put(self, value: T) -> bool:
        """Send a result; False when too many are unread."""
        if self._sent - self.read >= self._backlog:
            return False
        self._sent += 1
        post(self._loop, self.results.put_nowait, Item(value=value))
        return True

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes."""
        post(self._loop, self.results.put_nowait, Item(last=True, error=error))


def storable(error: BaseException) -> BaseException:
    """The error in a form that a future takes: a StopIteration would be refused, and its waiter would wait for ever."""
    if isinstance(error, StopIteration):
        wrapped = RuntimeError("the job raised StopIteration")
        wrapped.__cause__ = error
        return wrapped
    return error


def post(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call a function on the loop's thread; a loop that is gone needs no result any more."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
