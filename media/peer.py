"""One WebRTC connection on the shared port: transport, audio and data channel put together, and its life and end."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import replace

from aiortc import RTCCertificate, RTCIceCandidate

from media.audio_link import AudioLink, LinkSettings
from media.audio_sender import Due
from media.data_channel import DataChannel
from media.offer import Offer
from media.opus_format import agreed
from media.pacer import Pacer
from media.peer_transport import PeerTransport
from media.playout import Playout
from media.sdp_answer import LocalParameters, build_answer
from media.sdp_ice import parse_candidate
from media.teardown import logged, stop
from media.udp_port import UdpPort
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
        on_gone: Callable[["WebRtcPeer"], None],
        tap: AudioTap | None = None,
    ) -> None:
        self._offer = offer
        self._listener = listener
        self._config = config
        self._pacer = pacer
        self._playout = playout
        self._on_gone = on_gone
        self._tap = tap
        self._transport = PeerTransport(
            offer, config, port, certificate, self._packet_received, self._connected, self._end
        )
        self._channel: DataChannel | None = None
        if offer.data_channel is not None:
            dtls = self._transport.dtls
            self._channel = DataChannel(dtls, offer.data_channel, self._channel_opened, self._message_received)
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
        return self._transport.local_ice

    @property
    def candidates(self) -> tuple[RTCIceCandidate, ...]:
        """Our candidates."""
        return self._transport.candidates

    async def open(self) -> None:
        """Write the answer and begin to connect."""
        await self._transport.gather()
        self._write_answer()
        for candidate in self._offer.candidates:
            await self._transport.add_candidate(candidate)
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
            fingerprints=self._transport.fingerprints,
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
            await self._transport.add_candidate(candidate)
        if self._link is not None:
            self._link.settle(self._link_settings())
        self._write_answer()

    async def restart_ice(self, ufrag: str, password: str) -> None:
        """Begin ICE anew with the far end's new credentials; ours are `local_ice` then.

        Media goes on by the old path until there is a new one. Without one in time everything stays as it was.

        Raises:
            IceRestartError: this connection does not stand, so that another one has to be made.
        """
        if self.ending or not self._transport.connected:
            state = "gone" if self.ending else "not connected yet"
            raise IceRestartError(f"This connection is {state}, so its ICE cannot be restarted: offer a new one")
        self._offer = replace(self._offer, ice_ufrag=ufrag, ice_password=password)
        await self._transport.restart_ice(ufrag, password, ice_lite=self._offer.ice_lite)

    async def discard(self) -> None:
        """Free a peer that did not get through `open`; its listener is told nothing."""
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
                await self._transport.add_candidate(candidate)

    def stats(self) -> PeerStats:
        if self._link is not None:
            dtls, dropped = self._transport.dtls, self._transport.dtls_dropped
            stats = self._link.stats(time.monotonic(), srtp_discarded=dtls.srtp_discarded)
            self._last_stats = replace(stats, srtp_early=dtls.srtp_early, dtls_dropped=dropped)
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
        with logged("telling of the end"):
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
        if not await self._transport.connect():
            return False
        if self._channel is not None:
            await self._channel.start()
        return True

    def _connected(self) -> None:
        send, now = self._transport.send, time.monotonic()
        link = AudioLink(self._link_settings(), self._playout, self._listener, send, now, self._tap)
        self._link = link
        self._playout.read_by(link.release)
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

    def _packet_received(self, data: bytes, now: float) -> None:
        if self._link is not None:
            self._link.packet_received(data, now)

    def _channel_opened(self) -> None:
        if not self._closed:
            self._listener.on_channel_open()

    def _message_received(self, text: str) -> None:
        if not self._closed:
            self._listener.on_message(text)

    async def _tear_down(self) -> None:
        """Say goodbye and free everything, however the far end, aiortc and our own code behave."""
        self._pacer.remove(self)
        with logged("the last statistics"):
            self.stats()  # The last that can be had: `stats` gives these from now on.
        link, self._link = self._link, None
        self._closed = True
        if link is not None:
            with logged("goodbye"):
                self._transport.send(link.bye())
            with logged("codecs"):
                link.close()
        if self._channel is not None:
            await stop("data channel", self._channel.stop())
        await self._transport.stop()
