"""`WS /v1/realtime` with openai-python as it is, real models and a real server."""

import base64
from pathlib import Path
from typing import Any

import aiohttp
import httpx2
import numpy as np
import pytest

from media import g711
from tests.e2e.realtime_client import Heard, client, connected, gone, silence_going_on, sound

CLIPS = Path(__file__).parent.parent / "clips"

QUESTION = CLIPS / "question.wav"

pytestmark = pytest.mark.timeout(400)


async def update(heard: Heard, **session: Any) -> None:
    count = len(heard.all("session.updated"))
    await heard.connection.session.update(session={"type": "realtime", **session})
    await heard.wait("session.updated", count + 1)


async def test_a_question_is_heard_and_answered_aloud(server_url: str) -> None:
    async with client(server_url) as made, connected(made) as heard:
        await update(heard, instructions="Answer in one short sentence.")
        await heard.say(sound(QUESTION), 1.0)
        async with silence_going_on(heard):
            done = (await heard.wait("response.done"))["response"]
        transcript = heard.all("conversation.item.input_audio_transcription.completed")[-1]["transcript"]
        assert "how are you" in transcript.lower()
        assert done["status"] == "completed"
        assert done["output"][0]["content"][0]["transcript"]
        assert done["usage"]["input_tokens"] > 10
        assert done["usage"]["output_tokens"] > 0
        samples = np.frombuffer(bytes(heard.audio), "<i2")
        assert len(samples) > 24_000 / 4
        assert np.abs(samples).max() > 1_000
        assert not heard.all("error")


@pytest.mark.parametrize("law", ["audio/pcmu", "audio/pcma"])
async def test_a_question_over_g711_is_heard_and_answered_in_it(server_url: str, law: str) -> None:
    encode, decode = {
        "audio/pcmu": (g711.encode_mu_law, g711.decode_mu_law),
        "audio/pcma": (g711.encode_a_law, g711.decode_a_law),
    }[law]
    async with client(server_url) as made, connected(made) as heard:
        await update(heard, audio={"input": {"format": {"type": law}}, "output": {"format": {"type": law}}})
        pcm = np.concatenate((sound(QUESTION, 8_000), np.zeros(16_000, np.int16)))
        await heard.say(np.frombuffer(encode(pcm), np.uint8), rate=8_000)
        await heard.wait("response.done")
        transcript = heard.all("conversation.item.input_audio_transcription.completed")[-1]["transcript"]
        assert "how are you" in transcript.lower()
        answer = decode(bytes(heard.audio))
        assert len(answer) > 8_000 / 4
        assert np.abs(answer).max() > 1_000


async def test_a_whole_recording_may_be_sent_at_once_where_the_client_ends_the_turn(server_url: str) -> None:
    async with client(server_url) as made, connected(made) as heard:
        await update(heard, audio={"input": {"turn_detection": None}}, output_modalities=["text"])
        audio = base64.b64encode(sound(QUESTION).tobytes()).decode()
        await heard.connection.input_audio_buffer.append(audio=audio)
        await heard.connection.input_audio_buffer.commit()
        await heard.connection.response.create()
        done = (await heard.wait("response.done"))["response"]
        completed = await heard.wait("conversation.item.input_audio_transcription.completed", timeout_s=1)
        assert "how are you" in completed["transcript"].lower()
        assert completed["usage"]["seconds"] == pytest.approx(len(sound(QUESTION)) / 24_000, abs=0.1)
        assert done["output"][0]["content"][0]["type"] == "output_text"
        assert not heard.audio


async def test_speech_over_the_reply_ends_it_and_is_answered(server_url: str) -> None:
    async with client(server_url) as made, connected(made) as heard:
        story = [{"type": "input_text", "text": "Tell me a long story about a ship and the sea."}]
        await heard.connection.conversation.item.create(item={"type": "message", "role": "user", "content": story})
        await heard.connection.response.create()
        await heard.until(lambda: len(heard.audio) > 24_000)
        await heard.say(sound(CLIPS / "interruption.wav"), 1.0)
        async with silence_going_on(heard):
            done = (await heard.wait("response.done"))["response"]
            assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
            item_id = done["output"][0]["id"]
            cut = {"item_id": item_id, "content_index": 0, "audio_end_ms": 100}
            await heard.connection.conversation.item.truncate(**cut)
            assert (await heard.wait("conversation.item.truncated"))["audio_end_ms"] == 100
            await heard.connection.conversation.item.retrieve(item_id=item_id)
            shown = (await heard.wait("conversation.item.retrieved"))["item"]["content"][0]["transcript"]
            assert len(shown) < len(done["output"][0]["content"][0]["transcript"])
            await heard.wait("response.done", 2)


