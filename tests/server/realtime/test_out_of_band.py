"""Responses beside the conversation, made by a server whose engines are scripted, and told openai-python."""

from pathlib import Path

import pytest

from tests.e2e.realtime_client import client, connected
from tests.server.scripted import PAUSE_S, REPLY, WORD_S, scripted_server


@pytest.mark.parametrize(
    ("form", "bytes_a_second"), [("audio/pcm", 48_000), ("audio/pcmu", 8_000), ("audio/pcma", 8_000)]
)
async def test_all_that_was_synthesised_is_sent_whatever_it_is_encoded_as(
    form: str, bytes_a_second: int, tmp_path: Path
) -> None:
    said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Count."}]}]
    async with scripted_server(tmp_path) as server, client(server.url) as made, connected(made) as heard:
        output = {"output": {"format": {"type": form}}}
        await heard.connection.session.update(session={"type": "realtime", "audio": output})
        await heard.wait("session.updated")
        await heard.connection.response.create(response={"conversation": "none", "input": said})
        assert (await heard.wait("response.done"))["response"]["status"] == "completed"
        words = len(REPLY.split())
        assert len(heard.audio) == pytest.approx(words * (WORD_S + PAUSE_S) * bytes_a_second, abs=6)
