"""The outgoing queue: what is heard, where it stands, and that nothing clicks."""

import numpy as np
import pytest

from media.playout import FADE_SAMPLES, KEPT_SAMPLES, Playout, PlayoutFullError
from media.values import SEND_RATE, Pcm, PlayoutChange, PlayoutEvent, Speaker

LOUD = 10_000


def tone(seconds: float) -> Pcm:
    """200 Hz: from one sample to the next it moves by at most 530, so that a larger step is a click."""
    t = np.arange(round(seconds * SEND_RATE)) / SEND_RATE
    return (LOUD * np.cos(2 * np.pi * 200 * t)).astype(np.int16)


def flat(samples: int) -> Pcm:
    return np.full(samples, LOUD, dtype=np.int16)


class Wire:
    """Takes frames at 20 ms each and keeps what went out."""

    def __init__(self, playout: Playout) -> None:
        self.playout = playout
        self.now = 5.0
        self.frames: list[Pcm | None] = []
        self.events: list[PlayoutEvent] = []

    def run(self, frames: int) -> list[Pcm | None]:
        first = len(self.frames)
        for _ in range(frames):
            frame, events = self.playout.next_frame(self.now)
            assert frame is None or (frame.shape == (480,) and frame.dtype == np.int16)
            self.frames.append(frame)
            self.events += events
            self.now += 0.02
        return self.frames[first:]

    @property
    def audio(self) -> Pcm:
        silence = np.zeros(480, dtype=np.int16)
        return np.concatenate([silence if frame is None else frame for frame in self.frames] + [silence])

    @property
    def changes(self) -> list[PlayoutChange]:
        return [event.change for event in self.events]

    def largest_step(self) -> int:
        return int(np.abs(np.diff(self.audio.astype(int), prepend=0)).max())


@pytest.fixture
def playout() -> Playout:
    return Playout()


@pytest.fixture
def wire(playout: Playout) -> Wire:
    return Wire(playout)


def test_the_beginning_of_sound_is_told_once_per_utterance() -> None:
    playout, begun = Playout(), []
    playout.read_by(on_begin=lambda: begun.append(playout.written))
    for _ in range(2):
        playout.write(np.full(960, 1000, np.int16))
        playout.write(np.full(960, 1000, np.int16))
        playout.finish()
        for _ in range(8):
            playout.next_frame(0.0)
    assert begun == [960, 2880]


def test_another_reader_takes_the_place_of_the_one_before() -> None:
    playout, told = Playout(), []
    playout.read_by(lambda: told.append("first is taken"), lambda: told.append("first begins"))
    playout.read_by(lambda: told.append("second is taken"), lambda: told.append("second begins"))
    playout.write(np.full(960, 1000, np.int16))
    assert told == ["first is taken", "second begins"]


def test_it_is_a_speaker(playout: Playout) -> None:
    speaker: Speaker = playout
    assert speaker.written == speaker.position == 0


def test_nothing_written_is_silence_without_events(wire: Wire) -> None:
    assert wire.run(10) == [None] * 10
    assert wire.events == []


def test_what_is_written_goes_out_unchanged_but_for_its_edges(wire: Wire) -> None:
    pcm = tone(1.0)
    for start in range(0, len(pcm), 700):
        assert wire.playout.write(pcm[start : start + 700]) == start
    wire.playout.finish()
    wire.run(51)
    assert np.array_equal(wire.audio[192 : len(pcm) - 192], pcm[192:-192])
    assert wire.frames[50] is None


def test_positions_count_written_samples_and_never_padding(wire: Wire) -> None:
    wire.playout.write(tone(0.05))
    wire.playout.finish()
    positions = []
    for _ in range(5):
        wire.run(1)
        positions.append(wire.playout.position)
    assert positions == [480, 960, 1200, 1200, 1200]
    assert wire.playout.written == 1200
    frame = wire.frames[2]
    assert frame is not None
    assert not frame[240:].any()


def test_started_and_drained_carry_time_and_position(wire: Wire) -> None:
    wire.run(3)
    wire.playout.write(tone(0.05))
    wire.playout.finish()
    wire.run(10)
    assert wire.changes == [PlayoutChange.STARTED, PlayoutChange.DRAINED]
    started, drained = wire.events
    assert (started.at, started.position) == (pytest.approx(5.06), 0)
    assert (drained.at, drained.position) == (pytest.approx(5.10), 1200)


