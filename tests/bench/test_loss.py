"""The bench that loses packets: what it sends, loses and gets back is what it says."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from bench.loss import pieces, resampled, sent_by_aiortc, sent_by_morgan
from media.opus_format import OpusFormat
from media.values import RECEIVE_RATE, SEND_RATE, Pcm
from tests.media.signals import offset_of, segmental_snr, voice

SECONDS = 6.0


def at(share: float) -> Callable[[], bool]:
    rng = random.Random(11)
    return lambda: rng.random() < share


def likeness(pcm: Pcm, heard: Pcm) -> float:
    """Segmental SNR of what was heard to what was said, whatever the delay."""
    said = resampled(pcm, SEND_RATE, RECEIVE_RATE)
    delay = offset_of(said[: 2 * RECEIVE_RATE], heard)
    frames = (min(len(said), len(heard)) - 2 * delay) // 320
    return segmental_snr(said, heard[delay:], set(range(frames - 2)))


@pytest.fixture(scope="module")
def pcm() -> Pcm:
    return voice(SECONDS, SEND_RATE)


def test_with_redundancy_less_is_missing_than_without_and_than_with_aiortc(pcm: Pcm) -> None:
    with_fec = sent_by_morgan(pcm, OpusFormat(), at(0.1))
    without = sent_by_morgan(pcm, OpusFormat(fec=False), at(0.1))
    stock = sent_by_aiortc(pcm, at(0.1))
    assert with_fec.lost == without.lost == stock.lost > 10, "all lose the same packets"
    assert with_fec.redundant > with_fec.packets / 2
    assert without.redundant == 0
    assert likeness(pcm, with_fec.pcm) > likeness(pcm, without.pcm) + 0.5
    assert likeness(pcm, with_fec.pcm) > likeness(pcm, stock.pcm)


def test_without_loss_everything_arrives(pcm: Pcm) -> None:
    for received in (sent_by_morgan(pcm, OpusFormat(), at(0.0)), sent_by_aiortc(pcm, at(0.0))):
        assert received.lost == 0
        assert abs(len(received.pcm) / RECEIVE_RATE - SECONDS) < 0.1
        assert np.abs(received.pcm).max() > 5000


def test_long_packets_cost_fewer_headers(pcm: Pcm) -> None:
    short = sent_by_morgan(pcm, OpusFormat(20_000, 20), at(0.0))
    long = sent_by_morgan(pcm, OpusFormat(20_000, 40), at(0.0))
    assert long.packets * 2 == short.packets
    assert long.bits < 0.85 * short.bits


def test_speech_is_cut_into_whole_pieces() -> None:
    assert [len(piece) / SEND_RATE for piece in pieces(voice(20.0, SEND_RATE), 5)] == [8.0, 8.0]
