"""The audio of one call above SRTP, without a network and without waiting."""

from media.audio_link import AudioLink, LinkSettings
from media.audio_sender import Due
from media.opus import SILENCE
from media.opus_format import OpusFormat
from media.playout import Playout
from media.rtp import RtpPacket
from tests.media.calls import Notes

PAYLOAD_TYPE = 111
DTX = SILENCE[:1]


def times(notes: Notes) -> list[float]:
    return [round(at, 6) for _, at, _ in notes.audio]


def packet(number: int, payload: bytes) -> bytes:
    return RtpPacket(PAYLOAD_TYPE, False, number, 960 * number, 7, payload).serialize()


def opened(notes: Notes, playout: Playout) -> AudioLink:
    settings = LinkSettings(
        payload_type=PAYLOAD_TYPE,
        sent_payload_type=PAYLOAD_TYPE,
        ssrc=1,
        cname="link",
        sends=True,
        receives=True,
        opus=OpusFormat(),
        silence_timeout_s=30,
    )
    return AudioLink(settings, playout, notes, lambda data: None, 0.0)


def test_a_packet_is_handed_on_at_once_or_at_rest_with_the_next_tick_for_which_packets_were_read() -> None:
    notes, playout = Notes(), Playout()
    link = opened(notes, playout)
    link.packet_received(packet(0, SILENCE), 0.0)
    assert times(notes) == [0.0]
    playout.rest(True)
    for number in (1, 2, 3):
        link.packet_received(packet(number, SILENCE), 0.02 * number)
    link.tick(Due(2, 0), 0.06, read=False)
    assert times(notes) == [0.0]
    link.tick(Due(2, 0), 0.07, read=True)
    assert times(notes) == [0.0, 0.02, 0.04, 0.06]
    playout.rest(False)
    link.packet_received(packet(4, SILENCE), 0.08)
    assert times(notes)[-1] == 0.08
    link.close()


def test_what_waits_with_the_kernel_is_not_late() -> None:
    """Behind a DTX packet 60 ms without another one are silence, unless nobody has looked."""
    notes, playout = Notes(), Playout()
    link = opened(notes, playout)
    link.packet_received(packet(0, SILENCE), 0.0)
    link.packet_received(packet(1, DTX), 0.02)
    playout.rest(True)
    link.tick(Due(2, 0), 0.11, read=False)
    for number in (2, 3, 4, 5):
        link.packet_received(packet(number, SILENCE), 0.02 * number)
    link.tick(Due(2, 0), 0.15, read=True)
    assert times(notes) == [0.0, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert link.stats(0.15).packets_lost == link.stats(0.15).packets_discarded == 0
    link.close()