async def test_a_response_beside_the_conversation_is_no_part_of_it(server_url: str) -> None:
    async with client(server_url) as made, connected(made) as heard:
        await heard.connection.response.create(
            response={
                "conversation": "none",
                "output_modalities": ["text"],
                "metadata": {"topic": "colour"},
                "max_output_tokens": 16,
                "input": [
                    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Name a colour."}]}
                ],
            }
        )
        done = (await heard.wait("response.done"))["response"]
        assert (done["conversation_id"], done["metadata"]) == (None, {"topic": "colour"})
        assert done["output"][0]["content"][0]["text"]
        assert done["usage"]["output_tokens"] <= 16
        assert not heard.all("conversation.item.added")


async def test_a_response_beside_the_conversation_can_be_spoken(server_url: str) -> None:
    async with client(server_url) as made, connected(made) as heard:
        said = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Say hello."}]}]
        await heard.connection.response.create(response={"conversation": "none", "input": said})
        done = (await heard.wait("response.done"))["response"]
        assert done["output"][0]["content"][0]["type"] == "output_audio"
        assert len(heard.audio) > 4_800


async def test_an_item_with_audio_is_transcribed_and_answered(server_url: str) -> None:
    async with client(server_url) as made, connected(made) as heard:
        audio = base64.b64encode(sound(QUESTION).tobytes()).decode()
        item = {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": audio}]}
        await heard.connection.conversation.item.create(item=item)
        await heard.connection.response.create(response={"output_modalities": ["text"]})
        await heard.wait("response.done")
        completed = heard.all("conversation.item.input_audio_transcription.completed")[-1]
        assert "how are you" in completed["transcript"].lower()
        added = heard.all("conversation.item.added")
        assert [event["item"]["role"] for event in added] == ["user", "assistant"]


async def test_a_transcription_session_transcribes(server_url: str) -> None:
    async with client(server_url) as made, connected(made, extra_query={"intent": "transcription"}) as heard:
        assert heard.told[0]["session"]["type"] == "transcription"
        await heard.say(sound(QUESTION), 3.0)
        completed = await heard.wait("conversation.item.input_audio_transcription.completed")
        assert "how are you" in completed["transcript"].lower()
        assert not heard.all("response.created")


async def test_a_session_is_a_call_like_others_and_ends_with_its_connection(server_url: str) -> None:
    async with client(server_url) as made, httpx2.AsyncClient(base_url=server_url) as http:
        async with connected(made) as heard:
            call_id = heard.told[0]["session"]["id"]
            listed = (await http.get("/api/calls")).json()["calls"]
            assert [call["kind"] for call in listed if call["call_id"] == call_id] == ["realtime"]
        await gone(http, call_id)


async def test_a_browsers_secret_opens_the_session_that_it_is_bound_to(server_url: str) -> None:
    async with client(server_url) as made:
        session = {"type": "realtime", "instructions": "You are a parrot.", "output_modalities": ["text"]}
        secret = await made.realtime.client_secrets.create(
            session=session,  # type: ignore[arg-type]
            expires_after={"anchor": "created_at", "seconds": 60},
        )
    assert secret.value.startswith("ek_")
    assert secret.session.type == "realtime"
    protocols = ("realtime", f"openai-insecure-api-key.{secret.value}", "openai-agents-sdk.0.20.0")
    async with (
        aiohttp.ClientSession(server_url) as http,
        http.ws_connect("/v1/realtime?model=x", protocols=protocols) as socket,
    ):
        assert socket.protocol == "realtime"
        created = await socket.receive_json()
        assert created["session"]["instructions"] == "You are a parrot."
        assert created["session"]["output_modalities"] == ["text"]


@pytest.mark.parametrize(("name", "kind"), [("sessions", "realtime"), ("transcription_sessions", "transcription")])
async def test_a_secret_of_the_beta_opens_a_session_of_its_kind(server_url: str, name: str, kind: str) -> None:
    async with aiohttp.ClientSession(server_url) as http:
        # Its fields are the beta's own.
        async with http.post(f"/v1/realtime/{name}", json={"input_audio_format": "pcm16"}) as response:
            assert response.status == 200, await response.text()
            made = await response.json()
        assert made["type"] == kind
        protocols = ("realtime", f"openai-insecure-api-key.{made['client_secret']['value']}")
        async with http.ws_connect("/v1/realtime", protocols=protocols) as socket:
            assert (await socket.receive_json())["session"]["type"] == kind


async def test_a_wrong_secret_opens_nothing(server_url: str) -> None:
    async with aiohttp.ClientSession(server_url) as http:
        protocols = ("realtime", "openai-insecure-api-key.ek_" + "x" * 40)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect("/v1/realtime?model=x", protocols=protocols)
        assert refused.value.status == 401


async def test_a_binary_message_is_answered_with_an_error_and_the_session_goes_on(server_url: str) -> None:
    async with aiohttp.ClientSession(server_url) as http, http.ws_connect("/openai/v1/realtime?model=x") as socket:
        assert (await socket.receive_json())["type"] == "session.created"
        await socket.send_bytes(b"\x00\x01")
        assert (await socket.receive_json())["error"]["code"] == "invalid_event"
        await socket.send_json({"type": "session.update", "session": {"type": "realtime"}})
        assert (await socket.receive_json())["type"] == "session.updated"
