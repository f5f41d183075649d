"""The calling client: what it says, when it says it, and what it hears."""

import asyncio
import time

import numpy as np
import pytest

from media.opus import OpusEncoder
from media.values import RECEIVE_RATE
from server.client.caller import Caller, CallFailedError
from server.client.caller_audio import Ear, Microphone
from tests.media.calls import Notes, call, endpoint, loud_part, pitch, tone, until


async def test_say_tells_when_its_first_and_last_sample_were_sent() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        await asyncio.sleep(0.2)
        began = time.monotonic()
        spoken = await caller.say(tone(440, 1.0, rate=16_000), rate=16_000)
        assert spoken.last - spoken.first == pytest.approx(0.98, abs=0.6)
        assert 0 <= spoken.first - began < 2
        assert time.monotonic() - spoken.last < 2
        await asyncio.sleep(0.1)
        last_heard = max(at for _, at, pcm in notes.audio if np.abs(pcm).max() > 3000)
        assert last_heard - spoken.last == pytest.approx(0, abs=0.8)


async def test_what_is_said_follows_what_is_being_said() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        first = caller.say(tone(400, 0.3, rate=48_000))
        second = caller.say(tone(800, 0.3, rate=48_000))
        assert (await second).first - (await first).last < 1
        await asyncio.sleep(0.1)
        sound = loud_part(notes.heard())
        half = len(sound) // 2
        assert pitch(sound[: half - 800], RECEIVE_RATE) == pytest.approx(400, abs=10)
        assert pitch(sound[half + 800 :], RECEIVE_RATE) == pytest.approx(800, abs=10)


async def test_hush_stops_talking_and_cancels_what_was_not_said() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        saying = caller.say(tone(400, 5, rate=48_000))
        await until(lambda: notes.first_sound_after(0.0))
        caller.hush()
        hushed_at = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await saying
        await asyncio.sleep(0.3)
        assert max(when for when, _, pcm in notes.audio if np.abs(pcm).max() > 3000) - hushed_at < 1


async def test_between_words_there_is_faint_noise_in_every_frame() -> None:
    async with endpoint() as server, call(server) as (_, _, notes):
        await asyncio.sleep(1.0)
        peaks = [np.abs(pcm).max() for _, _, pcm in notes.audio[10:]]
        assert len(peaks) > 30
        assert all(0 < peak < 200 for peak in peaks)


async def test_what_is_heard_is_kept_with_its_times() -> None:
    async with endpoint() as server, call(server) as (caller, peer, _):
        await asyncio.sleep(0.4)
        quiet_until = time.monotonic()
        assert caller.first_sound_after(0.0) is None
        peer.speaker.write(tone(600, 0.5))
        first = await caller.wait_for_sound(quiet_until)
        await asyncio.sleep(0.8)
        last = caller.silent_since()
        assert last is not None
        assert last - first == pytest.approx(0.5, abs=0.3)
        heard = caller.heard_pcm(24_000)
        # By the sender's clock: on a busy machine packets arrive in bursts.
        assert len(heard) / 24_000 == pytest.approx(caller.packets[-1].position / 48_000, abs=0.08)
        # In frames: a server that had no processor for a while goes on behind a gap of silence.
        frames = np.abs(heard[: len(heard) // 480 * 480].astype(np.int32)).reshape(-1, 480).max(axis=1)
        assert np.count_nonzero(frames > 3000) * 0.02 == pytest.approx(0.5, abs=0.06)


async def test_waiting_for_sound_in_vain_fails() -> None:
    async with endpoint() as server, call(server) as (caller, _, _):
        with pytest.raises(CallFailedError, match="nothing was heard"):
            await caller.wait_for_sound(time.monotonic(), timeout=0.2)
        with pytest.raises(CallFailedError, match="a message"):
            await caller.wait_for_message(bool, timeout=0.1)


async def test_using_a_caller_in_the_wrong_order_fails_clearly() -> None:
    async with Caller() as caller:
        with pytest.raises(CallFailedError, match=r"offer\(\) comes first"):
            await caller.accept("v=0")
        await caller.offer()
        with pytest.raises(CallFailedError, match="not open"):
            caller.send("too early")


async def test_reports_of_what_the_caller_received_reach_the_server() -> None:
    async with endpoint() as server, call(server) as (caller, peer, _):
        dtls = caller._sender().transport
        handle = dtls._handle_rtp_data
        count = 0

        async def lossy(data: bytes, arrival_time_ms: int) -> None:
            nonlocal count
            count += 1
            if count % 4:
                await handle(data, arrival_time_ms=arrival_time_ms)

        dtls._handle_rtp_data = lossy
        await until(lambda: (peer.stats().remote_fraction_lost or 0) > 0.1)
        assert peer.stats().remote_fraction_lost == pytest.approx(0.25, abs=0.1)


async def test_the_microphone_keeps_time_through_a_busy_loop() -> None:
    microphone = Microphone()
    began = time.monotonic()
    for index in range(50):
        packet = await microphone.recv()
        assert packet.pts == index * 960
        if index == 5:
            time.sleep(0.8)  # noqa: ASYNC251 - the loop is busy
    # The packets behind the busy loop come at once: 1.78 s if each of them waited for its 20 ms again.
    assert 0.97 <= time.monotonic() - began < 1.6


def test_the_ear_lays_packets_out_by_their_timestamps_and_leaves_out_late_ones() -> None:
    ear, encoder = Ear(), OpusEncoder(rate=24_000)
    payloads = [encoder.encode(frame) for frame in tone(500, 0.4).reshape(-1, 480)]
    start = 0xFFFFFFFF - 3 * 960
    for index, payload in enumerate(payloads):
        if index == 10:
            continue
        ear.hear((start + index * 960) & 0xFFFFFFFF, payload, at=index * 0.02)
    ear.hear((start + 10 * 960) & 0xFFFFFFFF, payloads[10], at=1.0)
    ear.hear((start + 11 * 960) & 0xFFFFFFFF, payloads[11], at=1.0)
    assert ear.late == 2
    pcm = ear.pcm()
    assert len(pcm) == 20 * 960
    assert np.abs(pcm[10 * 960 : 11 * 960]).max() == 0
    assert np.abs(pcm[9 * 960 : 10 * 960]).max() > 3000


def test_the_ear_takes_a_far_jump_of_timestamps_as_a_new_beginning() -> None:
    ear, encoder = Ear(), OpusEncoder(rate=24_000)
    for timestamp in (0, 960, 3_000_000_000, 3_000_000_960):
        ear.hear(timestamp, encoder.encode(tone(500, 0.02)), at=0.0)
    assert len(ear.pcm()) == 4 * 960


def test_the_ear_survives_a_payload_that_is_no_opus() -> None:
    ear = Ear()
    ear.hear(0, b"\xff" * 3, at=0.0)
    ear.hear(960, b"", at=0.02)
    assert ear.undecodable + len(ear.packets) >= 1


async def test_a_caller_without_an_answer_can_hang_up() -> None:
    async with endpoint() as server, Caller() as caller:
        await server.answer(await caller.offer(), Notes())
        began = time.monotonic()
        await caller.close()
        await caller.close()
        assert time.monotonic() - began < 3
