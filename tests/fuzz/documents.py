"""Targets of signaling and of files: offers, candidates, trickled fragments, audio containers."""

import contextlib
import struct
from collections.abc import AsyncIterator

from aiortc.rtcdtlstransport import RTCDtlsFingerprint
from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import SessionDescription

from media.audio_file import AudioFileError
from media.byte_budget import ByteBudget
from media.decoder_pool import DecoderPool
from media.opus_format import agreed
from media.sdp import parse_offer
from media.sdp_answer import LocalParameters, build_answer
from media.sdp_fragment import MAX_FRAGMENT_CANDIDATES, parse_fragment
from media.sdp_ice import parse_candidate
from media.values import InvalidOfferError
from tests.fuzz.mutation import mutated, with_words
from tests.fuzz.packets import AsyncCheck
from tests.fuzz.target import Target, as_text, on_loop, plain
from tests.media.test_audio_file import ENCODINGS, encoded, wav
from tests.media.test_sdp import AUDIO, DATA, VIDEO, session

_FINGERPRINT = RTCDtlsFingerprint("sha-256", ":".join(["AB"] * 32))
_LOCAL = LocalParameters(
    session_id=1,
    version=2,
    ssrc=1234,
    cname="cname",
    ice_ufrag="near",
    ice_password="p" * 22,
    candidates=(RTCIceCandidate(1, "f", "192.0.2.7", 7000, 2130706431, "udp", "host"),),
    fingerprints=(_FINGERPRINT,),
)
_CANDIDATE = "a=candidate:1 1 UDP 2113937151 192.0.2.1 5000 typ srflx raddr 10.0.0.1 rport 5\r\n"
_SDP_WORDS = (
    *(b"\r\n", b"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", b"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"),
    *(b"a=rtpmap:111 opus/48000/2\r\n", b"a=fmtp:111 ", b"a=mid:", b"a=group:BUNDLE ", b"a=inactive\r\n", b"a=ssrc:1 "),
    *(b"a=setup:", b"a=ice-ufrag:", b"a=ice-pwd:", b"a=fingerprint:sha-256 ", b"a=sctp-port:", b"a=ice-lite\r\n"),
    *(
        b"a=candidate:1 1 udp 1 ",
        b"::ffff:127.0.0.1",
        b"99999999999999999999",
        "٣".encode(),
        b"\0",
        b"\r",
        b"\xe2\x80\xa8",
    ),
)


def _told(refused: Exception) -> None:
    """A refusal that a client can be told. (What kills the process of a decoder would be worth a look.)"""
    assert 5 < len(str(refused)) < 1_000
    assert "time and memory" not in str(refused)


def _offer(data: bytes) -> None:
    try:
        offer = parse_offer(as_text(data))
    except InvalidOfferError as refused:
        _told(refused)
        return
    answer = build_answer(offer, agreed(offer.opus, 28_000, 20, "asked"), _LOCAL)
    assert len(SessionDescription.parse(answer).media) == len(offer.sections)
    # No line of the offer may become two of the answer.
    assert answer.count("\nm=") == len(offer.sections)
    assert answer.replace("\r\n", "").isprintable()


def _fragment(data: bytes) -> None:
    with contextlib.suppress(InvalidOfferError):
        found = parse_fragment(as_text(data)).candidates
        assert len(found) <= MAX_FRAGMENT_CANDIDATES
        for candidate in found:
            parse_candidate(candidate.candidate)
    for line in as_text(data).splitlines():
        usable = parse_candidate(line)
        assert usable is None or 0 < usable.port < 65_536


def _offer_seeds() -> list[bytes]:
    bare = session(AUDIO + _CANDIDATE.strip() + "\n", bundle="0")
    return [session(AUDIO, VIDEO, DATA).encode(), session(AUDIO, DATA, bundle="0 2").encode(), bare.encode()]


def _fragment_seeds() -> list[bytes]:
    v6 = "a=candidate:2 1 udp 1 2001:db8::1 5000 typ host generation 0 ufrag 4ZcD network-id 1\r\n"
    name = "a=candidate:3 1 udp 1 4b1a2c3d-0000-4000-8000-000000000000.local 5000 typ host\r\n"
    head = "a=ice-ufrag:4ZcD\r\na=ice-pwd:2/1muCWoOi3uLifh0NuRHlZz\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    return [(head + _CANDIDATE + v6 + name + "a=end-of-candidates\r\n").encode(), _CANDIDATE.encode()]


# Audio ----------------------------------------------------------------------------------------------------------------

RATE = 16_000
LONGEST_S = 20.0


@contextlib.asynccontextmanager
async def _audio() -> AsyncIterator[AsyncCheck]:
    pool = DecoderPool(ByteBudget(64 << 20), places=1)

    async def check(data: bytes) -> None:
        try:
            audio = await pool.open(data, RATE, longest_s=LONGEST_S)
        except AudioFileError as refused:
            _told(refused)
            return
        try:
            seconds = 0.0
            while (piece := await audio.read(RATE)).size and seconds < LONGEST_S:
                seconds += piece.size / RATE
        except AudioFileError as refused:
            _told(refused)
        finally:
            audio.close()
        assert pool.budget.held == 0

    yield check
    await pool.close()


def _audio_seeds() -> list[bytes]:
    files = [encoded(container, codec, min(rate, 48_000), 0.12) for container, codec, rate in ENCODINGS]
    odd = wav(36, 0x7FFFFFFF, b"\1\0" * 400)
    surround = (
        b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 8, 96_000, 0, 16, 16) + b"data" + bytes(404)
    )
    return [*files, odd, surround, b"ID3\4\0\0\0\0\0\0" + files[1]]


TARGETS = (
    Target("sdp", "offers", plain(_offer), _offer_seeds, with_words(*_SDP_WORDS), longest=8_192, runs=400),
    Target("sdpfrag", "trickled candidates", plain(_fragment), _fragment_seeds, with_words(*_SDP_WORDS), runs=600),
    Target("audio", "audio containers, in the process that decodes them", on_loop(_audio), _audio_seeds, mutated,
           longest=65_536, runs=120),
)  # fmt: skip
