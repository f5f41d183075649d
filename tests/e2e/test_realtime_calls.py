"""`POST /v1/realtime/calls` with openai-python as it is and a peer of stock aiortc."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.e2e.realtime_client import client, connected, gone, sound
from tests.e2e.realtime_peer import Peer

CLIPS = Path(__file__).parent.parent / "clips"

pytestmark = pytest.mark.timeout(400)

SDP = {"Content-Type": "application/sdp"}


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer()
    yield made
    await made.close()


async def test_a_call_with_its_session_is_heard_answered_and_told_of(server_url: str, peer: Peer) -> None:
    async with client(server_url) as made:
        session = {"type": "realtime", "model": "x", "instructions": "Answer in one short sentence."}
        answer = await made.realtime.calls.create(sdp=await peer.offer(), session=session)  # type: ignore[arg-type]
        assert answer.response.status_code == 201
        assert answer.response.headers["Content-Type"].startswith("application/sdp")
        location = answer.response.headers["Location"]
        call_id = location.rsplit("/", 1)[-1]
        assert location == f"/v1/realtime/calls/{call_id}"
        await peer.answered(answer.text)
        assert peer.told[0]["session"]["instructions"] == "Answer in one short sentence."
        peer.microphone.say(sound(CLIPS / "question.wav", 48_000))
        await peer.wait("output_audio_buffer.stopped")
        kinds = [event["type"] for event in peer.told]
        assert kinds.index("response.content_part.added") < kinds.index("output_audio_buffer.started")
        assert kinds.index("response.done") < kinds.index("output_audio_buffer.stopped")
        assert "response.output_audio.delta" not in kinds
        transcript = peer.all("conversation.item.input_audio_transcription.completed")[-1]["transcript"]
        assert "how are you" in transcript.lower()
        assert peer.loudest > 1_000
        await made.realtime.calls.hangup(call_id)
        async with httpx2.AsyncClient(base_url=server_url) as http:
            await gone(http, call_id)


async def test_a_server_sits_beside_the_call_of_its_browser(server_url: str, peer: Peer) -> None:
    async with client(server_url) as made:
        answer = await made.realtime.calls.create(sdp=await peer.offer())
        call_id = answer.response.headers["Location"].rsplit("/", 1)[-1]
        await peer.answered(answer.text)
        async with connected(made, call_id=call_id) as beside:
            await beside.connection.session.update(session={"type": "realtime", "instructions": "You are a parrot."})
            assert (await peer.wait("session.updated"))["session"]["instructions"] == "You are a parrot."
            content = [{"type": "input_text", "text": "Say hello."}]
            await beside.connection.conversation.item.create(
                item={"type": "message", "role": "user", "content": content}
            )
            await beside.connection.response.create()
            assert (await beside.wait("response.done"))["response"]["status"] == "completed"
            await peer.wait("response.done")
            peer.send("conversation.item.retrieve", item_id="nobody")
            assert (await peer.wait("error"))["error"]["code"] == "item_retrieve_invalid_item_id"
            assert not beside.all("error")
            await made.realtime.calls.hangup(call_id)
            await beside.until(lambda: beside.closed)


@pytest.mark.parametrize("path", ["/v1/realtime/calls", "/openai/v1/realtime/calls", "/v1/realtime?model=x"])
async def test_a_bare_offer_is_taken_at_each_address(server_url: str, peer: Peer, path: str) -> None:
    async with httpx2.AsyncClient(base_url=server_url) as http:
        answer = await http.post(path, content=await peer.offer(), headers=SDP)
        assert answer.status_code == 201
        location = answer.headers["Location"]
        await peer.answered(answer.text)
        assert (await http.delete(location)).status_code == 200
        await gone(http, location.rsplit("/", 1)[-1])


async def test_what_is_no_offer_is_refused_in_openais_form(server_url: str) -> None:
    async with httpx2.AsyncClient(base_url=server_url) as http:
        refused = await http.post("/v1/realtime/calls", content="v=0", headers=SDP)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"
        other = await http.post("/v1/realtime/calls", json={"sdp": "v=0"})
        assert other.status_code == 415
        session = {"sdp": (None, "v=0"), "session": (None, '{"type":"realtime","modalities":[]}')}
        wrong = await http.post("/v1/realtime/calls", files=session)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "session.modalities")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/realtime/translations"), ("POST", "/openai/v1/realtime/translations/client_secrets")],
)
async def test_translation_sessions_are_refused_by_name(server_url: str, method: str, path: str) -> None:
    async with httpx2.AsyncClient(base_url=server_url) as http:
        refused = await http.request(method, path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported")
    assert "/v1/audio/translations" in refused.json()["error"]["message"]
