"""Functions that the tests declare as tools."""

import asyncio
import threading
from typing import Any

ran_in: list[str] = []
cancelled = threading.Event()
unblocked = threading.Event()
got: list[dict[str, Any]] = []


def add(a: int, b: int) -> dict[str, int]:
    ran_in.append(threading.current_thread().name)
    return {"sum": a + b}


async def weather(city: str) -> str:
    ran_in.append(threading.current_thread().name)
    return f"It is sunny in {city}"


def block(seconds: float) -> str:
    unblocked.wait(seconds)
    return "done"


async def wait(seconds: float) -> str:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        cancelled.set()
        raise
    return "done"


def whatever(**arguments: Any) -> str:
    got.append(arguments)
    return "done"


def broken() -> Any:
    raise LookupError("no such thing")


def endless() -> str:
    return "word " * 10_000


def no_json() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop
