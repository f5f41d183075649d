"""The plain values and protocols by which media talks with the side that runs the conversation.

Nothing here does anything: `endpoint.py` opens peers, `peer.py` is one connection, and both speak in these terms.
"""

import enum
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from media.opus_format import Dtx

RECEIVE_RATE = 16_000
"""Sample rate (Hz) of decoded incoming audio."""

SEND_RATE = 24_000
"""Sample rate (Hz) of the audio that `Speaker.write` takes; Opus encodes it as it is."""

FRAME_S = 0.02
"""Length of every frame on the wire, in seconds."""

Pcm: TypeAlias = NDArray[np.int16]
"""Mono signed 16-bit samples, shape (n,)."""


class AudioFrame(NamedTuple):
    """20 ms of incoming audio.

    Attributes:
        pcm: shape (320,) at `RECEIVE_RATE`.
        at: `time.monotonic()` at which its last sample arrived, without the jitter buffer's delay, or would have
            arrived without the stall that held it up; never falls from frame to frame.
        missing: it only fills the place of audio that was lost in a stall.
        said_at: as `at`, but may fall: where it is found out late that silence was none.
    """

    pcm: Pcm
    at: float
    missing: bool
    said_at: float


class MediaError(Exception):
    """Base of everything that media raises on purpose."""


class InvalidOfferError(MediaError):
    """The SDP is malformed or asks for what cannot be given; the message names the line or the lack."""


class IceRestartError(MediaError):
    """This connection cannot begin ICE anew: it does not stand yet, or is gone; the message says which."""


class PortInUseError(MediaError):
    """The UDP port is taken; the message says which setting to change."""


@dataclass(frozen=True, slots=True)
class MediaConfig:
    """Settings of the media endpoint.

    Attributes:
        host: local address to bind the UDP port to; "0.0.0.0" takes all of IPv4, "::" of IPv6, "" both. What is bound
            so widely answers only what carries a peer's ICE password.
        port: UDP port shared by all peers of the process; 0 takes a free one.
        public_addresses: addresses announced as candidates instead of the local ones (1:1 NAT, containers).
        connect_timeout_s: a peer that is not connected by then is closed.
        silence_timeout_s: without RTP for this long the far end counts as gone (`PeerListener.on_lost`).
        consent_interval_s: pause between two ICE consent checks (RFC 7675).
        consent_failures: consent checks in a row that may fail before the peer is closed.
        bitrate: of the outgoing Opus, bit/s, unless the far end asks for less.
        packet_ms: shortest packets of it: 20, 40 or 60.
        dtx: whether silence is not sent, see `media.opus_format.Dtx`.
        max_peers: further offers are refused.
    """

    host: str = ""
    port: int = 0
    public_addresses: tuple[str, ...] = ()
    connect_timeout_s: float = 10.0
    silence_timeout_s: float = 3.0
    consent_interval_s: float = 2.0
    consent_failures: int = 4
    bitrate: int = 28_000
    packet_ms: int = 20
    dtx: Dtx = "asked"
    max_peers: int = 500


class PlayoutChange(enum.Enum):
    """What happened at the end of the outgoing queue.

    STARTED: the first frame of audio after silence went out.
    DRAINED: everything that was written has gone out and `Speaker.finish` said that no more comes.
    STARVED: everything that was written has gone out although more was promised.
    """

    STARTED = "started"
    DRAINED = "drained"
    STARVED = "starved"


@dataclass(frozen=True, slots=True)
class PlayoutEvent:
    """A change of the outgoing audio.

    Attributes:
        change: what happened.
        at: `time.monotonic()` of the frame.
        position: samples (at `SEND_RATE`) of written audio that had gone out by then, since the call began.
    """

    change: PlayoutChange
    at: float
    position: int


class Speaker(Protocol):
    """The outgoing audio of one call, as the conversation sees it.

    Positions count samples at `SEND_RATE` of written audio (never silence) since the call began. They
    only fall back by a `resume` from before the pause.
    """

    @property
    def written(self) -> int:
        """Position at which the next written sample will lie."""

    @property
    def position(self) -> int:
        """Samples that have gone out on the wire."""

    @property
    def tail(self) -> int:
        """Most samples of what waits that would still go out, fading, if it were flushed now."""

    def write(self, pcm: Pcm) -> int:
        """Queue audio behind what waits; returns the position of its first sample."""

    def finish(self) -> None:
        """Say that the utterance is complete: when the queue is empty that is the end, not starvation."""

    def flush(self) -> int:
        """Drop what waits, fading out over about 8 ms; returns the position at which the sound ends.

        `written` falls back to that position.
        """

    def pause(self) -> None:
        """Fade out and hold the queue where it is."""

    def resume(self, at: int | None = None) -> None:
        """Go on from where `pause` stopped, or from a position up to 2 s before it, fading in."""

    def rest(self, resting: bool) -> None:
        """Say whether nothing is about to be said; sound that comes all the same may then start 20 ms later."""

    def duck(self, gain: float) -> None:
        """Ramp the loudness to `gain` (1 is full) over about 8 ms; takes effect with the next frame."""


