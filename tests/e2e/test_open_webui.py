"""What open-webui sends, as its sources have it (routers/audio.py, routers/openai.py, retrieval), replayed.

Its own server is no dependency of the tests: these are its requests, with the base URL that people enter there.
"""

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.serving import RunningServer


@pytest.fixture(params=["/v1", "/v1/"])
def base(server: RunningServer, request: pytest.FixtureRequest) -> str:
    """As it is entered; paths are joined to it with a slash in front."""
    return f"{server.url}{request.param}"


def at(base: str, path: str) -> URL:
    return URL(f"{base}{path}", encoded=True)


async def test_voices_and_models_fill_its_audio_settings(base: str) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(at(base, "/audio/models")) as response:
            models = (await response.json()).get("models", [])
        async with http.get(at(base, "/audio/voices")) as response:
            voices = {voice["id"]: voice["name"] for voice in (await response.json()).get("voices", [])}
    assert all(model["id"] for model in models)
    assert models
    assert voices


async def test_an_answer_is_read_aloud_and_a_recording_is_heard(base: str, shared_audio: Path) -> None:
    spoken = {"model": "tts-1", "input": "Good morning.", "voice": "alloy"}
    form = aiohttp.FormData()
    form.add_field("file", (shared_audio / "weather.wav").read_bytes(), filename="3f1c.wav")
    form.add_field("model", "whisper-1")
    async with aiohttp.ClientSession() as http:
        async with http.post(at(base, "/audio/speech"), json=spoken) as response:
            assert response.status == 200
            assert (await response.read())[0] == 0xFF
        async with http.post(at(base, "/audio/transcriptions"), data=form) as response:
            assert response.status == 200
            assert "weather" in (await response.json())["text"].lower()


CHAT: list[dict[str, Any]] = [
    {"stream": True, "stream_options": {"include_usage": True}},
    # Titles, tags, queries for searches: its tasks.
    {"stream": False, "max_completion_tokens": 8, "metadata": {"task": "title_generation"}},
    {"stream": False, "max_tokens": 8, "messages": [{"role": "system", "content": "Say a word."}]},
    {"stream": False, "max_tokens": 8, "response_format": {"type": "json_object"}},
]


@pytest.mark.parametrize("more", CHAT)
async def test_it_chats(base: str, more: dict[str, Any]) -> None:
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8, **more}
    async with aiohttp.ClientSession() as http, http.post(at(base, "/chat/completions"), json=asked) as response:
        assert response.status == 200, await response.text()
        if not asked["stream"]:
            assert (await response.json())["choices"][0]["message"]["content"]
            return
        lines = [line async for line in response.content if line.strip()]
    assert lines[-1].strip() == b"data: [DONE]"


async def test_it_puts_documents_into_vectors_and_lists_models(base: str) -> None:
    asked = {"input": ["One.", "Two."], "model": "text-embedding-3-small"}
    async with aiohttp.ClientSession() as http:
        async with http.post(at(base, "/embeddings"), json=asked) as response:
            vectors = [each["embedding"] for each in (await response.json())["data"]]
        async with http.get(at(base, "/models")) as response:
            listed = [model["id"] for model in (await response.json())["data"]]
    assert len(vectors) == 2
    assert listed
