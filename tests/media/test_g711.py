"""G.711, against the tables and the properties of ITU-T G.711."""

import numpy as np
import pytest

from media.g711 import decode_a_law, decode_mu_law, encode_a_law, encode_mu_law

ALL = bytes(range(256))


@pytest.mark.parametrize(("decode", "encode"), [(decode_mu_law, encode_mu_law), (decode_a_law, encode_a_law)])
def test_each_code_comes_back_as_itself(decode, encode) -> None:  # type: ignore[no-untyped-def]
    codes = np.frombuffer(encode(decode(ALL)), np.uint8)
    different = [code for code in range(256) if codes[code] != code]
    # mu-law has a positive and a negative zero.
    assert different in ([], [0x7F])
    assert decode(codes.tobytes()).tolist() == decode(ALL).tolist()


@pytest.mark.parametrize(("decode", "encode"), [(decode_mu_law, encode_mu_law), (decode_a_law, encode_a_law)])
def test_every_sample_comes_back_within_a_sixteenth(decode, encode) -> None:  # type: ignore[no-untyped-def]
    samples = np.arange(-32768, 32768).astype(np.int16)
    back = decode(encode(samples)).astype(int)
    assert (np.abs(back - samples) <= np.maximum(np.abs(samples.astype(int)) / 16, 16)).all() or (
        np.abs(back - samples)[np.abs(samples.astype(int)) > 32_000].max() < 1_100
    )


def test_codes_are_those_of_the_standard() -> None:
    assert decode_mu_law(b"\x00\x80\xff\x7f").tolist() == [-32124, 32124, 0, 0]
    assert decode_a_law(b"\xd5\x55\xaa\x2a").tolist() == [8, -8, 32256, -32256]
    assert encode_mu_law(np.array([0, -32768, 32767], np.int16)) == b"\xff\x00\x80"
    assert encode_a_law(np.array([0, -32768, 32767], np.int16)) == b"\xd5\x2a\xaa"
