"""Offers and answers: what browsers, WHIP publishers and Pipecat clients send, and what nobody should."""

import re

import pytest
from aiortc.rtcdtlstransport import RTCDtlsFingerprint
from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import SessionDescription
from hypothesis import given, settings
from hypothesis import strategies as st

from media.offer import Offer
from media.opus_format import OpusWish, agreed
from media.sdp import MAX_OFFER, parse_offer
from media.sdp_answer import LocalParameters, build_answer
from media.sdp_ice import MAX_CANDIDATES, parse_candidate
from media.values import InvalidOfferError
from tests.thorough import share

FINGERPRINT = ":".join(["AB"] * 32)
TRANSPORT = f"""\
a=ice-ufrag:4ZcD
a=ice-pwd:2/1muCWoOi3uLifh0NuRHlZz
a=ice-options:trickle
a=fingerprint:sha-256 {FINGERPRINT}
a=setup:actpass
"""
# As Chromium 14x writes them, shortened by codecs.
AUDIO = f"""\
m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
{TRANSPORT}a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:- 9a6a1ee4-7c4b-4a5b-9d8c-9a4c0d1c2f3e
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:1849034423 cname:Ys6bVl4uWZEhY+4P
"""
NO_G711 = AUDIO.replace("PCMU/8000", "X-U/8000").replace("PCMA/8000", "X-A/8000")
VIDEO = f"""\
m=video 9 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:1
a=sendrecv
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
"""
DATA = f"""\
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{TRANSPORT}a=mid:2
a=sctp-port:5000
a=max-message-size:262144
"""


def session(*media: str, bundle: str = "0 1 2") -> str:
    head = f"v=0\no=- 46117317 2 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {bundle}\na=msid-semantic: WMS\n"
    return (head + "".join(media)).replace("\n", "\r\n")


def answer(offer: str | Offer) -> str:
    local = LocalParameters(
        session_id=1,
        version=2,
        ssrc=1234,
        cname="cname",
        ice_ufrag="near",
        ice_password="p" * 22,
        candidates=(RTCIceCandidate(1, "f", "192.0.2.7", 7000, 2130706431, "udp", "host"),),
        fingerprints=(RTCDtlsFingerprint("sha-256", FINGERPRINT),),
    )
    read = parse_offer(offer) if isinstance(offer, str) else offer
    return build_answer(read, agreed(read.opus, 28_000, 20, "asked"), local)


def sections(sdp: str) -> list[str]:
    return ["m=" + part for part in sdp.split("\r\nm=")[1:]]


def test_a_browsers_offer_is_understood() -> None:
    offer = parse_offer(session(AUDIO, DATA, bundle="0 2"))
    assert (offer.payload_type, offer.direction, offer.setup) == (111, "sendrecv", "actpass")
    assert (offer.ice_ufrag, offer.ice_password) == ("4ZcD", "2/1muCWoOi3uLifh0NuRHlZz")
    assert offer.data_channel is not None
    assert (offer.data_channel.sctp_port, offer.data_channel.max_message_size) == (5000, 262144)
    assert [f.value for f in offer.fingerprints] == [FINGERPRINT]


def test_the_audio_is_answered_with_opus_its_keys_and_a_stream_to_play() -> None:
    audio = sections(answer(session(AUDIO, DATA, bundle="0 2")))[0]
    assert audio.startswith("m=audio 7000 UDP/TLS/RTP/SAVPF 111 110\r\nc=IN IP4 192.0.2.7\r\n")
    for line in (
        "a=mid:0",
        "a=sendrecv",
        "a=rtcp-mux",
        "a=rtpmap:111 opus/48000/2",
        "a=msid:cname audio",
        "a=ssrc:1234 cname:cname",
        "a=setup:active",
        "a=candidate:f 1 udp 2130706431 192.0.2.7 7000 typ host",
        "a=end-of-candidates",
        "a=ice-ufrag:near",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
    ):
        assert line in audio.split("\r\n")
    assert "a=fmtp:111 minptime=10;useinbandfec=1;stereo=0;maxaveragebitrate=" in audio


def test_the_answer_is_sdp_that_aiortc_reads() -> None:
    parsed = SessionDescription.parse(answer(session(AUDIO, VIDEO, DATA)))
    assert [media.kind for media in parsed.media] == ["audio", "video", "application"]
    assert [media.rtp.muxId for media in parsed.media] == ["0", "1", "2"]
    assert parsed.media[2].sctp_port == 5000


