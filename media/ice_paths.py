"""ICE restarts (RFC 8445 section 9): other credentials and paths under the same DTLS association and call.

aioice has none. What begins anew is therefore another agent on the same port: while it looks for a path, media goes by
the old one; when it has one, the first agent, which DTLS runs on, sends by that.
"""

import asyncio
import logging
from collections.abc import Callable

from aiortc.rtcicetransport import RTCIceCandidate, RTCIceParameters, RTCIceTransport

from media.ice import IceConnection
from media.udp_port import UdpPort
from media.upstream.ice import Gatherer

logger = logging.getLogger(__name__)


class IcePaths:
    """The agents of one connection: the first, which DTLS runs on, and those of its restarts.

    Args:
        port: the shared socket.
        first: the agent that the connection began with.
        make_agent: makes another one for the same connection, whose DTLS records go where it is told.
        on_lost: called when the path of a restart is gone again, as its consent has expired.
    """

    def __init__(
        self,
        port: UdpPort,
        first: IceConnection,
        make_agent: Callable[[Callable[[bytes], None]], IceConnection],
        on_lost: Callable[[], None],
    ) -> None:
        self._port = port
        self._first = first
        self._make_agent = make_agent
        self._on_lost = on_lost
        self._carrying: _Restart | None = None
        self._looking: _Restart | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def newest(self) -> IceConnection:
        """The agent whose credentials the far end was told last."""
        newest = self._looking or self._carrying
        return self._first if newest is None else newest.agent

    async def restart(self, remote: RTCIceParameters, timeout_s: float) -> None:
        """Begin anew: what is announced are the credentials of `newest`, and the same addresses.

        Args:
            remote: the far end's credentials.
            timeout_s: patience; without a path by then everything stays as it was.
        """
        before, self._looking = self._looking, _Restart(self._make_agent(self._first.dtls_received))
        if before is not None:
            self._leave(before)
        await self._looking.begin(remote, timeout_s, self._found, self._on_lost)

    async def add(self, candidate: RTCIceCandidate) -> bool:
        """A candidate of the far end; False where it belongs to the first agent."""
        newest = self._looking or self._carrying
        if newest is not None:
            await newest.transport.addRemoteCandidate(candidate)
        return newest is not None

    async def close(self) -> None:
        """Stop all checks but those of the first agent."""
        for restart in (self._looking, self._carrying):
            if restart is not None:
                self._leave(restart)
        self._looking = self._carrying = None
        if self._leaving:
            await asyncio.wait(self._leaving)

    def _found(self, restart: "_Restart") -> None:
        """A restart has a path: media takes it, and nothing of those before is answered any more."""
        if restart is not self._looking:
            return
        before, self._carrying, self._looking = self._carrying, restart, None
        self._first.follow(restart.agent)
        self._port.demux.release(self._first.local_username)
        if before is not None:
            self._leave(before)

    def _leave(self, restart: "_Restart") -> None:
        task = asyncio.create_task(restart.close(), name="ice-leave")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class _Restart:
    """An ICE restart: the search for a path by another agent.

    Args:
        agent: fresh, with its DTLS records going to the agent that the connection began with.
    """

    def __init__(self, agent: IceConnection) -> None:
        self.agent = agent
        self._gatherer = Gatherer(agent)
        self.transport = RTCIceTransport(self._gatherer)
        self._task: asyncio.Task[None] | None = None

    async def begin(
        self,
        remote: RTCIceParameters,
        timeout_s: float,
        on_path: Callable[["_Restart"], None],
        on_lost: Callable[[], None],
    ) -> None:
        await self._gatherer.gather()
        self._task = asyncio.create_task(self._run(remote, timeout_s, on_path, on_lost), name="ice-restart")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        await self.transport.stop()

    async def _run(
        self,
        remote: RTCIceParameters,
        timeout_s: float,
        on_path: Callable[["_Restart"], None],
        on_lost: Callable[[], None],
    ) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self.transport.start(remote)
        except TimeoutError:
            logger.info("ICE restart found no path")
            await self.transport.stop()
            return
        except Exception:  # of any kind: media goes on by the old path, and somebody should know
            logger.exception("ICE restart failed")
            await self.transport.stop()
            return
        if self.transport.state != "completed":
            return

        def changed() -> None:
            if self.agent.consent_expired:
                on_lost()

        self.transport.on("statechange", changed)
        on_path(self)
