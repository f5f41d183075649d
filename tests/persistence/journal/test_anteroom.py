"""What a kill caught between being recorded and being in the journal's file is there at the next start."""

import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

from persistence.journal.anteroom import ROOM_BYTES, Anteroom
from persistence.journal.frames import Frame
from persistence.journal.journal import Journal

JOURNAL = uuid.uuid4()


def frames(first: int, count: int) -> list[Frame]:
    return [Frame(number, f'{{"n":{number}}}'.encode()) for number in range(first, first + count)]


def filled(folder: Path, first: int, count: int) -> Anteroom:
    room = Anteroom(folder, folder)
    for frame in frames(first, count):
        room.put(JOURNAL, frame)
    return room


def test_what_the_journal_lacks_is_taken_out_in_order(tmp_path: Path) -> None:
    filled(tmp_path, 8, 5)
    assert Anteroom(tmp_path, tmp_path).left(JOURNAL, 9) == frames(10, 3)
    assert Anteroom(tmp_path, tmp_path).left(JOURNAL, 12) == []


def test_what_was_left_for_another_journal_or_does_not_follow_is_nobodys(tmp_path: Path) -> None:
    filled(tmp_path, 8, 5)
    assert Anteroom(tmp_path, tmp_path).left(uuid.uuid4(), 9) == []
    assert Anteroom(tmp_path, tmp_path).left(JOURNAL, 3) == []


def test_older_frames_behind_newer_ones_are_not_taken_for_what_follows(tmp_path: Path) -> None:
    room = filled(tmp_path, 1, 9)
    room.clear()
    for frame in frames(10, 2):
        room.put(JOURNAL, frame)
    assert Anteroom(tmp_path, tmp_path).left(JOURNAL, 9) == frames(10, 2)


def test_a_full_room_keeps_what_it_has_until_it_is_emptied(tmp_path: Path) -> None:
    room = Anteroom(tmp_path, tmp_path)
    room.put(JOURNAL, Frame(1, b"{}", bytes(ROOM_BYTES // 2)))
    room.put(JOURNAL, Frame(2, b"{}", bytes(ROOM_BYTES // 2)))
    room.put(JOURNAL, Frame(3, b"{}"))
    assert [frame.number for frame in Anteroom(tmp_path, tmp_path).left(JOURNAL, 0)] == [1]
    room.clear()
    room.put(JOURNAL, Frame(4, b"{}"))
    assert [frame.number for frame in Anteroom(tmp_path, tmp_path).left(JOURNAL, 3)] == [4]


def test_a_file_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    filled(tmp_path, 1, 3)
    (path,) = tmp_path.iterdir()
    path.chmod(0o666)
    assert Anteroom(tmp_path, tmp_path).left(JOURNAL, 0) == []
    path.unlink()
    (tmp_path / "elsewhere").write_bytes(b"")
    path.symlink_to(tmp_path / "elsewhere")
    room = filled(tmp_path, 1, 3)
    assert room.left(JOURNAL, 0) == []
    assert (tmp_path / "elsewhere").stat().st_size == 0


def test_a_clean_end_leaves_no_memory_taken(tmp_path: Path) -> None:
    filled(tmp_path, 1, 3).close()
    assert list(tmp_path.iterdir()) == []


def test_a_record_is_safe_from_a_kill_as_soon_as_append_returns(tmp_path: Path, repository: Path) -> None:
    script = f"""
        import asyncio, os, signal, uuid
        from datetime import UTC, datetime
        from pathlib import Path
        from persistence.config import PersistenceConfig
        from persistence.journal.operations import PutConversation
        from persistence.journal.outbox import Outbox
        from persistence.postgres.pool import Postgres

        async def main():
            outbox = Outbox(PersistenceConfig(Path({str(tmp_path)!r})), Postgres("postgresql://127.0.0.1:9/nowhere"))
            await outbox.start()
            for number in range(20):
                outbox.append(PutConversation(uuid.uuid4(), f"user {{number}}", "call", "en", datetime.now(tz=UTC)))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=repository, check=False)
    assert process.returncode == -signal.SIGKILL
    folder = tmp_path / "journal"
    journal = Journal(folder)
    room = Anteroom(folder)
    left = room.left(journal.id, journal.last)
    room.close()
    written = journal.read(0, 100, 1 << 20)
    journal.close(0)
    assert [frame.number for frame in [*written, *left]] == list(range(1, 21))
