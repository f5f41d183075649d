"""With text or sound switched off, a search for the words through every file and table finds none of them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from persistence.config import PersistenceConfig
from persistence.errors import TextNotStoredError
from persistence.memory import Memory
from persistence.values import AudioTranscription, Passage, TtsGeneration
from tests.conftest import lacking
from tests.persistence.parts import WordEmbedder, item, texts

WORDS = ("marmalade", "rhubarb", "gooseberry", "damson", "bilberry")
SOUND = os.urandom(24)

pytestmark = pytest.mark.timeout(600)


def found_in_files(folder: Path, what: bytes) -> set[str]:
    """Top folders below the data directory with a file in which something stands, databases' own files among them."""
    return {
        path.relative_to(folder).parts[0]
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and what in path.read_bytes()
    }


def dumped(dsn: str) -> str:
    """The whole database as text."""
    program = shutil.which("psql")
    if program is None:
        lacking("There is no psql: apt-get install postgresql-client.")
    tables = (
        "SELECT format('TABLE %I.%I;', schemaname, tablename) FROM pg_tables "
        "WHERE schemaname IN ('public', 'morgan_meta', 'morgan_memory')"
    )
    command = [str(program), "-X", "-At", dsn]
    listed = subprocess.run([*command, "-c", tables], capture_output=True, text=True, check=True, timeout=60).stdout
    return subprocess.run(command, input=listed, capture_output=True, text=True, check=True, timeout=60).stdout


async def lived(folder: Path, **switches: bool) -> tuple[str, list[str]]:
    """A conversation with everything in it, on servers of its own; the database, and what was said while it went on."""
    memory = await Memory.open(PersistenceConfig(folder, **switches), WordEmbedder())  # type: ignore[arg-type]
    try:
        log = memory.begin_session("call_1", "ada")
        turn = item()
        log.user_turn(turn, f"I like {WORDS[0]}", language="en", metadata={"duration_ms": 900})
        log.transcription(AudioTranscription("call_1", f"I like {WORDS[0]}", message_id=turn))
        log.reply(item(), f"And I like {WORDS[1]}")
        log.latency(turn, {"stt": 12.0})
        memory.record_transcription(AudioTranscription("upload_1", f"an upload about {WORDS[2]}"))
        speech = TtsGeneration("k", f"And {WORDS[3]}", "joe", "pcm", 24000, 10, SOUND)
        memory.tts.put(speech, log.conversation_id)
        given = memory.add_document("ada", "a.txt", "A text", "1", [Passage(f"A jar of {WORDS[4]}", "")])
        if memory.config.store_text:
            await given
        else:
            with pytest.raises(TextNotStoredError):
                await given
        assert await memory.outbox.settle(60)
        assert await memory.redis.flush(10)
        assert await memory.worker.idle(60)
        # While it goes on, a conversation knows what was said in it, and speech that was made is not made again.
        context = texts(await memory.context("ada", str(log.conversation_id)))
        assert await memory.tts.get("k") == speech
        redis = await memory.redis._client.get("conversation:ada")
        return dumped(memory.postgres.dsn) + str(redis), context
    finally:
        memory.end_session("call_1", "hangup")
        await memory.close()


async def test_words_are_everywhere_where_nothing_is_switched_off(tmp_path: Path) -> None:
    """Or the tests below would look in the wrong places."""
    database, context = await lived(tmp_path)
    assert all(word in database for word in WORDS)
    assert len(context) == 2
    assert "postgres" in found_in_files(tmp_path, WORDS[0].encode())
    assert "qdrant" in found_in_files(tmp_path, WORDS[0].encode())
    assert "postgres" in found_in_files(tmp_path, SOUND)


async def test_without_text_no_word_is_on_disk_or_in_a_database(tmp_path: Path) -> None:
    database, context = await lived(tmp_path, store_text=False)
    assert context == [f"I like {WORDS[0]}", f"And I like {WORDS[1]}"]
    assert [word for word in WORDS if word in database] == []
    assert {word: found_in_files(tmp_path, word.encode()) for word in WORDS} == {word: set() for word in WORDS}
    assert found_in_files(tmp_path, SOUND) == set()
    # That somebody called is kept.
    assert "call_1" in database


async def test_without_audio_the_words_are_kept_and_no_sound(tmp_path: Path) -> None:
    database, _ = await lived(tmp_path, store_audio=False)
    assert all(word in database for word in WORDS[:3])
    assert WORDS[3] not in database
    assert found_in_files(tmp_path, SOUND) == set()
