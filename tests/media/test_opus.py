"""The codec for real: round trips, redundancy against concealment, hostile payloads, settings."""

import random

import numpy as np
import pytest

from media.opus import SILENCE, OpusDecoder, OpusEncoder, OpusError, has_fec, packet_duration
from media.values import Pcm
from tests.media.signals import segmental_snr, voice


def encoded(pcm: Pcm, encoder: OpusEncoder) -> list[bytes]:
    return [encoder.encode(pcm[i : i + 480]) for i in range(0, len(pcm) - 479, 480)]


def decoded(payloads: list[bytes]) -> Pcm:
    decoder = OpusDecoder()
    return np.concatenate([decoder.decode(payload) for payload in payloads])


def lossy(payloads: list[bytes], lost: set[int], fec: bool) -> Pcm:
    """Decode with the lost packets filled from the next one's redundancy, or concealed."""
    decoder = OpusDecoder()
    pieces = []
    for i, payload in enumerate(payloads):
        if i not in lost:
            pieces.append(decoder.decode(payload))
        elif fec and i + 1 not in lost:
            pieces.append(decoder.decode_fec(payloads[i + 1], 320))
        else:
            pieces.append(decoder.conceal(320))
    return np.concatenate(pieces)


@pytest.fixture(scope="module")
def speech() -> list[bytes]:
    """4 s of a voice, encoded for a lossy path."""
    encoder = OpusEncoder()
    encoder.set_packet_loss(20)
    return encoded(voice(4.0, 24_000), encoder)


def test_a_frame_of_20_ms_decodes_to_320_samples(speech: list[bytes]) -> None:
    pcm = OpusDecoder().decode(speech[0])
    assert pcm.shape == (320,)
    assert pcm.dtype == np.int16


def test_speech_survives_the_round_trip() -> None:
    pcm = voice(4.0, 24_000)
    back = decoded(encoded(pcm, OpusEncoder(bitrate=64_000)))
    reference = voice(4.0, 16_000)
    correlation = np.correlate(back.astype(float), reference[400:-400].astype(float), "valid")
    peak = correlation.max() / (np.linalg.norm(back.astype(float)) * np.linalg.norm(reference.astype(float)))
    assert peak > 0.8


def test_the_constant_silence_frame_decodes_to_zeros() -> None:
    pcm = OpusDecoder().decode(SILENCE)
    assert pcm.shape == (320,)
    assert not pcm.any()


def test_redundancy_recovers_what_concealment_cannot(speech: list[bytes]) -> None:
    rng = random.Random(3)
    lost = {i for i in range(5, len(speech) - 5) if rng.random() < 0.15}
    intact = decoded(speech)
    with_fec = segmental_snr(intact, lossy(speech, lost, fec=True), lost)
    with_plc = segmental_snr(intact, lossy(speech, lost, fec=False), lost)
    assert with_fec > with_plc + 3.0


def test_has_fec_tells_which_packets_carry_redundancy(speech: list[bytes]) -> None:
    without = OpusEncoder()
    without.set_packet_loss(0)
    assert sum(map(has_fec, speech)) > 0.7 * len(speech)
    assert not any(map(has_fec, encoded(voice(1.0, 24_000), without)))
    assert not has_fec(SILENCE)
    assert not has_fec(b"")


def test_concealment_fades(speech: list[bytes]) -> None:
    decoder = OpusDecoder()
    for payload in speech[:40]:
        decoder.decode(payload)
    levels = [float(np.abs(decoder.conceal(320)).mean()) for _ in range(40)]
    assert levels[0] > 100
    assert levels[-1] < levels[0] / 4


@pytest.mark.parametrize("samples", [40, 160, 640, 1920])
def test_any_multiple_of_2_5_ms_can_be_concealed(samples: int) -> None:
    assert OpusDecoder().conceal(samples).shape == (samples,)


@pytest.mark.parametrize("samples", [0, -1, 41, 1921])
def test_other_lengths_are_refused(samples: int) -> None:
    with pytest.raises(OpusError):
        OpusDecoder().conceal(samples)


@pytest.mark.parametrize("payload", [b"", b"\x4b", b"\x4b\x00", b"\x4b\xff", b"\x49\x01\x02\x03"])
def test_a_malformed_payload_raises_and_leaves_the_stream_intact(payload: bytes, speech: list[bytes]) -> None:
    decoder = OpusDecoder()
    pieces = []
    for i, good in enumerate(speech[:60]):
        if i % 10 == 5:
            with pytest.raises(OpusError):
                decoder.decode(payload)
        pieces.append(decoder.decode(good))
    assert np.array_equal(np.concatenate(pieces), decoded(speech[:60]))


def test_ten_thousand_hostile_payloads_do_not_break_the_decoder(speech: list[bytes]) -> None:
    rng = random.Random(11)
    decoder = OpusDecoder()
    refused = 0
    for _ in range(10_000):
        payload = rng.randbytes(rng.choice([0, 1, 2, 3, 10, 60, 200, 1500]))
        try:
            pcm = decoder.decode(payload)
        except OpusError:
            refused += 1
        else:
            assert 40 <= len(pcm) <= 1920
    assert 500 < refused < 9500
    after = np.concatenate([decoder.decode(payload) for payload in speech])
    clean = decoded(speech)
    # The first frames carry over what the noise left in the filters; then the streams are one again.
    frames = set(range(25, len(speech)))
    assert segmental_snr(clean, after, frames) > 20.0


def test_packet_duration_reads_the_header_alone() -> None:
    assert packet_duration(SILENCE) == 960
    assert packet_duration(b"\x58" + b"x" * 20) == 2880
    assert packet_duration(b"\xe1\x01\x02") == 240
    with pytest.raises(OpusError):
        packet_duration(b"\x4b\x3f")


def test_a_reset_decoder_decodes_as_a_new_one(speech: list[bytes]) -> None:
    decoder = OpusDecoder()
    for payload in speech[50:80]:
        decoder.decode(payload)
    decoder.reset()
    again = np.concatenate([decoder.decode(payload) for payload in speech[:20]])
    assert np.array_equal(again, decoded(speech[:20]))


def test_the_bitrate_is_kept() -> None:
    pcm = voice(6.0, 24_000)
    encoder = OpusEncoder(bitrate=24_000)
    low = sum(map(len, encoded(pcm, encoder))) * 8 / 6
    encoder.set_bitrate(48_000)
    high = sum(map(len, encoded(pcm, encoder))) * 8 / 6
    assert 12_000 < low < 27_000
    assert high > 1.4 * low


def test_frames_of_another_length_or_type_are_refused() -> None:
    encoder = OpusEncoder()
    with pytest.raises(OpusError, match="480"):
        encoder.encode(np.zeros(320, dtype=np.int16))
    with pytest.raises(OpusError, match="float32"):
        encoder.encode(np.zeros(480, dtype=np.float32))  # type: ignore[arg-type]


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(OpusError):
        OpusEncoder().set_packet_loss(101)
    with pytest.raises(OpusError):
        OpusDecoder(rate=11_025)


def test_a_closed_codec_refuses_and_may_be_closed_again() -> None:
    decoder, encoder = OpusDecoder(), OpusEncoder()
    for codec in (decoder, encoder):
        codec.close()
        codec.close()
        codec.reset()
    with pytest.raises(OpusError, match="closed"):
        decoder.decode(SILENCE)
    with pytest.raises(OpusError, match="closed"):
        encoder.encode(np.zeros(480, dtype=np.int16))
