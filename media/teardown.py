"""Steps of a connection's end, each of which may fail or hang without keeping the others from being done."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

STOP_STEP_S = 0.25
"""Patience with each of the three things to stop; together under the second that `Peer.close` may take."""

logger = logging.getLogger(__name__)


async def stop(what: str, stopping: Coroutine[Any, Any, None]) -> None:
    """Await the stop of a part, for `STOP_STEP_S` at most; what it raises is logged."""
    with logged(what):
        async with asyncio.timeout(STOP_STEP_S):
            await stopping


@contextlib.contextmanager
def logged(what: str) -> Iterator[None]:
    """Log a step that fails or takes too long, and go on behind it."""
    try:
        yield
    except TimeoutError:
        logger.warning("did not stop in time", extra={"what": what})
    except Exception:
        logger.exception("did not stop cleanly", extra={"what": what})
