"""A server that is to keep no words: what is said to it stands in none of its files and tables."""

import json
import shutil
from pathlib import Path

import aiohttp
import pytest

from persistence.journal.anteroom import SHARED_MEMORY
from server.client.caller import Caller
from tests.conftest import lacking
from tests.media.calls import until
from tests.persistence.test_not_stored import dumped, found_in_files
from tests.server.scripted import ask, events, place
from tests.server.webhooks.receiving import SECRET
from tests.serving import free_port, serving

WORDS = ("marmalade", "rhubarb", "gooseberry", "bilberry", "damson")

pytestmark = pytest.mark.timeout(600)


def in_shared_memory(what: bytes) -> bool:
    """Whether something stands where records wait for the disk (`persistence.journal.anteroom`)."""
    return any(what in room.read_bytes() for room in SHARED_MEMORY.glob("morgan-*") if room.is_file())


async def test_nothing_that_is_said_in_writing_or_aloud_is_found_on_disk(models_dir: Path, tmp_path: Path) -> None:
    if shutil.which("psql") is None:
        lacking("There is no psql: apt-get install postgresql-client.")
    # Nobody takes the webhooks, so they wait.
    hooks = {"MORGAN_WEBHOOK_URLS": f"http://localhost:{free_port()}/hook", "MORGAN_WEBHOOK_SECRET": SECRET}
    settings = {"MORGAN_STORE_TEXT": "off", "MORGAN_DRAIN_S": "8", **hooks}
    async with Caller() as caller:
        with serving(models_dir, tmp_path, **settings) as server:
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
                about = f"/api/conversations/{first['conversation_id']}"
                async with http.get(about, params={"user_id": "ada"}) as response:
                    assert (await response.json())["message_count"] == 0
                document = {"user_id": "ada", "source": "a.txt", "sections": [{"content": f"A jar of {WORDS[4]}."}]}
                async with http.post("/api/memory/documents", json=document) as response:
                    assert (response.status, (await response.json())["error"]["code"]) == (409, "text_not_stored")
                await place(http, caller, user_id="ada")
                ask(caller, f"What do you make of {WORDS[3]}?")
                await until(lambda: bool(events(caller, "response.done")), timeout=120)
                (done,) = [event["response"] for event in events(caller, "response.done")]
                answered = done["output"][0]["content"][0]["transcript"].strip()
                assert answered
            # (A reply of a word or two stands in any file.)
            words = [*WORDS, *(each for each in (first["text"], second["text"], heard, answered) if len(each) > 12)]
            known = json.loads((server.data_dir / "run" / "environment.json").read_text())
            database = dumped(known["MORGAN_POSTGRES_DSN"])
            assert first["conversation_id"] in database
            assert [word for word in words if word in database] == []
            # The log too is in that folder.
            everywhere = {word: found_in_files(server.data_dir, word.encode()) for word in words}
            assert everywhere == {word: set() for word in words}
        # It has stopped, and handed the call over: whatever it writes down at its end is there, too.
        data_dir = server.data_dir
        assert (data_dir / "run" / "handed-over.json").exists()
        assert {word: found_in_files(data_dir, word.encode()) for word in words} == {word: set() for word in words}
        assert [word for word in WORDS if in_shared_memory(word.encode())] == []
