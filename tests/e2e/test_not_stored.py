"""A server that is to keep no words: what is said to it stands in none of its files and tables."""

import json
import shutil
from pathlib import Path

import aiohttp
import pytest

from tests.conftest import lacking
from tests.persistence.test_not_stored import dumped, found_in_files
from tests.serving import serving

WORDS = ("marmalade", "rhubarb", "gooseberry")

pytestmark = pytest.mark.timeout(600)


async def test_nothing_that_is_said_in_writing_or_aloud_is_found_on_disk(models_dir: Path, tmp_path: Path) -> None:
    if shutil.which("psql") is None:
        lacking("There is no psql: apt-get install postgresql-client.")
    with serving(models_dir, tmp_path, MORGAN_STORE_TEXT="off") as server:
        async with aiohttp.ClientSession(server.url) as http:
            asked = {"text": f"I like {WORDS[0]}.", "user_id": "ada"}
            async with http.post("/api/text", json=asked) as response:
                first = await response.json()
                assert response.status == 200, first
            asked = {"text": f"And {WORDS[1]}?", "user_id": "ada", "conversation_id": first["conversation_id"]}
            async with http.post("/api/text", json=asked) as response:
                second = await response.json()
                assert response.status == 200, second
            speech = {"model": "tts-1", "input": f"Here is some {WORDS[2]}.", "voice": "alloy"}
            async with http.post("/v1/audio/speech", json=speech) as response:
                assert response.status == 200
                sound = await response.read()
            upload = aiohttp.FormData({"model": "whisper-1"})
            upload.add_field("file", sound, filename="speech.mp3")
            async with http.post("/v1/audio/transcriptions", data=upload) as response:
                heard = (await response.json())["text"]
                assert heard
            async with http.get(
                f"/api/conversations/{first['conversation_id']}", params={"user_id": "ada"}
            ) as response:
                assert (await response.json())["message_count"] == 0
        words = [*WORDS, first["text"], second["text"], heard]
        known = json.loads((server.data_dir / "run" / "environment.json").read_text())
        database = dumped(known["MORGAN_POSTGRES_DSN"])
        assert first["conversation_id"] in database
        assert [word for word in words if word in database] == []
    # It has stopped: whatever it writes down at its end is there, too.
    data_dir = server.data_dir
    assert {word: found_in_files(data_dir, word.encode()) for word in words} == {word: set() for word in words}
