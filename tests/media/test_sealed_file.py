"""Sealed files: read from anywhere, also while they grow; nothing in them can be read or changed without a key."""

import base64
import os
from pathlib import Path

import numpy as np
import pytest

from media.recording_file import OggOpusFile, duration_s
from media.sealed_file import (
    CHUNK_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    SealedFileError,
    SealedReader,
    SealedWriter,
    SealingKeys,
    UnknownKeyError,
    is_sealed,
    rewrap,
)
from media.values import SEND_RATE

WHOLE = CHUNK_BYTES + TAG_BYTES


def keys(*names: str) -> SealingKeys:
    """Keys with these ids, always the same ones."""
    found = SealingKeys.parse(f"{name}:{base64.b64encode(name.encode().ljust(32, b'.')).decode()}" for name in names)
    assert found is not None
    return found


@pytest.fixture
def data() -> bytes:
    return bytes(np.random.default_rng(1).integers(0, 256, 3 * CHUNK_BYTES + 100, np.uint8))


def sealed(path: Path, data: bytes, with_keys: SealingKeys, *, close: bool = True) -> SealedWriter:
    writer = SealedWriter(path, with_keys)
    for start in range(0, len(data), 1000):
        writer.write(data[start : start + 1000])
    if close:
        writer.close()
    return writer


def opened(path: Path, with_keys: SealingKeys | None) -> bytes:
    with SealedReader(path, with_keys) as reader:
        return reader.read(0, reader.size)


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_what_is_written_is_read(length: int, tmp_path: Path) -> None:
    data = os.urandom(length)
    sealed(tmp_path / "f", data, keys("a"))
    assert opened(tmp_path / "f", keys("a")) == data
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o600


def test_ranges_are_those_of_the_plain_file(data: bytes, tmp_path: Path) -> None:
    sealed(tmp_path / "f", data, keys("a"))
    (tmp_path / "plain").write_bytes(data)
    with SealedReader(tmp_path / "f", keys("a")) as reader, SealedReader(tmp_path / "plain", None) as plain:
        assert reader.size == plain.size == len(data)
        for start, count in (
            (0, 10),
            (CHUNK_BYTES - 5, 10),
            (5000, 7000),
            (len(data) - 3, 10),
            (len(data), 5),
            (0, 10**9),
        ):
            assert reader.read(start, count) == plain.read(start, count) == data[start : start + count]


def test_nothing_of_it_stands_in_the_file(tmp_path: Path) -> None:
    text = b"marmalade " * 2000
    sealed(tmp_path / "f", text, keys("a"))
    assert is_sealed(tmp_path / "f")
    assert b"marmalade" not in (tmp_path / "f").read_bytes()
    sealed(tmp_path / "g", text, keys("a"))
    assert (tmp_path / "f").read_bytes()[HEADER_BYTES:] != (tmp_path / "g").read_bytes()[HEADER_BYTES:]


def test_a_file_that_grows_or_whose_writer_was_killed_is_read_up_to_its_last_whole_chunk(
    data: bytes, tmp_path: Path
) -> None:
    writer = sealed(tmp_path / "f", data, keys("a"), close=False)
    assert opened(tmp_path / "f", keys("a")) == data[: 3 * CHUNK_BYTES]
    writer.close()
    whole = (tmp_path / "f").read_bytes()
    for cut in (
        HEADER_BYTES,
        HEADER_BYTES + 5,
        HEADER_BYTES + 100,
        HEADER_BYTES + WHOLE,
        HEADER_BYTES + 2 * WHOLE + 77,
    ):
        (tmp_path / "cut").write_bytes(whole[:cut])
        chunks = (cut - HEADER_BYTES) // WHOLE
        assert opened(tmp_path / "cut", keys("a")) == data[: chunks * CHUNK_BYTES]


