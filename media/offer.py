"""An offer as plain values: what the far end asks for, read and checked by `media.sdp`."""

from dataclasses import dataclass

from aiortc.rtcdtlstransport import RTCDtlsFingerprint
from aiortc.rtcicetransport import RTCIceCandidate

from media.codecs import AudioCodec
from media.opus_format import OpusWish


@dataclass(frozen=True, slots=True)
class Section:
    """An m-line as far as the answer has to mirror it.

    Attributes:
        kind: "audio", "video", "application", ...
        mid: its identification (RFC 5888); None when the offer has none.
        profile: transport protocol, such as "UDP/TLS/RTP/SAVPF".
        formats: payload types (or "webrtc-datachannel") as offered.
        rtpmap: value of the first format's rtpmap ("VP8/90000"); None where there is none.
        disabled: the offerer rejects it itself (port 0 without bundle-only).
        bundled: it shares its transport with the audio that is accepted.
    """

    kind: str
    mid: str | None
    profile: str
    formats: tuple[str, ...]
    rtpmap: str | None
    disabled: bool
    bundled: bool


@dataclass(frozen=True, slots=True)
class DataChannelOffer:
    """The data channel's m-line.

    Attributes:
        index: of the m-line.
        sctp_port: of the offerer (RFC 8841).
        max_message_size: bytes that the offerer can take in one message; 0 is any.
    """

    index: int
    sctp_port: int
    max_message_size: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What the far end wants, checked.

    Attributes:
        session_id: of the o= line: the same in all offers of one RTCPeerConnection (RFC 9429 section 5.2.1).
        sections: all m-lines in order.
        audio_index: of the m-line that carries the call; where there are two, of that on which we hear the offerer.
        codec: that is taken there.
        direction: of that audio, as the offerer sees it.
        answering_index: of the m-line on which the offerer hears us; another one than `audio_index` where the offerer
            sends on one and receives on another.
        answering_codec: that is taken there.
        opus: how the offerer would like to be sent it there, where it is Opus.
        data_channel: None when there is none.
        ice_ufrag: of the offerer.
        ice_password: of the offerer.
        ice_lite: the offerer only answers checks (RFC 8445 section 2.5).
        fingerprints: of the offerer's certificate, at least one that can be checked.
        setup: "actpass", "active" or "passive" (RFC 4145 section 4).
        candidates: UDP candidates with an IP address, at most `media.sdp_ice.MAX_CANDIDATES`.
    """

    session_id: str
    sections: tuple[Section, ...]
    audio_index: int
    codec: AudioCodec
    direction: str
    answering_index: int
    answering_codec: AudioCodec
    opus: OpusWish
    data_channel: DataChannelOffer | None
    ice_ufrag: str
    ice_password: str
    ice_lite: bool
    fingerprints: tuple[RTCDtlsFingerprint, ...]
    setup: str
    candidates: tuple[RTCIceCandidate, ...]

    @property
    def payload_type(self) -> int:
        """Of the codec in which we hear the offerer."""
        return self.codec.payload_type

    @property
    def answering_payload_type(self) -> int:
        """Of the codec in which the offerer hears us."""
        return self.answering_codec.payload_type

    @property
    def hears(self) -> bool:
        """Whether we hear the offerer."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def answers(self) -> bool:
        """Whether the offerer hears us."""
        return self.direction in ("sendrecv", "recvonly") or self.answering_index != self.audio_index

    def is_of_the_same_connection_as(self, other: "Offer") -> bool:
        """Whether both come from one RTCPeerConnection, so that its DTLS association goes on."""
        prints = [{(f.algorithm.lower(), f.value.lower()) for f in offer.fingerprints} for offer in (self, other)]
        return self.session_id == other.session_id and prints[0] == prints[1]
