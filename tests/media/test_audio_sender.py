"""What goes onto the wire: numbers, marks, silence, redundancy, and the clock that paces it."""

import numpy as np
import pytest

from media.audio_sender import AudioSender, Due, FrameClock, RtpOut
from media.opus import SILENCE, OpusDecoder, has_fec, packet_duration
from media.opus_format import OpusFormat
from media.playout import Playout
from media.values import Pcm, PlayoutChange
from tests.media.signals import offset_of, voice


def run(sender: AudioSender, frames: int, start: float = 0.0) -> list[RtpOut]:
    packets = [sender.next_frame(start + i * 0.02).packet for i in range(frames)]
    return [packet for packet in packets if packet is not None]


def heard(packets: list[RtpOut], rate: int = 24_000) -> Pcm:
    decoder = OpusDecoder(rate)
    return np.concatenate([decoder.decode(packet.payload) for packet in packets])


@pytest.fixture
def playout() -> Playout:
    return Playout()


def test_sequence_and_timestamp_run_through_silence_and_wrap(playout: Playout) -> None:
    sender = AudioSender(playout, sequence_number=65_534, timestamp=2**32 - 960)
    packets = run(sender, 4)
    assert [packet.sequence_number for packet in packets] == [65_534, 65_535, 0, 1]
    assert [packet.timestamp for packet in packets] == [2**32 - 960, 0, 960, 1920]


def test_silence_is_three_bytes(playout: Playout) -> None:
    packets = run(AudioSender(playout), 50)
    assert {packet.payload for packet in packets} == {SILENCE}
    assert not any(packet.marker for packet in packets)


def test_a_queue_at_rest_is_sent_in_packets_of_40_ms_that_decode_to_silence(playout: Playout) -> None:
    sender = AudioSender(playout, sequence_number=7, timestamp=0)
    playout.rest(True)
    packets = run(sender, 50)
    assert [packet.sequence_number for packet in packets] == list(range(7, 32))
    assert [packet.timestamp for packet in packets] == list(range(0, 25 * 1920, 1920))
    assert packet_duration(packets[0].payload) == 1920
    assert not heard(packets).any()
    assert len(heard(packets)) == 24_000


def test_speech_after_a_rest_takes_the_place_of_no_silence_that_was_sent(playout: Playout) -> None:
    sender = AudioSender(playout, sequence_number=0, timestamp=0)
    playout.rest(True)
    run(sender, 3)
    playout.write(voice(0.1, 24_000))
    playout.finish()
    playout.rest(False)
    packets = run(sender, 8, 0.06)
    # Three frames are four that are sent: the first of these calls finds its own sent already.
    assert [packet.timestamp for packet in packets] == list(range(4 * 960, 11 * 960, 960))
    assert [packet.marker for packet in packets] == [True] + [False] * 6


def test_time_that_is_skipped_in_a_rest_counts_once(playout: Playout) -> None:
    sender = AudioSender(playout, sequence_number=0, timestamp=0)
    playout.rest(True)
    run(sender, 1)
    sender.skip(4)
    (packet,) = run(sender, 1, 0.1)
    assert packet.timestamp == 5 * 960
    assert packet.marker


def test_a_queue_that_still_holds_sound_does_not_rest(playout: Playout) -> None:
    playout.rest(True)
    playout.write(voice(0.1, 24_000))
    playout.finish()
    assert not playout.resting
    run(AudioSender(playout), 10)
    assert playout.resting


def test_only_the_first_packet_of_a_talk_spurt_is_marked(playout: Playout) -> None:
    sender = AudioSender(playout)
    run(sender, 3)
    playout.write(voice(0.2, 24_000))
    playout.finish()
    packets = run(sender, 20)
    playout.write(voice(0.2, 24_000))
    packets += run(sender, 20)
    assert [i for i, packet in enumerate(packets) if packet.marker] == [0, 20]


def test_speech_goes_out_whole_and_silence_follows_within_three_frames(playout: Playout) -> None:
    pcm = voice(1.0, 24_000)
    playout.write(pcm)
    playout.finish()
    packets = run(AudioSender(playout, OpusFormat(64_000)), 60)
    assert {packet.payload for packet in packets[52:]} == {SILENCE}
    audio = heard(packets)
    shift = offset_of(pcm[2400:21600], audio) - 2400
    assert 100 <= shift <= 200
    # The last 8 ms fade out; what lies before them is all there.
    end = audio[len(pcm) - 1200 + shift : len(pcm) - 192 + shift].astype(float)
    assert np.corrcoef(end, pcm[-1200:-192].astype(float))[0, 1] > 0.9
    assert np.abs(audio[54 * 480 :].astype(int)).max() <= 2


