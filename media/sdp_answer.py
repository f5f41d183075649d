"""The answer to an offer: audio and data channel accepted, everything else turned down without losing its m-line."""

from dataclasses import dataclass

from aiortc.rtcdtlstransport import RTCDtlsFingerprint
from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import candidate_to_sdp

from media.codecs import AudioCodec
from media.offer import Offer, Section
from media.opus_format import OpusFormat
from media.sdp_audio import codec_lines, payload_types

MAX_MESSAGE_SIZE = 256 * 1024
"""Bytes of one data channel message that is taken."""

SCTP_PORT = 5000

_REVERSED = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly"}


@dataclass(frozen=True, slots=True)
class LocalParameters:
    """What the answer says about our side.

    Attributes:
        session_id: number in the o= line.
        version: of the answer, another one for each (RFC 3264 section 5).
        ssrc: of the outgoing audio.
        cname: canonical name of it (RFC 3550 section 6.5.1).
        ice_ufrag: ours.
        ice_password: ours.
        candidates: all that there will ever be.
        fingerprints: of our certificate.
    """

    session_id: int
    version: int
    ssrc: int
    cname: str
    ice_ufrag: str
    ice_password: str
    candidates: tuple[RTCIceCandidate, ...]
    fingerprints: tuple[RTCDtlsFingerprint, ...]


def answered_direction(offer: Offer) -> str:
    """The direction of the audio at `offer.audio_index` as we see it (RFC 3264 section 6.1)."""
    return _REVERSED[offer.direction]


def answered_dtls_role(offer: Offer) -> str:
    """ "client" (a=setup:active, RFC 5763 section 5 prefers it) unless the offerer insists on being the client."""
    return "server" if offer.setup == "active" else "client"


def build_answer(offer: Offer, opus: OpusFormat, local: LocalParameters) -> str:
    """Write the answer; its m-lines are those of the offer, in order, and its Opus is to come as ours goes out."""
    lines = ["v=0", f"o=- {local.session_id} {local.version} IN IP4 127.0.0.1", "s=-", "t=0 0"]
    kept = [s.mid for s in offer.sections if s.mid and s.bundled and not s.disabled]
    if kept:
        lines.append("a=group:BUNDLE " + " ".join(kept))
    lines.append("a=msid-semantic: WMS *")
    for index, section in enumerate(offer.sections):
        if index == offer.audio_index:
            lines += _audio_lines(section, offer.codec, opus, answered_direction(offer), offer, local)
        elif index == offer.answering_index:
            lines += _audio_lines(section, offer.answering_codec, opus, "sendonly", offer, local)
        elif offer.data_channel is not None and index == offer.data_channel.index:
            lines += _data_channel_lines(section, offer, local)
        else:
            lines += _rejected_lines(section, offer, local)
    return "\r\n".join(lines) + "\r\n"


def _audio_lines(
    section: Section, codec: AudioCodec, opus: OpusFormat, direction: str, offer: Offer, local: LocalParameters
) -> list[str]:
    default = local.candidates[0]
    version = "IP6" if ":" in default.ip else "IP4"
    lines = [
        f"m=audio {default.port} {section.profile} {payload_types(codec)}",
        f"c=IN {version} {default.ip}",
        f"a=rtcp:9 IN {version} {'::' if version == 'IP6' else '0.0.0.0'}",  # noqa: S104 - a placeholder, not an address
        *_mid_line(section),
        f"a={direction}",
        "a=rtcp-mux",
        *codec_lines(codec, opus),
    ]
    if direction != "recvonly":
        # Without a stream in msid, `event.streams` of a browser's ontrack is empty and nothing is played.
        msid = f"{local.cname} audio"
        lines += [f"a=msid:{msid}", f"a=ssrc:{local.ssrc} cname:{local.cname}", f"a=ssrc:{local.ssrc} msid:{msid}"]
    return lines + _transport_lines(offer, local)


def _data_channel_lines(section: Section, offer: Offer, local: LocalParameters) -> list[str]:
    return [
        f"m=application 9 {section.profile} webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        *_mid_line(section),
        f"a=sctp-port:{SCTP_PORT}",
        f"a=max-message-size:{MAX_MESSAGE_SIZE}",
        *_transport_lines(offer, local),
    ]


def _rejected_lines(section: Section, offer: Offer, local: LocalParameters) -> list[str]:
    """Turn an m-line down.

    One of our bundle stays, inactive: clients that find their transceivers by index must not lose any. Port 0 is for
    what has no transport here, because a bundle must not hold it (RFC 8843 section 7.3).
    """
    keep = section.bundled and not section.disabled
    form = section.formats[0]
    lines = [f"m={section.kind} {9 if keep else 0} {section.profile} {form}", "c=IN IP4 0.0.0.0", *_mid_line(section)]
    lines.append("a=inactive")
    if section.rtpmap is not None:
        lines.append(f"a=rtpmap:{form} {section.rtpmap}")
    if keep and section.kind in ("audio", "video"):
        lines.append("a=rtcp-mux")
    return lines + (_transport_lines(offer, local) if keep else [])


def _mid_line(section: Section) -> list[str]:
    return [f"a=mid:{section.mid}"] if section.mid else []


def _transport_lines(offer: Offer, local: LocalParameters) -> list[str]:
    """ICE and DTLS. Repeated in each m-line: not every client looks at the tagged one only."""
    setup = "passive" if answered_dtls_role(offer) == "server" else "active"
    return [
        *(f"a=candidate:{candidate_to_sdp(candidate)}" for candidate in local.candidates),
        "a=end-of-candidates",
        f"a=ice-ufrag:{local.ice_ufrag}",
        f"a=ice-pwd:{local.ice_password}",
        "a=ice-options:trickle",
        *(f"a=fingerprint:{f.algorithm} {f.value}" for f in local.fingerprints),
        f"a=setup:{setup}",
    ]
