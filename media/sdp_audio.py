"""The codec with which an m-line of audio is answered: Opus if offered, else G.711, and telephone events."""

from aiortc.sdp import MediaDescription

from media import g711
from media.codecs import AudioCodec, CodecName
from media.opus import CLOCK_RATE
from media.opus_format import OpusFormat
from media.values import InvalidOfferError

NEEDED = "a=rtpmap:<payload type> opus/48000/2 is needed, or PCMU/8000 or PCMA/8000"

FEC_BITRATE = 4_000
"""Opus bit/s that the far end may send beyond what we do, for in-band FEC: 32 kbit/s beside our 28."""

_STATIC: dict[int, CodecName] = {0: "PCMU", 8: "PCMA"}
"""Payload types that need no rtpmap (RFC 3551 section 6)."""

_KEYS = "audio/telephone-event"


def offers_opus(audio: MediaDescription) -> bool:
    """Whether Opus is offered."""
    return _payload_type(audio, "audio/opus", CLOCK_RATE) is not None


def offered_codec(audio: MediaDescription) -> AudioCodec | None:
    """The codec that is taken of those that an m-line offers; None where there is none that we have.

    Raises:
        InvalidOfferError: its payload type is none.
    """
    opus = _payload_type(audio, "audio/opus", CLOCK_RATE)
    if opus is not None:
        return AudioCodec("opus", _checked(opus), _payload_type(audio, _KEYS, CLOCK_RATE))
    keys = _payload_type(audio, _KEYS, g711.RATE)
    for static, name in _STATIC.items():
        found = _payload_type(audio, f"audio/{name.lower()}", g711.RATE)
        if found is None and static in audio.fmt and all(c.payloadType != static for c in audio.rtp.codecs):
            found = static
        if found is not None:
            return AudioCodec(name, _checked(found), keys)
    return None


def codec_lines(codec: AudioCodec, opus: OpusFormat) -> list[str]:
    """What an answer says of a codec and its packets: Opus is to come as ours goes out, G.711 in 20 ms."""
    pt, packet_ms = codec.payload_type, 20
    if codec.name == "opus":
        parameters = f"minptime=10;useinbandfec=1;stereo=0;maxaveragebitrate={opus.bitrate + FEC_BITRATE}"
        lines = [f"a=rtpmap:{pt} opus/48000/2", f"a=fmtp:{pt} {parameters}" + (";usedtx=1" if opus.dtx else "")]
        packet_ms = opus.packet_ms
    else:
        lines = [f"a=rtpmap:{pt} {codec.name}/{g711.RATE}"]
    keys = codec.key_payload_type
    if keys is not None:
        lines += [f"a=rtpmap:{keys} telephone-event/{codec.clock_rate}", f"a=fmtp:{keys} 0-15"]
    return [*lines, f"a=ptime:{packet_ms}"]


def payload_types(codec: AudioCodec) -> str:
    """Those of an answer's m-line."""
    keys = codec.key_payload_type
    return str(codec.payload_type) if keys is None else f"{codec.payload_type} {keys}"


def _payload_type(audio: MediaDescription, mime_type: str, rate: int) -> int | None:
    found = (c.payloadType for c in audio.rtp.codecs if c.mimeType.lower() == mime_type and c.clockRate == rate)
    return next((each for each in found if each is not None), None)


def _checked(payload_type: int) -> int:
    if not 0 <= payload_type <= 127:
        raise InvalidOfferError(f"a codec has payload type {payload_type}, which does not fit into RTP (0 to 127)")
    return payload_type
