"""A new connection for the same call: what was queued is played on, once."""

import asyncio
import time

import pytest

from media.playout import Playout
from media.values import SEND_RATE, PlayoutChange
from server.client.caller import Caller
from tests.media.calls import Notes, call, endpoint, tone, until


async def test_queued_audio_goes_on_where_it_was_on_the_new_connection() -> None:
    async with endpoint() as server, call(server) as (before, old, _), Caller() as after:
        notes = Notes()
        began = time.monotonic()
        old.speaker.write(tone(500, 2.0))
        old.speaker.finish()
        await before.wait_for_sound(began)
        await asyncio.sleep(0.4)
        new = await server.answer(await after.offer(), notes, playout=old.speaker)
        assert new.speaker is old.speaker
        assert new.ice_ufrag != old.ice_ufrag
        await after.accept(new.answer)
        moved_at = await after.wait_for_sound(began)
        await old.close()
        await until(lambda: PlayoutChange.DRAINED in notes.changes())
        assert notes.playout[-1].position == 2 * SEND_RATE
        await asyncio.sleep(0.1)
        heard = sum(len(p.pcm) for p in before.packets + after.packets if p.dbfs > -45) / 48_000
        assert heard == pytest.approx(2.0, abs=0.1)
        last_on_old = before.silent_since()
        assert last_on_old is not None
        assert last_on_old - moved_at < 1


async def test_until_the_new_connection_stands_the_old_one_is_heard() -> None:
    async with endpoint() as server, call(server) as (before, old, _), Caller() as after:
        await server.answer(await after.offer(), Notes(), playout=old.speaker)
        began = time.monotonic()
        old.speaker.write(tone(500, 0.5))
        await before.wait_for_sound(began)


async def test_what_was_queued_while_no_connection_stood_is_heard_from_its_start() -> None:
    async with endpoint() as server, Caller() as after:
        async with call(server) as (_, old, _):
            speaker = old.speaker
            await old.close()
        speaker.write(tone(500, 0.6))
        speaker.finish()
        await asyncio.sleep(0.3)
        assert speaker.position == 0
        notes = Notes()
        new = await server.answer(await after.offer(), notes, playout=speaker)
        await after.accept(new.answer)
        await until(lambda: PlayoutChange.DRAINED in notes.changes())
        await asyncio.sleep(0.1)
        assert sum(len(p.pcm) for p in after.packets if p.dbfs > -45) / 48_000 == pytest.approx(0.6, abs=0.08)


async def test_the_third_connection_takes_over_from_whichever_was_playing() -> None:
    async with endpoint() as server, call(server) as (first, old, _), Caller() as second, Caller() as third:
        speaker = old.speaker
        await server.answer(await second.offer(), Notes(), playout=speaker)
        newest = await server.answer(await third.offer(), Notes(), playout=speaker)
        began = time.monotonic()
        speaker.write(tone(500, 1.5))
        await first.wait_for_sound(began)
        await third.accept(newest.answer)
        moved_at = await third.wait_for_sound(began)
        await asyncio.sleep(0.4)
        last_on_first = first.silent_since()
        assert last_on_first is not None
        assert last_on_first - moved_at < 0.35


async def test_a_stranger_s_speaker_is_refused() -> None:
    class Other:
        pass

    async with endpoint() as server, Caller() as caller:
        with pytest.raises(TypeError, match="speaker of a peer"):
            await server.answer(await caller.offer(), Notes(), playout=Other())  # type: ignore[arg-type]
        peer = await server.answer(await caller.offer(), Notes(), playout=Playout())
        assert peer.speaker.written == 0