def test_the_onset_after_silence_is_as_clean_as_after_a_start(playout: Playout) -> None:
    pcm = voice(1.0, 24_000)
    sender = AudioSender(playout, OpusFormat(48_000))
    playout.write(pcm)
    playout.finish()
    first = run(sender, 100)
    playout.write(pcm)
    playout.finish()
    audio = heard(first + run(sender, 100))
    once, again = audio[:48_000].astype(float), audio[48_000:].astype(float)
    difference = np.linalg.norm(once[:9600] - again[:9600]) / np.linalg.norm(once[:9600])
    assert difference < 0.05
    steps = np.abs(np.diff(audio.astype(int)))
    assert steps[47_900:48_500].max() <= steps.max()


def test_events_of_the_queue_travel_with_their_packet(playout: Playout) -> None:
    sender = AudioSender(playout)
    playout.write(voice(0.1, 24_000))
    playout.finish()
    frames = [sender.next_frame(i * 0.02) for i in range(8)]
    events = [(i, event.change, event.at) for i, frame in enumerate(frames) for event in frame.events]
    assert events == [(0, PlayoutChange.STARTED, 0.0), (4, PlayoutChange.DRAINED, pytest.approx(0.08))]


def test_a_flush_is_silent_on_the_wire_after_one_frame(playout: Playout) -> None:
    sender = AudioSender(playout)
    playout.write(voice(5.0, 24_000))
    before = run(sender, 50)
    playout.flush()
    audio = heard(before + run(sender, 10))
    assert np.abs(audio[52 * 480 :].astype(int)).max() < 100


def test_counters_and_timestamp_for_sender_reports(playout: Playout) -> None:
    sender = AudioSender(playout, timestamp=1000)
    packets = run(sender, 10, start=3.0)
    assert sender.packets_sent == 10
    assert sender.bytes_sent == sum(len(packet.payload) for packet in packets)
    assert sender.rtp_timestamp(3.18) == packets[-1].timestamp
    assert sender.rtp_timestamp(3.19) == packets[-1].timestamp + 480


def test_skipped_time_moves_the_timestamp_but_not_the_queue(playout: Playout) -> None:
    sender = AudioSender(playout)
    playout.write(voice(1.0, 24_000))
    before = run(sender, 5)[-1]
    sender.skip(10)
    (after,) = run(sender, 1, 0.3)
    assert after.timestamp == before.timestamp + 11 * 960
    assert after.sequence_number == before.sequence_number + 1
    assert after.marker
    assert playout.position == 6 * 480


def test_reported_loss_brings_redundancy_and_its_absence_takes_it_away(playout: Playout) -> None:
    sender = AudioSender(playout)

    def share(loss: float, reports: int) -> float:
        for _ in range(reports):
            sender.on_receiver_report(loss)
        playout.write(voice(2.0, 24_000))
        return sum(has_fec(packet.payload) for packet in run(sender, 100)) / 100

    assert share(0.0, 30) == 0.0
    assert sender.packet_loss_percent == 0
    assert share(0.15, 1) > 0.5
    assert sender.packet_loss_percent == 15
    assert share(0.0, 3) > 0.5
    assert share(0.0, 30) == 0.0


def test_redundancy_is_there_before_the_first_report(playout: Playout) -> None:
    playout.write(voice(2.0, 24_000))
    assert sum(has_fec(packet.payload) for packet in run(AudioSender(playout), 100)) > 50


def test_the_clock_gives_one_frame_every_20_ms_whatever_the_lateness() -> None:
    clock = FrameClock()
    rng = np.random.default_rng(1)
    now, frames = 100.0, 0
    for _ in range(1000):
        due = clock.due(now)
        assert due == Due(1, 0)
        frames += due.frames
        now = clock.next_at + rng.uniform(0.0, 0.015)
    assert clock.next_at == pytest.approx(100.0 + 1000 * 0.02)


def test_the_clock_is_never_ahead_of_real_time() -> None:
    clock = FrameClock()
    frames = sum(clock.due(i * 0.001).frames for i in range(1000))
    assert frames == 50


@pytest.mark.parametrize(("stall", "due"), [(0.03, Due(1, 0)), (0.05, Due(2, 0)), (0.065, Due(3, 0))])
def test_a_short_stall_is_caught_up(stall: float, due: Due) -> None:
    clock = FrameClock()
    clock.due(0.0)
    assert clock.due(stall) == due


@pytest.mark.parametrize(("stall", "skipped"), [(0.085, 3), (1.0, 49)])
def test_a_long_stall_is_skipped_not_burst(stall: float, skipped: int) -> None:
    clock = FrameClock()
    clock.due(0.0)
    assert clock.due(stall) == Due(1, skipped)
    assert clock.due(stall + 0.001) == Due(0, 0)
    assert clock.next_at == pytest.approx(stall + 0.02, abs=0.02)


def test_after_a_skip_the_timestamps_are_true_again(playout: Playout) -> None:
    sender, clock = AudioSender(playout), FrameClock()
    sent = []
    for now in (0.0, 0.02, 0.04, 1.0, 1.02):
        due = clock.due(now)
        sender.skip(due.skipped)
        sent += [(now, packet.timestamp) for _ in range(due.frames) for packet in run(sender, 1, now)]
    assert sent == [(0.0, 0), (0.02, 960), (0.04, 1920), (1.0, 48_000), (1.02, 48_960)]
