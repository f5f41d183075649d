"""The media side of a process: one UDP port, one clock, one certificate, and the peers on them."""

import asyncio
from datetime import UTC, datetime, timedelta

from aiortc import RTCCertificate

from media.pacer import Pacer
from media.peer import WebRtcPeer
from media.playout import Playout
from media.sdp import parse_offer
from media.teardown import logged
from media.udp_port import UdpPort
from media.values import AudioTap, EndpointStats, MediaConfig, MediaError, PeerListener, PeerStats, Speaker

CERTIFICATE_MARGIN = timedelta(days=7)
"""A certificate with less than this left is replaced; calls that stand keep theirs."""

COUNTERS = (
    "packets_received",
    "packets_lost",
    "packets_discarded",
    "fec_recovered",
    "concealed",
    "packets_sent",
    "bytes_received",
    "bytes_sent",
    "srtp_early",
    "dtls_dropped",
)
"""Fields of `PeerStats` that only grow."""


class EndpointFullError(MediaError):
    """`MediaConfig.max_peers` are open already."""


class MediaEndpoint:
    """Opens peers. Belongs to the event loop it was opened on."""

    def __init__(self, config: MediaConfig, port: UdpPort, pacer: Pacer) -> None:
        self._config = config
        self._port = port
        self._pacer = pacer
        self._certificate = RTCCertificate.generateCertificate()
        self._peers: dict[WebRtcPeer, None] = {}
        self._gone = dict.fromkeys(COUNTERS, 0)
        self._closed = False

    @classmethod
    async def open(cls, config: MediaConfig) -> "MediaEndpoint":
        """Bind the UDP port.

        Raises:
            PortInUseError: it is taken.
            MediaError: the address cannot be bound.
        """
        port = UdpPort.open(config.host, config.port, config.public_addresses, on_read=lambda now: pacer.woken(now))
        pacer = Pacer(port)
        return cls(config, port, pacer)

    @property
    def port(self) -> int:
        """The UDP port, also where `MediaConfig.port` was 0."""
        return self._port.port

    @property
    def pacer(self) -> Pacer:
        """The 20 ms clock that all calls share."""
        return self._pacer

    async def answer(
        self,
        offer_sdp: str,
        listener: PeerListener,
        playout: Speaker | None = None,
        tap: AudioTap | None = None,
    ) -> WebRtcPeer:
        """Answer an offer and begin to connect.

        Args:
            offer_sdp: with or without candidates.
            listener: hears of everything that happens to the peer, `on_closed` last.
            playout: `speaker` of the peer that this one follows in the same call; what waits there is played on as
                soon as this peer is connected, and until then goes out where it did. None begins with an empty queue.
            tap: listens in on both directions, such as a `media.recording.Recording`.

        Raises:
            InvalidOfferError: the offer cannot be answered; the message says why.
            EndpointFullError: too many peers are open.
            MediaError: the endpoint is closed.
        """
        if self._closed:
            raise MediaError("the media endpoint is closed")
        if playout is not None and not isinstance(playout, Playout):
            raise TypeError("playout must be the speaker of a peer of this endpoint")
        offer = parse_offer(offer_sdp)
        if len(self._peers) >= self._config.max_peers:
            raise EndpointFullError(f"{len(self._peers)} calls are open, which is the most this server takes")
        peer = WebRtcPeer(
            offer,
            listener,
            self._config,
            self._port,
            self._pacer,
            self._fresh_certificate(),
            playout or Playout(),
            self._peer_gone,
            tap,
        )
        self._peers[peer] = None
        try:
            await peer.open()
        except BaseException:
            self._peers.pop(peer, None)
            await peer.discard()
            raise
        return peer

    def stats(self) -> EndpointStats:
        """Open peers, and datagrams dropped since the start."""
        return EndpointStats(
            peers=len(self._peers),
            send_failures=self._port.send_failures,
            failures={"datagram": self._port.read_failures, "tick": self._pacer.failures},
            datagrams_dropped=dict(self._port.demux.dropped),
            late_ticks=self._pacer.late,
            latest_tick_s=self._pacer.latest_s,
        )

    @property
    def peers(self) -> list[WebRtcPeer]:
        """The open peers whose end has not begun."""
        return [peer for peer in self._peers if not peer.ending]

    def peer_stats(self) -> list[PeerStats]:
        """Of the open peers."""
        found: list[PeerStats] = []
        for peer in self._peers:
            # What of one peer cannot be told keeps nothing of the others from those who ask.
            with logged("statistics of a peer"):
                found.append(peer.stats())
        return found

    def totals(self) -> dict[str, int]:
        """Counters of all peers since the start, open and gone, by their names in `PeerStats`."""
        summed = dict(self._gone)
        for stats in self.peer_stats():
            _add(summed, stats)
        return summed

    async def close(self) -> None:
        """Close all peers and give the port back; takes at most a second."""
        self._closed = True
        await asyncio.gather(*(peer.close() for peer in tuple(self._peers)), return_exceptions=True)
        self._pacer.close()
        self._port.close()

    def _peer_gone(self, peer: WebRtcPeer) -> None:
        if peer in self._peers:
            del self._peers[peer]
            with logged("the last statistics of a peer"):
                _add(self._gone, peer.stats())

    def _fresh_certificate(self) -> RTCCertificate:
        if self._certificate.expires - datetime.now(tz=UTC) < CERTIFICATE_MARGIN:
            self._certificate = RTCCertificate.generateCertificate()
        return self._certificate


def _add(summed: dict[str, int], stats: PeerStats) -> None:
    for name in COUNTERS:
        summed[name] += getattr(stats, name)
