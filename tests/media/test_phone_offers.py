"""Offers as phones and WebKit write them are understood, and answered in a way that they can use."""

from pathlib import Path

import pytest
from aiortc.sdp import SessionDescription

from media.opus_format import OpusFormat, agreed
from media.sdp import parse_offer
from tests.media.test_sdp import answer, sections

OFFERS = sorted((Path(__file__).parent / "offers").glob("*.sdp"))


def read(name: str) -> str:
    """An offer with the line ends of SDP."""
    return (Path(__file__).parent / "offers" / f"{name}.sdp").read_text().replace("\n", "\r\n")


def test_all_stacks_are_there() -> None:
    stacks = {"android", "android-low", "ios", "react-native", "flutter", "safari", "webkitgtk"}
    assert {path.stem for path in OFFERS} == stacks


@pytest.mark.parametrize("name", [path.stem for path in OFFERS])
def test_the_offer_is_answered_with_audio_both_ways_and_a_data_channel(name: str) -> None:
    offer = parse_offer(read(name))
    assert offer.direction == "sendrecv"
    assert offer.opus.fec
    assert offer.data_channel is not None
    told = answer(offer)
    assert len(sections(told)) == len(offer.sections)
    audio = next(section for section in sections(told) if section.startswith("m=audio"))
    assert f"a=rtpmap:{offer.payload_type} opus/48000/2" in audio
    assert "a=sendrecv" in audio
    assert "a=msid:" in audio, "without a stream react-native-webrtc and Safari play nothing"
    assert "a=sctp-port:5000" in told
    parsed = SessionDescription.parse(told)
    assert [media.rtp.muxId for media in parsed.media] == [section.mid for section in offer.sections]


@pytest.mark.parametrize(("name", "candidates"), [("android", 0), ("ios", 3), ("flutter", 4), ("safari", 0)])
def test_of_the_candidates_those_are_taken_that_can_be_reached_over_udp(name: str, candidates: int) -> None:
    offer = parse_offer(read(name))
    assert len(offer.candidates) == candidates
    assert all(candidate.protocol == "udp" and not candidate.ip.endswith(".local") for candidate in offer.candidates)


def test_a_video_section_that_nobody_asked_for_is_turned_down_in_its_place() -> None:
    audio, video, channel = sections(answer(read("flutter")))
    assert video.startswith("m=video")
    assert "a=inactive" in video
    assert audio.startswith("m=audio")
    assert channel.startswith("m=application")


def test_a_phone_on_a_narrow_line_gets_long_packets_few_bits_and_no_silence() -> None:
    form = agreed(parse_offer(read("android-low")).opus, 28_000, 20, "asked")
    assert form == OpusFormat(16_000, 40, fec=True, dtx=True)
