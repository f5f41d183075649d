"""What a caller hears, packet by packet, whichever way it comes."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence

from media.values import MediaError
from server.client.caller_audio import AUDIBLE_DBFS, HeardPacket


class CallFailedError(MediaError):
    """The connection did not come up, or something awaited did not come in time."""


class Listener(ABC):
    """Knows when something was to be heard."""

    @property
    @abstractmethod
    def packets(self) -> Sequence[HeardPacket]:
        """Every packet that was heard, in order."""

    def first_sound_after(self, at: float, threshold_dbfs: float = AUDIBLE_DBFS) -> float | None:
        """Arrival of the first audible packet after a monotonic instant; None when there was none yet."""
        return next((p.at for p in self.packets if p.at > at and p.dbfs > threshold_dbfs), None)

    async def wait_for_sound(self, after: float, timeout: float = 10.0, threshold_dbfs: float = AUDIBLE_DBFS) -> float:
        """Wait for `first_sound_after`.

        Raises:
            CallFailedError: it stays silent for `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while (found := self.first_sound_after(after, threshold_dbfs)) is None:
            if time.monotonic() > deadline:
                raise CallFailedError(f"nothing was heard for {timeout} s")
            await asyncio.sleep(0.02)
        return found

    def silent_since(self, threshold_dbfs: float = AUDIBLE_DBFS) -> float | None:
        """Arrival of the last audible packet so far; None when nothing was heard."""
        return next((p.at for p in reversed(self.packets) if p.dbfs > threshold_dbfs), None)