def test_video_is_kept_inactive_so_that_no_transceiver_is_lost() -> None:
    sdp = answer(session(AUDIO, VIDEO, DATA))
    video = sections(sdp)[1]
    assert video.startswith("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n")
    assert "a=inactive" in video
    assert "a=rtpmap:96 VP8/90000" in video
    assert "a=group:BUNDLE 0 1 2" in sdp


@pytest.mark.parametrize("rtpmap", ["VP8", "VP8/", "VP8/x", "/90000", "VP8/90000 x"])
def test_a_malformed_rtpmap_of_what_is_turned_down_is_not_echoed(rtpmap: str) -> None:
    sdp = answer(session(AUDIO, VIDEO.replace("VP8/90000", rtpmap), bundle="0 1"))
    assert "a=rtpmap:96" not in sections(sdp)[1]


def test_a_second_audio_is_kept_inactive() -> None:
    second = AUDIO.replace("a=mid:0", "a=mid:1")
    first, other = sections(answer(session(AUDIO, second, bundle="0 1")))
    assert "a=sendrecv" in first
    assert "a=inactive" in other
    assert not other.startswith("m=audio 0 ")


def test_what_does_not_share_the_transport_is_rejected_with_port_0() -> None:
    sdp = answer(session(AUDIO, VIDEO, DATA, bundle="0"))
    _, video, data = sections(sdp)
    assert video.startswith("m=video 0 ")
    assert data.startswith("m=application 0 ")
    assert "a=group:BUNDLE 0\r\n" in sdp


def test_what_the_offerer_disabled_stays_disabled() -> None:
    video = sections(answer(session(AUDIO, VIDEO.replace("m=video 9", "m=video 0"), bundle="0 1")))[1]
    assert video.startswith("m=video 0 ")


def test_bundle_only_is_not_disabled() -> None:
    bundle_only = DATA.replace("m=application 9", "m=application 0") + "a=bundle-only\n"
    assert parse_offer(session(AUDIO, bundle_only, bundle="0 2")).data_channel is not None


@pytest.mark.parametrize(
    ("offered", "answered"), [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly")]
)
def test_directions_are_reversed(offered: str, answered: str) -> None:
    audio = sections(answer(session(AUDIO.replace("a=sendrecv", f"a={offered}"), bundle="0")))[0]
    assert f"a={answered}" in audio.split("\r\n")
    assert ("a=msid:" in audio) == (answered != "recvonly")


def test_a_direction_that_is_not_written_means_both() -> None:
    assert parse_offer(session(AUDIO.replace("a=sendrecv\n", ""), bundle="0")).direction == "sendrecv"


@pytest.mark.parametrize(("offered", "answered"), [("actpass", "active"), ("passive", "active"), ("active", "passive")])
def test_we_are_the_dtls_client_unless_the_offer_is(offered: str, answered: str) -> None:
    sdp = answer(session(AUDIO.replace("a=setup:actpass", f"a=setup:{offered}"), bundle="0"))
    assert f"a=setup:{answered}" in sdp


def test_ice_and_dtls_may_stand_at_session_level() -> None:
    """As Firefox (fingerprint) and FFmpeg's WHIP write them."""
    bare = AUDIO.replace(TRANSPORT, "")
    offer = parse_offer(session(TRANSPORT, bare, bundle="0"))
    assert offer.ice_ufrag == "4ZcD"
    assert len(offer.fingerprints) == 1


def test_bundled_audio_may_leave_ice_and_dtls_to_the_first_section() -> None:
    offer = parse_offer(session(VIDEO, AUDIO.replace(TRANSPORT, ""), bundle="1 0"))
    assert (offer.audio_index, offer.ice_ufrag, len(offer.fingerprints)) == (1, "4ZcD", 1)


def test_an_offer_without_mids_and_bundle_is_answered_without_them() -> None:
    head = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\n"
    sdp = answer((head + AUDIO.replace("a=mid:0\n", "")).replace("\n", "\r\n"))
    assert "a=mid" not in sdp
    assert "BUNDLE" not in sdp
    assert "a=candidate" in sdp


def test_bare_newlines_are_taken() -> None:
    assert parse_offer(session(AUDIO, bundle="0").replace("\r\n", "\n")).payload_type == 111


def test_candidates_are_filtered_and_capped() -> None:
    good = "".join(f"a=candidate:{i} 1 udp 2113937151 192.0.2.{i} 50000 typ host\n" for i in range(1, 100))
    bad = (
        "a=candidate:1 1 udp 2113937151 0f3b2f52-5f0b-4d0e-a39b-6b1d6a5f3b11.local 50000 typ host\n"
        "a=candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\n"
        "a=candidate:3 2 udp 2113937150 192.0.2.1 50001 typ host\n"
        "a=candidate:\na=candidate:x\na=candidate:1 1 udp x y z typ host\n"
    )
    offer = parse_offer(session(AUDIO + bad + good, bundle="0"))
    assert [c.ip for c in offer.candidates] == [f"192.0.2.{i}" for i in range(1, MAX_CANDIDATES + 1)]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "candidate:",
        "candidate:1 1 udp 1 example.org 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 0 typ host",
        "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
        "candidate:1 1 udp 1 192.0.2.1 -5 typ host",
        "candidate:1 1 udp 99999999999 192.0.2.1 5000 typ host",
        "candidate:1 1 udp 1 239.1.2.3 5000 typ host",
        "candidate:1 1 udp 1 0.0.0.0 5000 typ host",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ strange",
        "candidate:1 1 udp 1 192.0.2.1 5000 typ host rport x raddr y rport z",
    ],
)
def test_candidates_that_cannot_be_used_are_left_out(line: str) -> None:
    assert parse_candidate(line) is None