@dataclass(frozen=True, slots=True)
class PeerStats:
    """Media statistics of one peer (names after W3C webrtc-stats where one exists).

    Attributes:
        packets_received: RTP packets accepted.
        packets_lost: slots that no packet ever came for.
        packets_discarded: came too late, twice, or could not be decoded.
        fec_recovered: slots filled from the redundancy of the following packet (RFC 7587 section 4.2).
        concealed: slots filled by packet loss concealment.
        jitter_s: interarrival jitter (RFC 3550 section 6.4.1).
        jitter_buffer_s: delay that the jitter buffer adds now.
        packets_sent: RTP packets sent.
        bytes_received: RTP payload bytes.
        bytes_sent: RTP payload bytes.
        srtp_early: SRTP packets that came before the keys of the handshake.
        dtls_dropped: DTLS records that found their queue full.
        remote_fraction_lost: of the packets that we sent, from the last RTCP report; None before the first.
        round_trip_s: from RTCP; None before the first report.
        connected_s: seconds since the connection stood; 0 before.
    """

    packets_received: int = 0
    packets_lost: int = 0
    packets_discarded: int = 0
    fec_recovered: int = 0
    concealed: int = 0
    jitter_s: float = 0.0
    jitter_buffer_s: float = 0.0
    packets_sent: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    srtp_early: int = 0
    dtls_dropped: int = 0
    remote_fraction_lost: float | None = None
    round_trip_s: float | None = None
    connected_s: float = 0.0


class PeerListener(Protocol):
    """Who hears from a peer. All methods are called on the event loop, must return at once and must not raise."""

    def on_connected(self) -> None:
        """ICE and DTLS stand; audio flows both ways."""

    def on_audio(self, frame: AudioFrame) -> None:
        """20 ms of incoming audio, in order and without gaps.

        Lost frames come concealed, silence that the far end did not send (DTX) comes as zeros. While a stall lasts
        nothing comes; then all of it does, at once.
        """

    def on_channel_open(self) -> None:
        """The data channel stands; messages may be sent."""

    def on_message(self, text: str) -> None:
        """A text message came over the data channel."""

    def on_playout(self, event: PlayoutEvent) -> None:
        """The outgoing queue started, drained or starved."""

    def on_key(self, key: str) -> None:
        """A key of a telephone was pressed: one of 0 to 9, *, # and A to D (RFC 4733)."""

    def on_lost(self) -> None:
        """No RTP for `MediaConfig.silence_timeout_s`; the peer is kept until closed or until consent runs out."""

    def on_found(self) -> None:
        """RTP flows again after `on_lost`."""

    def on_closed(self, reason: str) -> None:
        """The peer is gone for good; nothing follows. Reasons: "hangup", "connect_timeout", "consent_expired",
        "dtls_closed", "bye", "failed"."""


class AudioTap(Protocol):
    """Who listens in on both directions of a call. Called on the event loop, must return at once and must not raise."""

    def on_heard(self, pcm: Pcm, at: float) -> None:
        """As `PeerListener.on_audio`; `at` is `AudioFrame.said_at`."""

    def on_said(self, pcm: Pcm | None, at: float) -> None:
        """20 ms of outgoing audio as they were sent, faded and ducked.

        Args:
            pcm: shape (480,) at `SEND_RATE`; None for silence.
            at: `time.monotonic()` at which its last sample is due at the far end, leaving out the way there.
        """


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """A remote candidate as it came, `candidate:...` line without the "a=" (RFC 8839 section 5.1)."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


class Peer(Protocol):
    """One WebRTC connection."""

    @property
    def answer(self) -> str:
        """The SDP answer."""

    @property
    def ice_ufrag(self) -> str:
        """The far end's ICE username fragment; an offer with another one needs a new peer."""

    @property
    def speaker(self) -> Speaker:
        """The outgoing audio."""

    def send_message(self, text: str) -> bool:
        """Send over the data channel; False when it is not open or its queue is full."""

    async def add_candidates(self, candidates: list[IceCandidate]) -> None:
        """Add what trickled in; `.local` names and anything but UDP are skipped. An empty one ends the list."""

    def stats(self) -> PeerStats:
        """The statistics as of now."""

    async def close(self, reason: str = "hangup") -> None:
        """Say goodbye (RTCP BYE, DTLS close) and free everything. Calling it again does nothing."""


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """Counters of the shared UDP port.

    Attributes:
        peers: open now.
        send_failures: datagrams that the kernel did not take.
        datagrams_dropped: by kind ("stun", "dtls", "rtp", "other"), from addresses that no ICE check had validated.
        failures: by where an exception of one peer was kept from all others: "datagram", "tick".
        late_ticks: of the 20 ms clock, more than 20 ms after their time.
        latest_tick_s: the latest of them.
    """

    peers: int = 0
    send_failures: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    datagrams_dropped: dict[str, int] = field(default_factory=dict)
    late_ticks: int = 0
    latest_tick_s: float = 0.0