def test_starvation_is_told_once_and_the_rest_follows_when_it_comes(wire: Wire) -> None:
    wire.playout.write(tone(0.1))
    wire.run(20)
    assert wire.changes == [PlayoutChange.STARTED, PlayoutChange.STARVED]
    assert wire.events[1].position == 2400
    wire.playout.write(tone(0.1))
    wire.playout.finish()
    wire.run(20)
    assert wire.changes[2:] == [PlayoutChange.STARTED, PlayoutChange.DRAINED]
    assert wire.playout.position == 4800


def test_finish_after_the_last_frame_still_drains(wire: Wire) -> None:
    wire.playout.write(tone(0.1))
    wire.run(5)
    wire.playout.finish()
    wire.run(2)
    assert wire.changes == [PlayoutChange.STARTED, PlayoutChange.DRAINED]


def test_more_written_after_finish_takes_the_end_back(wire: Wire) -> None:
    wire.playout.write(tone(0.1))
    wire.playout.finish()
    wire.playout.write(tone(0.1))
    wire.run(15)
    assert wire.changes == [PlayoutChange.STARTED, PlayoutChange.STARVED]
    assert wire.events[1].position == 4800


def test_more_written_while_the_end_fades_lets_the_sound_rise_again(wire: Wire) -> None:
    wire.playout.write(flat(4900))
    wire.playout.finish()
    wire.run(10)
    assert 0 < wire.audio[4799] < 0.7 * LOUD
    wire.playout.write(flat(4900))
    wire.playout.finish()
    wire.run(15)
    assert wire.largest_step() <= LOUD / 150
    assert wire.audio[5500] == LOUD


def test_flush_leaves_one_faded_frame(wire: Wire) -> None:
    wire.playout.write(tone(5.0))
    wire.run(10)
    end = wire.playout.flush()
    assert end == 4800 + 192
    assert wire.playout.written == end
    last, after = wire.run(2)
    assert last is not None
    assert last[:150].any()
    assert not last[192:].any()
    assert after is None
    assert wire.playout.position == end


def test_flush_says_nothing_of_an_end(wire: Wire) -> None:
    wire.playout.write(tone(1.0))
    wire.playout.finish()
    wire.run(10)
    wire.playout.flush()
    wire.run(10)
    assert wire.changes == [PlayoutChange.STARTED]


def test_flush_before_anything_was_heard_leaves_silence(wire: Wire) -> None:
    wire.playout.write(tone(1.0))
    assert wire.playout.flush() == 0
    assert wire.run(3) == [None] * 3
    assert wire.playout.written == wire.playout.position == 0


def test_what_is_written_after_a_flush_follows_the_faded_frame(wire: Wire) -> None:
    wire.playout.write(flat(48_000))
    wire.run(10)
    end = wire.playout.flush()
    assert wire.playout.write(flat(960)) == end
    wire.playout.finish()
    wire.run(5)
    assert wire.playout.position == end + 960
    assert wire.changes == [PlayoutChange.STARTED, PlayoutChange.STARTED, PlayoutChange.DRAINED]
    assert wire.largest_step() <= LOUD / 150


def test_pause_holds_the_queue_and_resume_goes_on_from_there(wire: Wire) -> None:
    pcm = tone(1.0)
    wire.playout.write(pcm)
    wire.run(10)
    wire.playout.pause()
    wire.run(20)
    assert wire.playout.position == 4800 + 192
    assert wire.frames[11:] == [None] * 19
    wire.playout.resume()
    frame = wire.run(2)[1]
    assert frame is not None
    assert np.array_equal(frame, pcm[4992 + 480 : 4992 + 960])
    assert wire.changes == [PlayoutChange.STARTED]


def test_a_pause_taken_back_before_the_next_frame_changes_nothing(wire: Wire) -> None:
    pcm = tone(1.0)
    wire.playout.write(pcm)
    wire.run(10)
    wire.playout.pause()
    wire.playout.resume()
    wire.run(10)
    assert np.array_equal(wire.audio[4800:9600], pcm[4800:9600])


def test_flush_ends_a_pause(wire: Wire) -> None:
    wire.playout.write(tone(1.0))
    wire.run(10)
    wire.playout.pause()
    wire.run(5)
    assert wire.playout.flush() == wire.playout.position == 4992
    wire.playout.write(tone(0.1))
    assert wire.run(1)[0] is not None


