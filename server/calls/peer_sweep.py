"""The sweep that closes WebRTC peers which no call owns.

There should be none: a call's line closes what it opened. Each one found is a fault, logged, counted and closed
all the same: the media port takes a bounded number of peers, and a lost one would take its place for good.
"""

import asyncio
from collections.abc import Callable, Collection

import structlog

from media.endpoint import MediaEndpoint
from media.peer import WebRtcPeer
from server.observability.metrics import Metrics

SWEEP_S = 5.0
"""Pause between two looks. A peer has to be found twice, for one that is just being answered is not yet its call's."""

log = structlog.get_logger(__name__)


class PeerSweep:
    """Looks for peers without a call every `SWEEP_S` seconds, from now until `close`.

    Args:
        endpoint: whose peers.
        owned: those that calls hold now.
        metrics: what is counted.
    """

    def __init__(self, endpoint: MediaEndpoint, owned: Callable[[], Collection[WebRtcPeer]], metrics: Metrics) -> None:
        self._endpoint = endpoint
        self._owned = owned
        self._metrics = metrics
        self._suspects: set[WebRtcPeer] = set()
        self._task = asyncio.create_task(self._run(), name="peer sweep")

    async def look(self) -> None:
        """Close the peers that belong to no call, and did not at the last look."""
        lost = set(self._endpoint.peers) - set(self._owned())
        found, self._suspects = lost & self._suspects, lost
        for peer in found:
            self._metrics.peer_swept()
            log.error("a peer without a call was closed", ice_ufrag=peer.ice_ufrag)
        await asyncio.gather(*(peer.close("failed") for peer in found))

    async def close(self) -> None:
        """Look no more. Calling it again does nothing."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self.look()
            except Exception as error:
                log.error("peers could not be swept", exc_info=error)
