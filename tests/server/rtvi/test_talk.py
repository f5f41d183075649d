"""RTVI on a call in virtual time: what is told of a conversation, and what comes of what a client says."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.call.events import PlaybackStarted, ReplyCreated, ReplyDone, ReplyTextDelta
from pipeline.call.inputs import HangUp
from pipeline.engines.protocols import ToolCall
from server.rtvi.talk import PEER_LEFT, RtviTalk
from server.rtvi.told import RtviEvents
from tests.server.realtime.talking import Say, Talk

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

TOOL = {
    "type": "function",
    "name": "weather",
    "description": "The weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


class RtviClient:
    """A client on the session of a `Talk`."""

    def __init__(self, *script: Say, **settings: Any) -> None:
        self.talk = Talk(*script, over="webrtc", **settings)
        self.sent: list[dict[str, Any]] = []
        self.hung_up = False
        self.rtvi = RtviTalk(self.talk.session, self.sent.append, "alice", self._hang_up, lambda: WHEN)
        self.talk.tell = self.rtvi.tell

    def _hang_up(self) -> None:
        self.hung_up = True

    def say(self, kind: str, message_id: str = "c1", /, **data: Any) -> list[dict[str, Any]]:
        before = len(self.sent)
        self.rtvi.receive(json.dumps({"label": "rtvi-ai", "type": kind, "id": message_id, "data": data}))
        return self.sent[before:]

    def kinds(self) -> list[str]:
        listed = [message["type"] for message in self.sent]
        return [kind for index, kind in enumerate(listed) if index == 0 or kind != listed[index - 1]]

    def all(self, kind: str) -> list[dict[str, Any]]:
        return [message["data"] for message in self.sent if message["type"] == kind]


def test_a_spoken_turn_and_its_reply_are_told_in_order() -> None:
    client = RtviClient(Say(1.0, 1.5, "what is the weather"))
    client.talk.run(12)
    kinds = client.kinds()
    order = [
        "user-started-speaking",
        "user-stopped-speaking",
        "bot-llm-started",
        "bot-started-speaking",
        "bot-stopped-speaking",
    ]
    assert [kind for kind in kinds if kind in order] == order
    (final,) = [data for data in client.all("user-transcription") if data["final"]]
    assert final == {
        "text": "what is the weather",
        "user_id": "alice",
        "timestamp": "2026-01-02T03:04:05.000+00:00",
        "final": True,
    }
    said = " ".join(data["text"] for data in client.all("bot-tts-text"))
    assert said == "".join(data["text"] for data in client.all("bot-llm-text")).strip()
    outputs = client.all("bot-output")
    told = {data["segment_id"] for data in outputs if data["spoken_status"] == "new"}
    heard = {data["segment_id"] for data in outputs if data["spoken_status"] == "completed"}
    assert told == heard != set()
    assert client.all("metrics")[0]["ttfb"][0]["value"] > 0
    assert len({message["id"] for message in client.sent}) == len(client.sent)


def test_of_a_reply_that_was_cut_it_is_told_what_was_heard() -> None:
    events = RtviEvents("alice", lambda: WHEN)
    told = []
    for event in (
        ReplyCreated("r", "i", None),
        ReplyTextDelta("r", "i", "I asked Dr. Smith about it. He said"),
        ReplyTextDelta("r", "i", " no. That is all."),
        PlaybackStarted("r"),
        ReplyDone("r", "i", "cancelled", "turn_detected", "I asked Dr. Smith about it. He"),
    ):
        told += events.translate(event)
    outputs = [data for kind, data in told if kind == "bot-output"]
    assert [(data["segment_id"], data["spoken_status"]) for data in outputs] == [
        (1, "new"),
        (2, "new"),
        (3, "new"),
        (1, "completed"),
        (2, "in-progress"),
    ]
    assert outputs[0]["text"] == "I asked Dr. Smith about it."
    assert outputs[-1]["spoken_progress"] == {"accumulated_text": "He", "remaining_text": "said no."}


def test_a_client_that_is_ready_is_told_so() -> None:
    (ready,) = RtviClient().say("client-ready", "c7", version="2.1.0", about={"library": "x"})
    assert (ready["label"], ready["type"], ready["id"]) == ("rtvi-ai", "bot-ready", "c7")
    assert ready["data"]["version"] == "2.1.0"


def test_written_words_are_answered_aloud() -> None:
    client = RtviClient()
    client.say("send-text", content="Hello?", options={"run_immediately": True, "audio_response": True})
    client.talk.run(8)
    assert "bot-started-speaking" in client.kinds()


def test_written_words_can_be_answered_in_writing() -> None:
    client = RtviClient()
    client.say("send-text", content="Hello?", options={"audio_response": False})
    client.talk.run(8)
    assert client.all("bot-llm-text")
    assert "bot-started-speaking" not in client.kinds()
    assert all(data["will_be_spoken"] is False for data in client.all("bot-output"))


def test_written_words_interrupt_what_is_being_said() -> None:
    client = RtviClient()
    client.say("send-text", content="Tell me a story.")
    client.talk.run(2)
    assert client.kinds().count("bot-started-speaking") == 1
    client.say("send-text", content="Stop. Another one.")
    client.talk.run(8)
    assert client.all("error") == []
    assert client.kinds().count("bot-llm-started") == 2


def test_written_words_may_wait_for_an_answer() -> None:
    client = RtviClient()
    client.say("send-text", content="By the way.", options={"run_immediately": False})
    client.talk.run(5)
    assert client.sent == []


def test_a_function_of_the_client_is_called_and_its_result_answered() -> None:
    client = RtviClient()
    (answer,) = client.say("client-message", "c2", t="session.update", d={"type": "realtime", "tools": [TOOL]})
    assert (answer["type"], answer["id"]) == ("server-response", "c2")
    assert answer["data"]["d"]["tools"][0]["name"] == "weather"
    client.talk.call.calls = (ToolCall("call_1", "weather", '{"city": "Paris"}'),)
    client.say("send-text", content="What is the weather?")
    client.talk.run(3)
    (asked,) = client.all("llm-function-call-in-progress")
    assert asked == {"function_name": "weather", "tool_call_id": "call_1", "arguments": {"city": "Paris"}}
    result: dict[str, Any] = {
        "function_name": "weather",
        "tool_call_id": "call_1",
        "arguments": {},
        "result": {"sky": "blue"},
    }
    client.say("llm-function-call-result", **result)
    client.talk.run(8)
    assert client.all("llm-function-call-stopped")[0]["result"] == {"sky": "blue"}
    assert "bot-started-speaking" in client.kinds()
    assert any('"sky"' in message.content for message in client.talk.call.asked[-1].request.messages)
    (refused,) = client.say("llm-function-call-result", "c9", **result)
    assert (refused["type"], refused["id"]) == ("error-response", "c9")


@pytest.mark.parametrize("messages", [[{"buttons": ["4", "2", "#"]}], [{"button": key} for key in "42#"]])
def test_keys_of_a_telephone_are_a_turn_of_the_user(messages: list[dict[str, Any]]) -> None:
    client = RtviClient()
    for data in messages:
        client.say("dtmf", **data)
    client.talk.run(8)
    assert "42#" in client.talk.call.asked[-1].request.messages[-1].content
    assert "bot-started-speaking" in client.kinds()


def test_each_sentence_is_also_told_in_the_words_of_clients_before_protocol_2() -> None:
    client = RtviClient()
    client.say("send-text", content="Hello?")
    client.talk.run(8)
    told = [data["text"] for data in client.all("bot-output") if data["spoken_status"] == "new"]
    assert [data["text"] for data in client.all("bot-transcription")] == told != []


def test_keep_alives_and_tracks_are_taken_without_a_word() -> None:
    client = RtviClient()
    client.rtvi.receive("ping: 1764174000000")
    status = {"type": "trackStatus", "receiver_index": 0, "enabled": True}
    client.rtvi.receive(json.dumps({"type": "signalling", "message": status}))
    assert client.sent == []


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("not json", "error", "JSON"),
        ("[" * 10_000, "error", "JSON"),
        # What the message that names it could not be written with.
        ('{"label": "rtvi-ai", "type": "dance", "id": "\\ud800"}', "error", "JSON"),
        ('{"type": "send-text"}', "error", "label"),
        ('{"label": "rtvi-ai", "type": "dance", "id": "a"}', "error-response", "dance"),
        ('{"label": "rtvi-ai", "type": "ui-snapshot", "id": "a", "data": {}}', "error-response", "ui-snapshot"),
        ('{"label": "rtvi-ai", "type": "dtmf", "id": "a", "data": {"buttons": ["x"]}}', "error-response", "buttons"),
        ('{"label": "rtvi-ai", "type": "send-text", "id": "a", "data": {}}', "error-response", "content"),
        ('{"label": "rtvi-ai", "type": "client-message", "id": "a", "data": {"t": "x"}}', "error-response", "x"),
        (
            '{"label": "rtvi-ai", "type": "client-message", "id": "a", "data": {"t": "session.update", "d": 7}}',
            "error-response",
            "session",
        ),
        ("x" * 70_000, "error", "characters"),
    ],
)
def test_whatever_else_comes_is_answered_with_what_is_wrong(text: str, kind: str, told: str) -> None:
    client = RtviClient()
    client.rtvi.receive(text)
    (message,) = client.sent
    assert message["type"] == kind
    assert told in message["data"]["error"]


def test_the_bot_can_be_sent_away() -> None:
    client = RtviClient()
    client.say("disconnect-bot")
    assert client.hung_up
    client.talk.call.post(HangUp("hangup"))
    assert PEER_LEFT in client.sent


def test_what_is_said_behind_a_turn_is_told_without_the_words_before_it() -> None:
    client = RtviClient(
        Say(1.0, 2.5, "What is the weather in Paris?"), Say(3.2, 4.0, "I mean London."), speech_s_per_char=0.06
    )
    client.talk.call.delays.llm_first = 2.0
    client.talk.run(10)
    finals = [data["text"] for data in client.all("user-transcription") if data["final"]]
    assert finals == ["What is the weather in Paris?", "I mean London."]
    assert [data["text"] for data in client.all("user-llm-text")] == finals
