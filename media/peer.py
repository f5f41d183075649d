"""One WebRTC connection on the shared port: ICE, DTLS, audio and data channel put together, and its life and end."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

from aiortc import RTCCertificate, RTCIceCandidate, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters

from media.audio_link import AudioLink, LinkSettings
from media.audio_sender import Due
from media.data_channel import DataChannel
from media.demux import Address
from media.dtls import DtlsTransport
from media.ice import IceConnection
from media.ice_paths import IcePaths
from media.opus_format import agreed
from media.pacer import Pacer
from media.playout import Playout
from media.sdp import MAX_CANDIDATES, Offer, parse_candidate
from media.sdp_answer import LocalParameters, answered_dtls_role, build_answer
from media.udp_port import UdpPort
from media.upstream.ice import Gatherer
from media.values import (
    AudioTap,
    IceCandidate,
    IceRestartError,
    InvalidOfferError,
    MediaConfig,
    PeerListener,
    PeerStats,
)

logger = logging.getLogger(__name__)

STOP_STEP_S = 0.25
"""Patience with each of the three things to stop; together under the second that `close` may take."""


class WebRtcPeer:
    """Implements `media.values.Peer`. Made and opened by `MediaEndpoint.answer`.

    Args:
        offer: what the far end wants.
        listener: who hears of it.
        config: timeouts and bitrate.
        port: the shared socket.
        pacer: the shared clock.
        certificate: the process's own.
        playout: the outgoing queue.
        take_playout: called when this peer begins to read from the queue, so that no other does.
        on_gone: called once when all is freed.
        tap: listens in on both directions.
    """

    def __init__(
        self,
        offer: Offer,
        listener: PeerListener,
        config: MediaConfig,
        port: UdpPort,
        pacer: Pacer,
        certificate: RTCCertificate,
        playout: Playout,
        take_playout: Callable[["WebRtcPeer"], None],
        on_gone: Callable[["WebRtcPeer"], None],
        tap: AudioTap | None = None,
    ) -> None:
        self._offer = offer
        self._listener = listener
        self._config = config
        self._port = port
        self._pacer = pacer
        self._playout = playout
        self._take_playout = take_playout
        self._on_gone = on_gone
        self._tap = tap
        self._ice = self._new_agent()
        self._paths = IcePaths(port, self._ice, self._new_agent, lambda: self._end("consent_expired"))
        self._signalled: set[Address] = set()
        self._gatherer = Gatherer(self._ice)
        self._ice_transport = RTCIceTransport(self._gatherer)
        self._dtls = DtlsTransport(self._ice_transport, certificate, answered_dtls_role(offer))
        self._dtls.on("statechange", self._dtls_changed)
        self._channel: DataChannel | None = None
        if offer.data_channel is not None:
            self._channel = DataChannel(self._dtls, offer.data_channel, self._channel_opened, self._message_received)
        self._opus = agreed(offer.opus, config.bitrate, config.packet_ms, config.dtx)
        self._ssrc = secrets.randbits(32)
        self._cname = secrets.token_hex(8)
        self._answer = ""
        self._session_id = secrets.randbits(62)
        self._answers = 1
        self._link: AudioLink | None = None
        self._last_stats = PeerStats()
        self._ending: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def answer(self) -> str:
        return self._answer

    @property
    def ice_ufrag(self) -> str:
        return self._offer.ice_ufrag

    @property
    def speaker(self) -> Playout:
        return self._playout

    @property
    def ending(self) -> bool:
        """Whether its end has begun."""
        return self._ending.done()

    @property
    def offer(self) -> Offer:
        """What the far end offered last."""
        return self._offer

    @property
    def local_ice(self) -> tuple[str, str]:
        """Our newest username fragment and password."""
        agent = self._paths.newest
        return agent.local_username, agent.local_password

    @property
    def candidates(self) -> tuple[RTCIceCandidate, ...]:
        """Ours."""
        return tuple(self._gatherer.getLocalCandidates())

    def _new_agent(self) -> IceConnection:
        return IceConnection(
            self._port,
            self._rtp_received,
            consent_interval=self._config.consent_interval_s,
            consent_failures=self._config.consent_failures,
        )

    async def open(self) -> None:
        """Write the answer and begin to connect."""
        await self._gatherer.gather()
        self._write_answer()
        for candidate in self._offer.candidates:
            await self._add_candidate(candidate)
        self._pacer.add(self)
        self._task = asyncio.create_task(self._run(), name="webrtc-peer")

    def _write_answer(self) -> None:
        self._answers += 1
        ufrag, password = self.local_ice
        local = LocalParameters(
            session_id=self._session_id,
            version=self._answers,
            ssrc=self._ssrc,
            cname=self._cname,
            ice_ufrag=ufrag,
            ice_password=password,
            candidates=self.candidates,
            fingerprints=tuple(f for f in self._dtls.getLocalParameters().fingerprints if f.algorithm == "sha-256"),
        )
        self._answer = build_answer(self._offer, self._opus, local)

    async def renegotiate(self, offer: Offer) -> None:
        """Take another offer of the same RTCPeerConnection; `answer` is its answer then.

        Directions may change, and ICE may begin anew. A data channel comes with the first offer or not at all, and Opus
        goes on as that one asked for.

        Raises:
            InvalidOfferError: it moves Opus to another payload type.
            IceRestartError: as `restart_ice`.
        """
        before = self._offer
        if offer.payload_type != before.payload_type:
            raise InvalidOfferError("Opus had another payload type in the offer before")
        channel = offer.data_channel if self._channel is not None else None
        offer = replace(offer, setup=before.setup, data_channel=channel)
        if (offer.ice_ufrag, offer.ice_password) != (before.ice_ufrag, before.ice_password):
            await self.restart_ice(offer.ice_ufrag, offer.ice_password)
        self._offer = offer
        for candidate in offer.candidates:
            await self._add_candidate(candidate)
        if self._link is not None:
            self._link.settle(self._link_settings())
        self._write_answer()

    async def restart_ice(self, ufrag: str, password: str) -> None:
        """Begin ICE anew with the far end's new credentials; ours are `local_ice` then.

        Media goes on by the old path until there is a new one. Without one in time everything stays as it was.

        Raises:
            IceRestartError: this connection does not stand, so that another one has to be made.
        """
        if self.ending or self._dtls.state != "connected":
            state = "gone" if self.ending else "not connected yet"
            raise IceRestartError(f"This connection is {state}, so its ICE cannot be restarted: offer a new one")
        self._offer = replace(self._offer, ice_ufrag=ufrag, ice_password=password)
        self._signalled.clear()
        remote = RTCIceParameters(usernameFragment=ufrag, password=password, iceLite=self._offer.ice_lite)
        await self._paths.restart(remote, self._config.connect_timeout_s)

    async def discard(self) -> None:
        """Free a peer that did not get through `open`; nobody hears of it."""
        if self._task is None:
            await self._tear_down()

    def send_message(self, text: str) -> bool:
        return not self._closed and self._channel is not None and self._channel.send(text)

    async def add_candidates(self, candidates: list[IceCandidate]) -> None:
        """Add what trickled in; names, TCP and malformed ones are skipped.

        The end of the list is not passed on to ICE: a browser that hides its addresses ends an empty list, and its
        checks reach us all the same. What cannot connect ends with the connect timeout.
        """
        for trickled in candidates:
            candidate = parse_candidate(trickled.candidate)
            if candidate is not None:
                await self._add_candidate(candidate)

    async def _add_candidate(self, candidate: RTCIceCandidate) -> None:
        address = (candidate.ip, candidate.port)
        # Checks go to whatever address is named, so only so many different ones may be.
        if address not in self._signalled and len(self._signalled) < MAX_CANDIDATES:
            self._signalled.add(address)
            if not await self._paths.add(candidate):
                await self._ice_transport.addRemoteCandidate(candidate)

    def stats(self) -> PeerStats:
        if self._link is not None:
            stats = self._link.stats(time.monotonic(), srtp_discarded=self._dtls.srtp_discarded)
            self._last_stats = replace(stats, srtp_early=self._dtls.srtp_early, dtls_dropped=self._ice.dtls_dropped)
        return self._last_stats

    async def close(self, reason: str = "hangup") -> None:
        self._end(reason)
        task = self._task
        if task is not None and task is not asyncio.current_task():
            await asyncio.shield(task)

    def tick(self, due: Due, now: float, read: bool) -> None:
        """The pacer's 20 ms (see `media.pacer.Paced`)."""
        link = self._link
        if link is not None:
            link.tick(due, now, read)
            if link.said_goodbye(now):
                self._end("bye")

    def fail(self, error: Exception) -> None:
        """See `media.pacer.Paced`: this connection is done; the call that it belongs to may get another one."""
        self._end("failed")

    @property
    def resting(self) -> bool:
        """See `media.pacer.Paced`."""
        return self._link is not None and self._link.resting

    def release_playout(self) -> None:
        """Send no more audio: the connection that follows this one goes on with the queue."""
        if self._link is not None:
            self._link.release()

    def _end(self, reason: str) -> None:
        if not self._ending.done():
            self._ending.set_result(reason)

    async def _run(self) -> None:
        connecting = asyncio.create_task(self._connect(), name="webrtc-connect")
        connecting.add_done_callback(self._connect_ended)
        try:
            async with asyncio.timeout(self._config.connect_timeout_s):
                await asyncio.wait((connecting, self._ending), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self._end("connect_timeout")
        try:
            reason = await self._ending
        finally:
            connecting.cancel()
            try:
                await self._tear_down()
            finally:
                self._on_gone(self)
        with _logged("telling of the end"):
            self._listener.on_closed(reason)

    def _connect_ended(self, connecting: asyncio.Task[bool]) -> None:
        if connecting.cancelled():
            return
        error = connecting.exception()
        if error is not None:
            logger.error("connecting failed", exc_info=error)
        if error is not None or not connecting.result():
            self._end("failed")

    async def _connect(self) -> bool:
        """Bring ICE, DTLS and SCTP up; False when one of the first two fails."""
        offer = self._offer
        self._ice.ice_controlling = offer.ice_lite  # RFC 8445 section 6.1.1
        await self._ice_transport.start(
            RTCIceParameters(usernameFragment=offer.ice_ufrag, password=offer.ice_password, iceLite=offer.ice_lite)
        )
        if self._ice_transport.state != "completed":
            return False
        await self._dtls.start(RTCDtlsParameters(fingerprints=list(offer.fingerprints)))
        if self._dtls.state != "connected":
            return False
        if self._channel is not None:
            await self._channel.start()
        return True

    def _dtls_changed(self) -> None:
        if self._dtls.state == "connected":
            self._connected(time.monotonic())
        elif self._dtls.state == "closed":
            self._end("consent_expired" if self._ice.consent_expired else "dtls_closed")

    def _connected(self, now: float) -> None:
        self._take_playout(self)
        self._playout.on_begin = lambda: self._pacer.hurry(self)
        self._link = AudioLink(self._link_settings(), self._playout, self._listener, self._send, now, self._tap)
        self._listener.on_connected()

    def _link_settings(self) -> LinkSettings:
        return LinkSettings(
            payload_type=self._offer.payload_type,
            sent_payload_type=self._offer.answering_payload_type,
            ssrc=self._ssrc,
            cname=self._cname,
            sends=self._offer.answers,
            receives=self._offer.hears,
            opus=self._opus,
            silence_timeout_s=self._config.silence_timeout_s,
            codec=self._offer.codec,
            sent_codec=self._offer.answering_codec,
        )

    def _rtp_received(self, data: bytes, now: float) -> None:
        plain = self._dtls.unprotect(data)
        if plain is not None and self._link is not None:
            self._link.packet_received(plain, now)

    def _send(self, data: bytes) -> None:
        address = self._ice.selected_address
        protected = self._dtls.protect(data)
        if address is not None and protected is not None:
            self._port.send(protected, address)

    def _channel_opened(self) -> None:
        if not self._closed:
            self._listener.on_channel_open()

    def _message_received(self, text: str) -> None:
        if not self._closed:
            self._listener.on_message(text)

    async def _tear_down(self) -> None:
        """Say goodbye and free everything, however the far end, aiortc and our own code behave."""
        self._pacer.remove(self)
        with _logged("the last statistics"):
            self.stats()  # The last that can be had: whoever asks later is told these.
        link, self._link = self._link, None
        self._closed = True
        if link is not None:
            with _logged("goodbye"):
                self._send(link.bye())
            with _logged("codecs"):
                link.close()
        if self._channel is not None:
            await _stop("data channel", self._channel.stop())
        await _stop("DTLS", self._dtls.stop())
        await _stop("restarted ICE", self._paths.close())
        await _stop("ICE", self._ice_transport.stop())
        self._port.demux.release(self._ice.local_username)
        self._dtls.remove_all_listeners()


async def _stop(what: str, stopping: Coroutine[Any, Any, None]) -> None:
    with _logged(what):
        async with asyncio.timeout(STOP_STEP_S):
            await stopping


@contextlib.contextmanager
def _logged(what: str) -> Iterator[None]:
    """Go on behind a step of the end that fails or takes too long."""
    try:
        yield
    except TimeoutError:
        logger.warning("did not stop in time", extra={"what": what})
    except Exception:
        logger.exception("did not stop cleanly", extra={"what": what})
