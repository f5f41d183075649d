"""Strangers' files are decoded in processes that can do nothing else; what happens to one of those is one file's."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from media import decoder_pool
from media.audio_file import AudioFile, AudioFileError, NoAudioError, RawAudio, UnknownFormatError
from media.byte_budget import ByteBudget
from media.decoder_pool import DecodedAudio, DecoderBusyError, DecoderPool
from media.decoder_wire import Kind
from media.values import Pcm
from tests.media.signals import voice
from tests.media.test_audio_file import ENCODINGS, encoded

RATE = 16_000
CAPACITY = 1 << 20


@pytest_asyncio.fixture
async def pool() -> AsyncIterator[DecoderPool]:
    pool = DecoderPool(ByteBudget(CAPACITY), places=1)
    yield pool
    await pool.close()
    assert pool.budget.held == 0


async def opened(pool: DecoderPool, data: bytes) -> DecodedAudio:
    return await pool.open(data, RATE, longest_s=60)


async def heard(pool: DecoderPool, data: bytes, count: int = 10_000) -> Pcm:
    audio = await opened(pool, data)
    pieces = []
    while (piece := await audio.read(count)).size:
        pieces.append(piece)
    audio.close()
    return np.concatenate(pieces)


async def rest(audio: DecodedAudio) -> None:
    while (await audio.read(RATE)).size:
        pass


def here(data: bytes) -> Pcm:
    return AudioFile(data, RATE).read(RATE * 60)


@pytest.mark.parametrize(("container", "codec", "rate"), ENCODINGS)
async def test_a_file_sounds_the_same_as_if_it_were_decoded_here(
    pool: DecoderPool, container: str, codec: str, rate: int
) -> None:
    data = encoded(container, codec, rate, 3.0)
    assert np.array_equal(await heard(pool, data), here(data))


async def test_plain_samples_are_resampled_there_too(pool: DecoderPool) -> None:
    data = voice(2.0, 44_100).tobytes()
    audio = await pool.open(data, RATE, pcm_rate=44_100, longest_s=60)
    assert audio.expected_s == pytest.approx(2.0)
    whole = await audio.read(RATE * 60)
    audio.close()
    expected = RawAudio(data, 44_100, RATE).read(RATE * 60)
    assert abs(whole.size - expected.size) < 10
    assert np.abs(whole[1_000:30_000].astype(int) - expected[1_000:30_000]).max() < 10


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", NoAudioError), (b"hello", UnknownFormatError), (b"fLaC" + b"\0" * 900, AudioFileError)],
)
async def test_what_is_wrong_with_a_file_is_told_in_its_own_words(
    pool: DecoderPool, data: bytes, error: type[AudioFileError]
) -> None:
    with pytest.raises(AudioFileError) as told:
        await opened(pool, data)
    assert type(told.value) is error
    with pytest.raises(AudioFileError, match=str(told.value)):
        here(data)


async def test_a_long_file_is_held_no_further_than_there_is_room(pool: DecoderPool) -> None:
    data = encoded("flac", "flac", 16_000, 100.0)
    audio = await opened(pool, data)
    size, most = 0, 0
    while (piece := await audio.read(RATE)).size:
        most = max(most, pool.budget.held)
        size += piece.size
        await asyncio.sleep(0)
    audio.close()
    assert size == RATE * 100
    assert most <= CAPACITY < 2 * size


async def test_where_there_is_no_room_at_all_it_goes_on_piece_by_piece() -> None:
    pool = DecoderPool(ByteBudget(0))
    assert (await heard(pool, encoded("wav", "pcm_s16le", RATE, 20.0))).size == RATE * 20
    await pool.close()
    assert pool.budget.held == 0


async def test_whoever_closes_at_once_leaves_room_and_place(pool: DecoderPool) -> None:
    data = encoded("wav", "pcm_s16le", RATE, 100.0)
    for _ in range(3):
        (await opened(pool, data)).close()
    assert (await heard(pool, data)).size == RATE * 100


async def test_one_that_is_waited_for_no_more_leaves_its_place(pool: DecoderPool) -> None:
    first = await opened(pool, encoded("wav", "pcm_s16le", RATE, 100.0))
    waiting = asyncio.create_task(opened(pool, encoded("wav", "pcm_s16le", RATE)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    first.close()
    assert (await heard(pool, encoded("wav", "pcm_s16le", RATE))).size == RATE


async def test_a_file_for_which_no_place_comes_free_is_refused(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder_pool, "WAIT_S", 0.1)
    first = await opened(pool, encoded("wav", "pcm_s16le", RATE, 100.0))
    with pytest.raises(DecoderBusyError):
        await opened(pool, encoded("wav", "pcm_s16le", RATE))
    first.close()


# What goes wrong -----------------------------------------------------------------------------------------------------


def parent_of(pool: DecoderPool) -> int:
    assert pool._parent is not None
    return pool._parent.pid


def environment_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text()


def lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def killed(*pids: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a child may end by itself when its parent does
            os.kill(pid, signal.SIGKILL)
    # Until the sockets have told of it.
    await asyncio.sleep(0.1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_decoder_that_dies_costs_its_own_file_only(pool: DecoderPool) -> None:
    audio = await opened(pool, encoded("wav", "pcm_s16le", RATE, 100.0))
    await killed(*children(parent_of(pool)))
    with pytest.raises(AudioFileError, match="time and memory"):
        await rest(audio)
    audio.close()
    assert (await heard(pool, encoded("wav", "pcm_s16le", RATE))).size == RATE


async def test_one_that_hangs_is_ended(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoder_pool, "ANSWER_S", 0.5)
    audio = await opened(pool, encoded("wav", "pcm_s16le", RATE, 100.0))
    stopped = children(parent_of(pool))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    with pytest.raises(AudioFileError, match="time and memory"):
        await rest(audio)
    audio.close()
    # Those that stood ready were stopped as well.
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    assert (await heard(pool, encoded("wav", "pcm_s16le", RATE))).size == RATE


async def test_the_process_that_forks_is_started_anew_when_it_is_gone(pool: DecoderPool) -> None:
    data = encoded("wav", "pcm_s16le", RATE)
    await heard(pool, data)
    for _ in range(3):
        pid = parent_of(pool)
        await killed(*children(pid), pid)
        assert (await heard(pool, data)).size == RATE
    assert parent_of(pool) != pid


async def test_nobody_is_left_when_the_server_stops(pool: DecoderPool) -> None:
    await heard(pool, encoded("wav", "pcm_s16le", RATE))
    left = [parent_of(pool), *children(parent_of(pool))]
    await pool.close()
    while any(lives(pid) for pid in left):  # noqa: ASYNC110 - told by nobody
        await asyncio.sleep(0.01)


async def test_no_decoder_is_told_the_servers_secrets(pool: DecoderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORGAN_API_KEYS", "a-key-that-nobody-may-read")
    await heard(pool, encoded("wav", "pcm_s16le", RATE))
    assert "nobody-may-read" not in environment_of(parent_of(pool))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
@pytest.mark.parametrize(
    "crime",
    [
        "open('/etc/hostname')",
        "open('/dev/null', 'w')",
        "import socket; socket.socket()",
        "bytearray(1 << 30)",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import os; os.fork()",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    ],
)
def test_a_decoder_that_is_taken_over_can_do_little(crime: str) -> None:
    program = f"from media.decoder_process import _confine\n_confine()\nprint('confined', flush=True)\n{crime}\n"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (run.stdout, run.returncode) == ("confined\n", 1), run.stderr


def test_one_that_calculates_for_ever_is_ended_by_the_kernel() -> None:
    program = "from media.decoder_process import _wall\nimport media.decoder_process as own\nown.WALL_S = 0.2\n"
    program += "with _wall():\n    while True: pass\n"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert run.returncode == -signal.SIGALRM


async def test_a_decoder_that_talks_nonsense_does_not_make_a_file_seem_to_end(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = decoder_pool._Decoder._answer

    async def odd(self: decoder_pool._Decoder) -> tuple[Kind, bytes]:
        kind, payload = await answer(self)
        return kind, payload + b"\0" if kind is Kind.PCM else payload

    monkeypatch.setattr(decoder_pool._Decoder, "_answer", odd)
    audio = await opened(pool, encoded("wav", "pcm_s16le", RATE))
    with pytest.raises(AudioFileError):
        await rest(audio)
    audio.close()
