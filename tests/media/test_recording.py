"""Recordings: both sides in time with each other, on disk as they are made, private, and never in the way."""

import asyncio
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from media.recording import MAX_WAITING, Recorder
from media.recording_file import OggOpusFile, duration_s
from media.recording_timeline import HEARD_JUMP_S, LAG_S, SAID_JUMP_S, StereoTimeline, Track
from media.values import RECEIVE_RATE, SEND_RATE, Pcm
from tests.media.calls import call, endpoint, pitch, tone, until

FRAME = RECEIVE_RATE // 50


def decoded(path: Path) -> tuple[Pcm, Pcm]:
    """Both sides of a file at 48 kHz."""
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name in ("opus", "libopus")
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    pcm = np.concatenate(frames, axis=1)
    assert pcm.shape[0] == 2, "planar stereo"
    scaled = pcm if pcm.dtype == np.int16 else (pcm * 32767).astype(np.int16)
    return scaled[0], scaled[1]


def sounding(pcm: Pcm) -> tuple[float, float]:
    """Where the sound begins and ends, s."""
    loud = np.flatnonzero(np.abs(pcm) > 3000)
    return loud[0] / 48_000, loud[-1] / 48_000


async def test_a_call_is_recorded_with_each_side_where_it_was_heard(tmp_path: Path) -> None:
    recorder = Recorder()
    recording = recorder.begin(tmp_path / "deep" / "down" / "call.ogg")
    async with endpoint() as server, call(server, tap=recording) as (caller, peer, notes):
        said = await caller.say(tone(440, 0.6, 48_000))
        await until(lambda: notes.first_sound_after(said.first) is not None)
        peer.speaker.write(tone(1000, 0.8))
        peer.speaker.finish()
        played = await caller.wait_for_sound(time.monotonic(), 5)
        await until(lambda: len(notes.playout) == 2)
        gap = played - said.first
    recording.close()
    await asyncio.wrap_future(recording.ended)
    recorder.close()
    left, right = decoded(recording.path)
    left_begins, left_ends = sounding(left)
    right_begins, right_ends = sounding(right)
    assert left_ends - left_begins == pytest.approx(0.6, abs=0.05)
    assert right_ends - right_begins == pytest.approx(0.8, abs=0.05)
    assert right_begins - left_begins == pytest.approx(gap, abs=0.1)
    assert pitch(left[int(left_begins * 48_000) + 9600 :][:9600], 48_000) == pytest.approx(440, abs=15)
    assert pitch(right[int(right_begins * 48_000) + 9600 :][:9600], 48_000) == pytest.approx(1000, abs=15)
    assert duration_s(recording.path) == pytest.approx(len(left) / 48_000, abs=0.05)
    assert recording.path.stat().st_mode & 0o777 == 0o600
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "deep", tmp_path / "deep" / "down")} == {0o700}
    assert recording.dropped == 0