@pytest.mark.parametrize("prefix", ["", "candidate:", "a=candidate:"])
def test_a_candidate_is_read_with_or_without_its_prefix(prefix: str) -> None:
    candidate = parse_candidate(prefix + "1 1 UDP 2113937151 192.0.2.1 5000 typ srflx raddr 10.0.0.1 rport 5")
    assert candidate is not None
    assert (candidate.ip, candidate.port, candidate.type) == ("192.0.2.1", 5000, "srflx")


@pytest.mark.parametrize(
    ("sdp", "complaint"),
    [
        ("", "no SDP"),
        ("hello", "no SDP"),
        (session(bundle="0"), "no audio"),
        (session(VIDEO, bundle="1"), "no audio"),
        (session(NO_G711.replace("opus/48000/2", "L16/48000/2"), bundle="0"), "no Opus"),
        (session(NO_G711.replace("opus/48000/2", "opus/16000"), bundle="0"), "no Opus"),
        (session(AUDIO.replace("m=audio 9", "m=audio 0"), bundle="0"), "disabled"),
        (session(AUDIO.replace("a=sendrecv", "a=inactive"), bundle="0"), "disabled"),
        (session(AUDIO.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), bundle="0"), "not encrypted"),
        (session(re.sub("a=fingerprint.*\n", "", AUDIO), bundle="0"), "no fingerprint"),
        (session(AUDIO.replace("sha-256", "md5"), bundle="0"), "no fingerprint"),
        (session(AUDIO.replace(FINGERPRINT, "AB:CD"), bundle="0"), "malformed a=fingerprint"),
        (session(AUDIO.replace("a=ice-ufrag:4ZcD\n", ""), bundle="0"), "ice-ufrag"),
        (session(re.sub("a=ice-pwd.*\n", "", AUDIO), bundle="0"), "ice-pwd"),
        (session(AUDIO.replace("a=ice-ufrag:4ZcD", "a=ice-ufrag:a:b c"), bundle="0"), "malformed a=ice-ufrag"),
        (session(AUDIO.replace("a=setup:actpass", "a=setup:holdconn"), bundle="0"), "a=setup:holdconn"),
        (session(AUDIO.replace("m=audio 9", "m=audio 99999"), bundle="0"), "malformed port"),
        (session(AUDIO.replace("m=audio 9", "m=audio -1"), bundle="0"), "malformed port"),
        (session(AUDIO.replace(" 111 ", " 999999999999999999999 "), bundle="0"), "malformed SDP"),
        (session(AUDIO.replace("111", "200"), bundle="0"), "payload type 200"),
        (session("m=audio\n", bundle="0"), "malformed m-line"),
        (session(AUDIO, DATA.replace("5000", "70000"), bundle="0 2"), "sctp-port"),
        (session(AUDIO, DATA.replace("5000", "x"), bundle="0 2"), "malformed SDP"),
        (session(AUDIO, AUDIO, bundle="0"), "same a=mid"),
        (session(AUDIO + "a=x\n" * 4000, bundle="0"), "too large"),
        (session(AUDIO, *[VIDEO] * 40, bundle="0"), "too large"),
        (session(AUDIO + "a=x" * MAX_OFFER, bundle="0"), "too long"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(sdp: str, complaint: str) -> None:
    with pytest.raises(InvalidOfferError, match=re.escape(complaint)):
        parse_offer(sdp)


VALID = session(AUDIO, VIDEO, DATA)
LINES = VALID.split("\r\n")
FRAGMENTS = st.sampled_from([*LINES, "", "m=", "a=", "a=rtpmap:", "a=fmtp:111", "m=audio 9 UDP/TLS/RTP/SAVPF 111 72"])


@st.composite
def broken_offers(draw: st.DrawFn) -> str:
    """A valid offer with lines replaced, doubled, dropped, cut, or with characters changed."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.integers(0, 4)):
            case 0:
                lines[at] = draw(FRAGMENTS)
            case 1:
                lines.insert(at, draw(FRAGMENTS))
            case 2:
                lines[at] = lines[at][: draw(st.integers(0, len(lines[at])))]
            case 3:
                position = draw(st.integers(0, len(lines[at])))
                lines[at] = lines[at][:position] + draw(st.text(max_size=4)) + lines[at][position + 1 :]
            case _ if len(lines) > 1:
                del lines[at]
    return "\r\n".join(lines)


@settings(max_examples=share(400), deadline=None)
@given(broken_offers())
def test_a_broken_offer_is_answered_or_refused_and_nothing_else(sdp: str) -> None:
    try:
        offer = parse_offer(sdp)
    except InvalidOfferError:
        return
    written = answer(offer)
    assert len(sections(written)) == len(offer.sections)
    SessionDescription.parse(written)


@settings(max_examples=share(200), deadline=None)
@given(st.text(max_size=300), st.booleans())
def test_any_text_is_refused(text: str, with_head: bool) -> None:
    with pytest.raises(InvalidOfferError):
        parse_offer(("v=0\r\n" if with_head else "") + text)


@settings(max_examples=share(200), deadline=None)
@given(st.text(max_size=200))
def test_any_text_as_a_candidate_is_harmless(text: str) -> None:
    parse_candidate(text)


G711 = AUDIO.replace("a=rtpmap:111 opus/48000/2\n", "").replace("a=fmtp:111 minptime=10;useinbandfec=1\n", "")


def test_opus_is_taken_with_the_telephone_events_of_its_clock() -> None:
    offer = parse_offer(session(AUDIO, bundle="0"))
    assert (offer.codec.name, offer.codec.payload_type, offer.codec.key_payload_type) == ("opus", 111, 110)
    assert "a=rtpmap:110 telephone-event/48000" in answer(offer)


def test_without_opus_g711_is_taken_with_the_events_of_its_clock() -> None:
    offer = parse_offer(session(G711, bundle="0"))
    assert (offer.codec.name, offer.codec.payload_type, offer.codec.key_payload_type) == ("PCMU", 0, 126)
    lines = answer(offer).splitlines()
    assert next(line for line in lines if line.startswith("m=audio")).endswith(" 0 126")
    assert {"a=rtpmap:0 PCMU/8000", "a=rtpmap:126 telephone-event/8000", "a=fmtp:126 0-15"} <= set(lines)


@pytest.mark.parametrize(("left", "name", "payload_type"), [("8 13", "PCMA", 8), ("0", "PCMU", 0)])
def test_static_payload_types_need_no_rtpmap(left: str, name: str, payload_type: int) -> None:
    mapped = "\n".join(line for line in G711.splitlines() if not line.startswith(("a=rtpmap", "a=fmtp", "m=")))
    first = f"m=audio 9 UDP/TLS/RTP/SAVPF {left}\n"
    offer = parse_offer(session(first + mapped + "\n", bundle="0"))
    assert (offer.codec.name, offer.codec.payload_type) == (name, payload_type)
    assert offer.codec.key_payload_type is None


# A microphone and a loudspeaker on m-lines of their own --------------------------------------------------------------

SENT = AUDIO.replace("a=sendrecv", "a=sendonly")
RECEIVED = AUDIO.replace("a=sendrecv", "a=recvonly").replace("a=mid:0", "a=mid:3").replace("111", "96")
NO_OPUS = RECEIVED.replace("opus/48000/2", "L16/48000/2").replace(" 9 0 8 13 110 126", "")


@pytest.mark.parametrize("order", [(SENT, RECEIVED), (RECEIVED, SENT)])
def test_of_two_audio_lines_one_is_heard_and_one_is_answered_on(order: tuple[str, str]) -> None:
    offer = parse_offer(session(*order, bundle="0 3"))
    assert (offer.hears, offer.answers) == (True, True)
    assert (offer.payload_type, offer.answering_payload_type) == (111, 96)
    told = dict(zip((part is SENT for part in order), sections(answer(offer)), strict=True))
    assert "a=recvonly" in told[True]
    assert "a=sendonly" in told[False]
    assert "a=ssrc:1234" in told[False]
    assert "a=ssrc:1234" not in told[True]
    assert "a=rtpmap:96 opus/48000/2" in told[False]
    SessionDescription.parse(answer(offer))


def test_of_two_audio_lines_the_one_that_is_answered_on_says_how_opus_is_sent() -> None:
    wanted = RECEIVED.replace("useinbandfec=1", "usedtx=1;maxaveragebitrate=12000") + "a=ptime:40\n"
    offer = parse_offer(session(SENT + "a=ptime:60\n", wanted, bundle="0 3"))
    assert offer.opus == OpusWish(12_000, dtx=True, ptime_ms=40)
    for part in sections(answer(offer)):
        assert {"a=ptime:40"} == {line for line in part.splitlines() if line.startswith("a=ptime")}


def test_g711_comes_in_packets_of_20_ms_whatever_else_is_asked_for() -> None:
    offer = parse_offer(session(G711.replace("a=mid", "a=fmtp:0 usedtx=1\na=ptime:40\na=mid"), bundle="0"))
    assert offer.codec.name == "PCMU"
    assert offer.opus == OpusWish()
    told = answer(offer).splitlines()
    assert "a=ptime:20" in told
    assert not any("usedtx" in line for line in told)


def test_an_audio_line_that_does_both_goes_before_a_pair() -> None:
    offer = parse_offer(session(SENT.replace("a=mid:0", "a=mid:2"), RECEIVED, AUDIO, bundle="0 2 3"))
    assert (offer.audio_index, offer.answering_index, offer.direction) == (2, 2, "sendrecv")


@pytest.mark.parametrize(
    ("lines", "bundle", "why"),
    [
        ((SENT, SENT.replace("a=mid:0", "a=mid:3")), "0 3", "mute"),
        ((RECEIVED, RECEIVED.replace("a=mid:3", "a=mid:0")), "0 3", "deaf"),
        ((SENT, NO_OPUS), "0 3", "mute"),
        ((SENT, RECEIVED), "0", "BUNDLE"),
    ],
)
def test_two_audio_lines_that_make_no_conversation_are_refused_with_the_reason(
    lines: tuple[str, str], bundle: str, why: str
) -> None:
    with pytest.raises(InvalidOfferError, match=why):
        parse_offer(session(*lines, bundle=bundle))


@pytest.mark.parametrize(("only", "hears", "answers"), [(SENT, True, False), (RECEIVED, False, True)])
def test_a_single_audio_line_may_go_one_way(only: str, hears: bool, answers: bool) -> None:
    offer = parse_offer(session(only, bundle="0 3"))
    assert (offer.hears, offer.answers) == (hears, answers)


def test_offers_of_one_connection_are_known_by_their_session_and_certificate() -> None:
    offer = parse_offer(session(AUDIO, bundle="0"))
    again = parse_offer(session(AUDIO.replace("4ZcD", "9XyZ"), bundle="0").replace("46117317 2", "46117317 3"))
    other = parse_offer(session(AUDIO, bundle="0").replace("46117317 2", "46117318 2"))
    stranger = parse_offer(session(AUDIO.replace(FINGERPRINT, ":".join(["CD"] * 32)), bundle="0"))
    assert again.is_of_the_same_connection_as(offer)
    assert not other.is_of_the_same_connection_as(offer)
    assert not stranger.is_of_the_same_connection_as(offer)