def test_ducking_ramps_within_one_frame_and_stays(wire: Wire) -> None:
    wire.playout.write(flat(24_000))
    wire.run(5)
    wire.playout.duck(0.2)
    ramp, ducked = wire.run(2)
    assert ramp is not None
    assert ducked is not None
    assert ramp[0] == pytest.approx(LOUD, rel=0.01)
    assert ramp[-1] == pytest.approx(0.2 * LOUD, rel=0.01)
    assert set(ramp[FADE_SAMPLES:]) == {2000}
    assert set(ducked) == {2000}
    wire.playout.duck(1.0)
    full = wire.run(2)[1]
    assert full is not None
    assert set(full) == {LOUD}


@pytest.mark.parametrize("gain", [-0.1, 1.5, float("nan")])
def test_a_gain_out_of_range_is_refused(playout: Playout, gain: float) -> None:
    with pytest.raises(ValueError, match="gain"):
        playout.duck(gain)


@pytest.mark.parametrize("samples", [480, 700, 960, 1000, 1100, 4800, 4801, 5279])
@pytest.mark.parametrize("finished", [True, False])
def test_start_and_end_never_click(wire: Wire, samples: int, finished: bool) -> None:
    wire.playout.write(flat(samples))
    if finished:
        wire.playout.finish()
    wire.run(20)
    assert wire.playout.position == samples
    assert wire.largest_step() <= LOUD / 30


def test_random_commands_never_click_and_never_lose_count() -> None:
    rng = np.random.default_rng(17)
    playout = Playout()
    wire = Wire(playout)
    heard = 0
    for _ in range(4000):
        choice = rng.integers(0, 12)
        if choice < 4:
            playout.write(flat(int(rng.integers(200, 3000))))
        elif choice == 4:
            playout.finish()
        elif choice == 5:
            assert playout.flush() <= playout.position + 192
        elif choice == 6:
            playout.pause()
        elif choice in (7, 8):
            playout.resume()
        elif choice == 9:
            playout.duck(float(rng.uniform(0.1, 1.0)))
        wire.run(int(rng.integers(0, 4)))
        assert heard <= playout.position <= playout.written
        heard = playout.position
    assert heard > 100_000
    assert wire.largest_step() <= LOUD / 20


def test_the_queue_is_bounded_and_says_so(playout: Playout) -> None:
    minute = np.zeros(60 * SEND_RATE, dtype=np.int16)
    playout.write(minute)
    playout.write(minute)
    with pytest.raises(PlayoutFullError, match="do not fit"):
        playout.write(minute[:1])
    assert playout.written == 120 * SEND_RATE
    playout.next_frame(0.0)
    playout.write(minute[:480])


@pytest.mark.parametrize("pcm", [np.zeros((2, 480), dtype=np.int16), np.zeros(480, dtype=np.float32)])
def test_anything_but_mono_int16_is_refused(playout: Playout, pcm: Pcm) -> None:
    with pytest.raises(ValueError, match="int16"):
        playout.write(pcm)


def test_what_is_written_is_copied(wire: Wire) -> None:
    pcm = flat(1920)
    wire.playout.write(pcm)
    pcm[:] = 0
    wire.run(2)
    assert wire.audio[500] == LOUD


def test_after_a_pause_what_was_said_can_be_said_again(wire: Wire) -> None:
    ramp = np.arange(0, 9600, dtype=np.int16)
    wire.playout.write(ramp)
    wire.run(10)
    wire.playout.pause()
    wire.run(3)
    wire.playout.resume(3000)
    assert wire.playout.position == 3000
    again = wire.run(1)[0]
    assert again is not None
    assert np.array_equal(again[FADE_SAMPLES:], ramp[3000 + FADE_SAMPLES : 3480])
    wire.run(20)
    assert wire.playout.position == wire.playout.written == 9600


def test_no_more_is_said_again_than_is_kept(wire: Wire) -> None:
    wire.playout.write(tone(5.0))
    wire.run(200)
    wire.playout.pause()
    wire.run(2)
    stopped = wire.playout.position
    wire.playout.resume(0)
    assert KEPT_SAMPLES <= stopped - wire.playout.position <= KEPT_SAMPLES + 480


def test_nothing_is_said_again_without_a_pause(wire: Wire) -> None:
    wire.playout.write(tone(1.0))
    wire.run(10)
    wire.playout.resume(0)
    assert wire.playout.position == 4800