def test_a_killed_process_leaves_a_file_that_plays(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "call.ogg"
    script = f"""
        import time
        from pathlib import Path
        from media.recording import Recorder
        from tests.media.calls import tone
        recording = Recorder().begin(Path({str(path)!r}))
        sound, at = tone(440, 6, 16_000), time.monotonic()
        for number in range(300):
            recording.on_heard(sound[number * 320 : number * 320 + 320], at + number / 50)
            recording.on_said(None, at + number / 50)
        time.sleep(1.5)
        print("written", flush=True)
        time.sleep(60)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    left, right = decoded(path)
    assert len(left) / 48_000 > 4.5
    assert duration_s(path) == pytest.approx(len(left) / 48_000, abs=0.1)
    assert pitch(left[48_000:96_000], 48_000) == pytest.approx(440, abs=5)
    assert np.abs(right[48_000:]).max() < 30


def test_a_queue_that_is_full_drops_frames_and_counts_them(tmp_path: Path) -> None:
    recorder = Recorder()
    recording = recorder.begin(tmp_path / "call.ogg")
    silence = np.zeros(FRAME, np.int16)
    for _ in range(MAX_WAITING * 2):
        recording.on_heard(silence, 1.0)
    assert recording.dropped > 0
    recording.close()
    recorder.close()
    assert recording.ended.done()


def test_a_recording_that_cannot_be_written_costs_nobody_anything(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    recorder = Recorder()
    bad, good = recorder.begin(tmp_path / "taken" / "call.ogg"), recorder.begin(tmp_path / "good.ogg")
    sound = tone(440, 1, RECEIVE_RATE)
    for number in range(50):
        for recording in (bad, good):
            recording.on_heard(sound[number * FRAME : (number + 1) * FRAME], number / 50)
    recorder.close()
    assert bad.ended.done()
    assert good.ended.done()
    assert duration_s(good.path) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(OggOpusFile, "__init__"), (StereoTimeline, "add"), (OggOpusFile, "write"), (OggOpusFile, "close")],
)
def test_what_breaks_one_recording_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    bad, good = tmp_path / "bad.ogg", tmp_path / "good.ogg"
    works = getattr(owner, name)
    broken: list[Any] = []

    def breaks(self: Any, *given: Any) -> Any:
        # The first that comes to it is the one that began first.
        if name == "__init__" and given[0] == bad:
            raise ValueError("a codec that is not there")
        if name != "__init__" and (not broken or broken[0] is self):
            broken[:] = [self]
            raise ValueError("nothing that a disk does")
        return works(self, *given)

    monkeypatch.setattr(owner, name, breaks)
    recorder = Recorder()
    recordings = [recorder.begin(path) for path in (bad, good)]
    sound = tone(440, 1, RECEIVE_RATE)
    for number in range(50):
        for recording in recordings:
            recording.on_heard(sound[number * FRAME : (number + 1) * FRAME], number / 50)
    for recording in recordings:
        recording.close()
        recording.ended.result(60)
    recorder.close()
    assert duration_s(good) == pytest.approx(1.0, abs=0.05)


def steps(track: Track, count: int, first_s: float, wobble: float = 0.0, speed: float = 1.0) -> None:
    """Pieces of 20 ms one after the other, arriving early and late in turns."""
    for number in range(count):
        track.add(np.full(FRAME, 7, np.int16), first_s + number * 0.02 * speed + (wobble if number % 2 else -wobble))


def test_a_network_that_wobbles_leaves_no_hole() -> None:
    track = Track(RECEIVE_RATE, HEARD_JUMP_S)
    steps(track, 400, 0.02, wobble=0.1)
    assert track.end_s == pytest.approx(8.0)
    assert np.all(track.take(8.0) == 7)


def test_a_pause_on_the_wire_is_a_pause_in_the_recording() -> None:
    track = Track(RECEIVE_RATE, HEARD_JUMP_S)
    steps(track, 50, 0.02)
    steps(track, 50, 3.02)
    taken = track.take(4.0)
    assert np.all(taken[RECEIVE_RATE : 3 * RECEIVE_RATE] == 0)
    assert np.all(taken[3 * RECEIVE_RATE :] == 7)


def test_a_stall_of_the_server_moves_nothing_that_is_said_after_it() -> None:
    track = Track(SEND_RATE, SAID_JUMP_S)
    silence, sound = np.zeros(480, np.int16), np.full(480, 7, np.int16)
    for number in range(50):
        track.add(silence, 0.02 + number / 50)
    for number in range(50):
        track.add(silence if number < 2 else sound, 1.27 + number / 50)
    assert int(np.flatnonzero(track.take(2.0))[0]) == round(1.29 * SEND_RATE)


@pytest.mark.parametrize("speed", [0.995, 1.005])
def test_a_clock_that_runs_at_another_speed_is_followed(speed: float) -> None:
    track = Track(RECEIVE_RATE, HEARD_JUMP_S)
    steps(track, 3000, 0.02, speed=speed)
    assert track.end_s == pytest.approx(60 * speed, abs=0.1)


def test_a_side_that_lags_counts_as_silent_and_comes_back_in_time() -> None:
    timeline = StereoTimeline(100.0, RECEIVE_RATE, SEND_RATE)
    frames = round((LAG_S + 1.5) * 50)
    for number in range(frames):
        timeline.add(timeline.right, np.full(480, 5, np.int16), 100.02 + number / 50)
    left, right = timeline.take()
    assert (len(left), len(right)) == (1.5 * RECEIVE_RATE, 1.5 * SEND_RATE)
    assert not left.any()
    for number in range(frames, frames + 100):
        timeline.add(timeline.left, np.full(FRAME, 7, np.int16), 100.02 + number / 50)
        timeline.add(timeline.right, np.full(480, 5, np.int16), 100.02 + number / 50)
    left, right = timeline.take(everything=True)
    assert len(left) / RECEIVE_RATE == len(right) / SEND_RATE == LAG_S + 2.0
    assert not left[: round(LAG_S * RECEIVE_RATE)].any()
    assert np.all(left[round(LAG_S * RECEIVE_RATE) :] == 7)
    assert np.all(right == 5)


@pytest.mark.parametrize("filled", [False, True], ids=["nothing came", "silence took its place"])
@pytest.mark.parametrize("stall_s", [0.2, 2.0, 9.0])
def test_what_a_stall_held_back_is_recorded_where_it_was_said(stall_s: float, filled: bool) -> None:
    timeline = StereoTimeline(100.0, RECEIVE_RATE, SEND_RATE)
    sound = np.arange(1, round((stall_s + 4) * RECEIVE_RATE) + 1, dtype=np.int64) % 30_000 + 1
    frames = sound.astype(np.int16).reshape(-1, FRAME)
    stalled = range(100, 100 + round(stall_s * 50))
    taken = []
    for number in range(len(frames)):
        at = 100.02 + number / 50
        timeline.add(timeline.right, np.full(480, 5, np.int16), at)
        if number not in stalled:
            timeline.add(timeline.left, frames[number], at)
        elif filled:
            timeline.add(timeline.left, np.zeros(FRAME, np.int16), at)
        if number == stalled[-1]:
            for held_back in stalled:
                timeline.add(timeline.left, frames[held_back], 100.02 + held_back / 50)
        if number % 12 == 0:
            taken.append(timeline.take()[0])
    taken.append(timeline.take(everything=True)[0])
    assert np.array_equal(np.concatenate(taken), sound)
