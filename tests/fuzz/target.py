"""What a fuzzer knows of a parser: how to feed it, and what to begin with."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.fuzz.mutation import mutated

CASES = Path(__file__).parent / "cases"
"""A folder for each target, with the inputs that once broke it."""

Check: TypeAlias = Callable[[bytes], None]
"""Takes an input; raises where the parser does not do what it owes."""

Mutate: TypeAlias = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: on the command line, and of its folder of cases.
        about: what is read, in a few words.
        open: the parser with all it needs.
        seeds: valid inputs to begin with.
        mutate: makes another input of one.
        longest: bytes of an input.
        runs: made-up inputs of the short run in the suite.
    """

    name: str
    about: str
    open: Callable[[], AbstractContextManager[Check]]
    seeds: Callable[[], list[bytes]]
    mutate: Mutate = mutated
    longest: int = 4096
    runs: int = 400

    def cases(self) -> list[bytes]:
        """What once broke it."""
        folder = CASES / self.name
        return [path.read_bytes() for path in sorted(folder.iterdir())] if folder.is_dir() else []


def plain(check: Check) -> Callable[[], AbstractContextManager[Check]]:
    """`Target.open` of a parser that needs nothing."""
    return lambda: contextlib.nullcontext(check)


def on_loop(
    opened: Callable[[], AbstractAsyncContextManager[Callable[[bytes], Awaitable[None]]]],
) -> Callable[[], AbstractContextManager[Check]]:
    """`Target.open` of a parser that lives on an event loop; what its tasks and callbacks raise counts too."""

    @contextlib.contextmanager
    def open_it() -> Iterator[Check]:
        strays: list[BaseException] = []

        def stray(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
            error = context.get("exception")
            strays.append(error if isinstance(error, BaseException) else RuntimeError(str(context.get("message"))))

        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(stray)
            context = opened()
            check_async = runner.run(_entered(context))

            def check(data: bytes) -> None:
                runner.run(_awaited(check_async, data))
                if strays:
                    error = strays[0]
                    strays.clear()
                    raise error

            yield check
            runner.run(_left(context))

    return open_it


async def _entered(
    context: AbstractAsyncContextManager[Callable[[bytes], Awaitable[None]]],
) -> Callable[[bytes], Awaitable[None]]:
    return await context.__aenter__()


async def _awaited(check: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
    await check(data)


async def _left(context: AbstractAsyncContextManager[Callable[[bytes], Awaitable[None]]]) -> None:
    await context.__aexit__(None, None, None)


def datagrams(data: bytes) -> list[bytes]:
    """An input as datagrams: in front of each stands its length, two bytes; the last may be cut."""
    found: list[bytes] = []
    while len(data) >= 2 and len(found) < 64:
        size = int.from_bytes(data[:2])
        found.append(data[2 : 2 + size])
        data = data[2 + size :]
    return found


def framed(*parts: bytes) -> bytes:
    """The input for `datagrams`."""
    return b"".join(len(part).to_bytes(2) + part for part in parts)


def as_text(data: bytes) -> str:
    """Any text that a client may send, half of a surrogate pair too."""
    return data.decode("utf-8", "surrogateescape" if data[:1] == b"\xff" else "replace")
