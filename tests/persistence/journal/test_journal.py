"""The journal on disk: what is written is read back in order, whatever the crash left."""

import os
import random
import resource
from pathlib import Path

import pytest

from persistence.journal.frames import Frame, pack, unpack
from persistence.journal.journal import Journal


def frames(first: int, count: int, blob: bytes = b"") -> list[Frame]:
    return [Frame(number, f'{{"n":{number}}}'.encode(), blob) for number in range(first, first + count)]


def numbers(journal: Journal, after: int = 0) -> list[int]:
    return [frame.number for frame in journal.read(after, 10_000, 1 << 30)]


def test_records_come_back_in_order_with_their_bytes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([Frame(1, b"{}", b"\x00\xff audio"), Frame(2, b'{"a":1}')], now=0)
    journal.close(0)
    assert Journal(tmp_path).read(0, 10, 1000) == [Frame(1, b"{}", b"\x00\xff audio"), Frame(2, b'{"a":1}')]


def test_torn_tail_at_every_byte_costs_only_the_torn_record(tmp_path: Path) -> None:
    whole = b"".join(pack(frame) for frame in frames(1, 3))
    second_ends = len(b"".join(pack(frame) for frame in frames(1, 2)))
    for cut in range(second_ends, len(whole)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / f"{1:020d}.log").write_bytes(whole[:cut])
        journal = Journal(folder)
        assert numbers(journal) == [1, 2]
        journal.append(frames(3, 2), now=0)
        assert numbers(journal) == [1, 2, 3, 4]
        journal.close(0)


def test_no_flipped_bit_is_taken_for_a_record() -> None:
    rng = random.Random(7)
    good = pack(Frame(5, b'{"text":"hello"}', b"bytes"))
    for _ in range(400):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        assert unpack(bytes(bad), 0) is None


def test_damage_in_the_middle_costs_the_rest_of_that_segment_and_keeps_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=200)
    journal.append(frames(1, 30), now=0)
    journal.close(0)
    first = sorted(tmp_path.glob("*.log"))[0]
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 0xFF
    first.write_bytes(data)
    kept = numbers(Journal(tmp_path, segment_bytes=200))
    second_begins = int(sorted(tmp_path.glob("*.log"))[1].stem)
    assert kept[0] == 1
    assert kept[-1] == 30
    assert set(range(1, 31)) - set(kept) <= set(range(1, second_begins))
    assert first.with_suffix(".damaged").read_bytes() == bytes(data)


def test_delivered_segments_go_and_numbers_go_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=200)
    journal.append(frames(1, 100), now=0)
    before = journal.pending_bytes
    journal.acknowledge(95)
    assert journal.pending_bytes < before / 4
    journal.close(0)
    again = Journal(tmp_path, segment_bytes=200)
    assert (again.delivered, again.last, numbers(again, 95)) == (95, 100, [96, 97, 98, 99, 100])
    again.acknowledge(100)
    again.close(0)
    assert Journal(tmp_path, segment_bytes=200).last == 100


def test_reading_on_from_where_the_last_read_stopped_misses_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    journal = Journal(tmp_path, segment_bytes=500)
    seen: list[int] = []
    written = 0
    while written < 400:
        count = rng.randrange(1, 12)
        journal.append(frames(written + 1, count, rng.randbytes(rng.randrange(40))), now=0)
        written += count
        got = [frame.number for frame in journal.read(seen[-1] if seen else 0, rng.randrange(1, 15), 300)]
        seen += got
        journal.acknowledge(seen[-1])
    while len(seen) < written:
        seen += [frame.number for frame in journal.read(seen[-1], 7, 300)]
    assert seen == list(range(1, written + 1))


def test_full_disk_is_told_and_what_was_written_before_is_sound(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append(frames(1, 3), now=0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(OSError, match="large"):
            journal.append(frames(4, 1, b"x" * 1000), now=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert numbers(journal) == [1, 2, 3]
    journal.append(frames(4, 1, b"x" * 1000), now=0)
    journal.close(0)
    assert numbers(Journal(tmp_path)) == [1, 2, 3, 4]


@pytest.mark.parametrize(("policy", "expected"), [("always", 3), ("interval", 2), ("never", 0)])
def test_fsync_follows_the_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str, expected: int) -> None:
    synced: list[str] = []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(Path(f"/proc/self/fd/{file}").readlink().suffix))
    journal = Journal(tmp_path, policy)  # type: ignore[arg-type]
    for number, now in ((1, 10.0), (2, 10.5), (3, 11.5)):
        journal.append(frames(number, 1), now)
    assert synced.count(".log") == expected
    journal.close(12)


def test_names_and_the_position_reach_the_disk_before_they_are_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a power cut would leave cannot be seen here; what is asked of the disk, and in which order, can.
    asked: list[str] = []
    fsync, replace = os.fsync, os.replace

    def recorded(file: int) -> None:
        asked.append(Path(f"/proc/self/fd/{file}").readlink().name)
        fsync(file)

    monkeypatch.setattr(os, "fsync", recorded)
    monkeypatch.setattr(os, "replace", lambda *paths: (asked.append("renamed"), replace(*paths))[1])
    journal = Journal(tmp_path, "always")
    assert asked == ["position.new", "renamed", tmp_path.name]
    asked.clear()
    journal.append(frames(1, 1), now=0)
    assert asked == [f"{1:020d}.log", tmp_path.name]
    asked.clear()
    journal.append(frames(2, 1), now=0)
    assert asked == [f"{1:020d}.log"]
    asked.clear()
    journal.acknowledge(1)
    assert asked == ["position.new", "renamed", tmp_path.name]
    journal.close(0)
    asked.clear()
    Journal(tmp_path / "quick", "never").append(frames(1, 1), now=0)
    assert asked == ["renamed"]