def test_what_was_changed_or_moved_is_not_believed(data: bytes, tmp_path: Path) -> None:
    sealed(tmp_path / "f", data, keys("a"))
    whole = (tmp_path / "f").read_bytes()
    first, second = whole[HEADER_BYTES : HEADER_BYTES + WHOLE], whole[HEADER_BYTES + WHOLE : HEADER_BYTES + 2 * WHOLE]
    rest = whole[HEADER_BYTES + 2 * WHOLE :]
    flipped = bytearray(whole)
    flipped[HEADER_BYTES + 7] ^= 1
    sealed(tmp_path / "other", data, keys("a"))
    other = (tmp_path / "other").read_bytes()
    for wrong in (
        bytes(flipped),
        whole[:HEADER_BYTES] + second + first + rest,
        whole[:HEADER_BYTES] + second + rest,
        whole[:HEADER_BYTES] + other[HEADER_BYTES:],
    ):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(SealedFileError, match="damaged"):
            opened(tmp_path / "wrong", keys("a"))
    head = bytearray(whole)
    head[HEADER_BYTES // 2 + 10] ^= 1
    (tmp_path / "wrong").write_bytes(bytes(head))
    with pytest.raises(SealedFileError, match="head"):
        opened(tmp_path / "wrong", keys("a"))
    (tmp_path / "wrong").write_bytes(whole[:50])
    with pytest.raises(SealedFileError, match="head"):
        opened(tmp_path / "wrong", keys("a"))


def test_after_a_rotation_old_files_open_until_they_are_wrapped_anew(data: bytes, tmp_path: Path) -> None:
    sealed(tmp_path / "f", data, keys("2025"))
    os.utime(tmp_path / "f", (1000, 1000))
    both = keys("2026", "2025")
    assert opened(tmp_path / "f", both) == data
    with pytest.raises(UnknownKeyError, match="2025"):
        opened(tmp_path / "f", keys("2026"))
    with pytest.raises(UnknownKeyError, match="2025"):
        opened(tmp_path / "f", None)
    body = (tmp_path / "f").read_bytes()[HEADER_BYTES:]
    assert rewrap(tmp_path / "f", both)
    assert not rewrap(tmp_path / "f", both)
    assert opened(tmp_path / "f", keys("2026")) == data
    assert (tmp_path / "f").read_bytes()[HEADER_BYTES:] == body
    assert (tmp_path / "f").stat().st_mtime == 1000


@pytest.mark.parametrize(
    "text", ["a", "a:", ":" + "QUFB" * 11, "a:QUFB", "a:not base64", "ü:" + "QUFB" * 11, "x" * 33 + ":"]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a key is an id"):
        SealingKeys.parse([text])


def test_keys_are_not_shown() -> None:
    assert "Li4u" not in repr(keys("a", "b"))
    with pytest.raises(ValueError, match="have the id"):
        keys("a", "a")


def test_a_sealed_recording_plays_and_has_its_length(tmp_path: Path) -> None:
    tone = (np.sin(np.arange(3 * SEND_RATE) / 20) * 8000).astype(np.int16)
    plain, secret = OggOpusFile(tmp_path / "plain.ogg"), OggOpusFile(tmp_path / "sealed.ogg", keys("a"))
    for start in range(0, len(tone), SEND_RATE // 2):
        for file in (plain, secret):
            file.write(tone[start : start + SEND_RATE // 2], tone[start : start + SEND_RATE // 2])
    plain.close()
    secret.close()
    found = opened(tmp_path / "sealed.ogg", keys("a"))
    assert found.startswith(b"OggS")
    assert b"OggS" not in (tmp_path / "sealed.ogg").read_bytes()
    assert (
        duration_s(tmp_path / "sealed.ogg", keys("a"))
        == duration_s(tmp_path / "plain.ogg")
        == pytest.approx(3, abs=0.1)
    )
    (tmp_path / "opened.ogg").write_bytes(found)
    assert duration_s(tmp_path / "opened.ogg") == duration_s(tmp_path / "plain.ogg")
