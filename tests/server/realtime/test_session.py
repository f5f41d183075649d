"""What can be set of a Realtime session, what it says of itself, and what it refuses."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.realtime import (
    AudioTranscription,
    RealtimeAudioConfigInput,
    RealtimeAudioConfigOutput,
    RealtimeFunctionTool,
    RealtimeResponseCreateMcpTool,
    RealtimeResponseCreateParams,
    RealtimeSessionCreateRequest,
    RealtimeTranscriptionSessionCreateRequest,
)

from server.bounds import MAX_HELD_CHARS, MAX_REALTIME_EVENT
from server.realtime.client_events import ResponseWanted
from server.realtime.mcp_schema import McpTool
from server.realtime.session_schema import (
    AudioInput,
    AudioOutput,
    FunctionTool,
    SpokenSession,
    Transcription,
    TranscriptionSession,
)
from tests.server.realtime.talking import Talk


def test_a_session_says_what_it_is_like_before_anybody_asks() -> None:
    session = Talk().one("session.created")["session"]
    assert session["type"] == "realtime"
    assert session["audio"]["input"]["turn_detection"]["create_response"] is True
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["output"]["voice"] == "joe"


def test_only_what_is_named_changes() -> None:
    talk = Talk()
    before = talk.one("session.created")["session"]
    talk.update(instructions="Be brief.")
    talk.turn_detection({"type": "server_vad", "threshold": 0.7})
    talk.turn_detection({"type": "server_vad", "silence_duration_ms": 800})
    after = talk.all("session.updated")[-1]["session"]
    assert after["instructions"] == "Be brief."
    assert after["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 800,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    assert after["audio"]["output"] == before["audio"]["output"]
    talk.update(instructions="")
    assert talk.all("session.updated")[-1]["session"]["instructions"] == ""


def test_null_turns_things_off() -> None:
    talk = Talk()
    talk.update(audio={"input": {"turn_detection": None, "transcription": None}})
    heard = talk.one("session.updated")["session"]["audio"]["input"]
    assert (heard["turn_detection"], heard["transcription"]) == (None, None)


AGENTS_JS = {
    "type": "realtime",
    "instructions": "hi",
    "model": "local",
    "output_modalities": ["audio"],
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "noise_reduction": None,
            "transcription": {"model": "gpt-4o-mini-transcribe"},
            "turn_detection": {"type": "semantic_vad"},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1},
    },
}


def test_what_agents_js_sends_first_is_taken() -> None:
    talk = Talk()
    talk.say("session.update", session=AGENTS_JS)
    talk.say("session.update", session={"type": "realtime", "tracing": "auto"})
    assert talk.kinds(1) == ["session.updated"]
    assert talk.all("session.updated")[-1]["session"]["model"] == "a-model"


@pytest.mark.parametrize("voice", ["marin", "cedar", "alloy", {"id": "joe"}, "af_nova"])
def test_voices_are_found_by_the_names_that_clients_know(voice: Any) -> None:
    talk = Talk()
    talk.update(audio={"output": {"voice": voice}})
    assert talk.told[-1]["type"] == "session.updated"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"session": {}}, "missing_required_parameter", "session.type"),
    ({"session": {"type": "other"}}, "invalid_value", "session.type"),
    ({"session": {"type": "realtime", "modalities": ["text"]}}, "unknown_parameter", "session.modalities"),
    ({"session": {"type": "realtime", "instructions": 7}}, "invalid_type", "session.instructions"),
    ({"session": {"type": "realtime", "max_output_tokens": 0}}, "invalid_value", "session.max_output_tokens"),
    (
        {"session": {"type": "realtime", "output_modalities": ["text", "audio"]}},
        "invalid_value",
        "session.output_modalities",
    ),
    ({"session": {"type": "realtime", "prompt": {"id": "p"}}}, "unsupported_parameter", "session.prompt"),
    ({"session": {"type": "realtime", "reasoning": {"effort": "low"}}}, "unsupported_parameter", "session.reasoning"),
    (
        {"session": {"type": "realtime", "include": ["item.input_audio_transcription.logprobs"]}},
        "unsupported_parameter",
        "session.include",
    ),
    ({"session": {"type": "realtime", "truncation": "disabled"}}, "unsupported_parameter", "session.truncation"),
    (
        {"session": {"type": "realtime", "tools": [{"type": "mcp", "server_label": "x", "server_url": "http://y"}]}},
        "unsupported_parameter",
        "session.tools",
    ),
    (
        {"session": {"type": "realtime", "audio": {"output": {"voice": "nobody"}}}},
        "invalid_value",
        "session.audio.output.voice",
    ),
    (
        {"session": {"type": "realtime", "audio": {"output": {"speed": 9}}}},
        "invalid_value",
        "session.audio.output.speed",
    ),
    (
        {"session": {"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}},
        "invalid_value",
        "session.audio.input.format.rate",
    ),
    (
        {
            "session": {
                "type": "realtime",
                "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}},
            }
        },
        "invalid_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        {"session": {"type": "realtime", "audio": {"input": {"turn_detection": {"type": "guess"}}}}},
        "invalid_value",
        "session.audio.input.turn_detection.type",
    ),
    ({}, "missing_required_parameter", "session"),
]


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED, ids=[param for _, _, param in REFUSED])
def test_what_is_not_to_be_had_is_refused_by_name_and_nothing_changes(
    fields: dict[str, Any], code: str, param: str
) -> None:
    talk = Talk()
    before = talk.session.config.describe("s")
    talk.say("session.update", **fields)
    error = talk.error()
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "mine")
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert talk.session.config.describe("s") == before


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SpokenSession, RealtimeSessionCreateRequest),
        (TranscriptionSession, RealtimeTranscriptionSessionCreateRequest),
        (ResponseWanted, RealtimeResponseCreateParams),
        (AudioInput, RealtimeAudioConfigInput),
        (AudioOutput, RealtimeAudioConfigOutput),
        (Transcription, AudioTranscription),
        (FunctionTool, RealtimeFunctionTool),
        (McpTool, RealtimeResponseCreateMcpTool),
    ],
)
def test_every_field_that_openai_knows_of_a_session_is_known(ours: Any, theirs: Any) -> None:
    assert set(theirs.model_fields) <= set(ours.model_fields)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "7", "null", '"x"', "{", '{"type": 7}', "{}", "[" * 100_000])
def test_what_is_no_event_is_answered_with_an_error(text: str) -> None:
    talk = Talk()
    talk.session.receive(text, talk, limit=1_000_000)
    assert talk.error()["type"] == "invalid_request_error"
    talk.update()
    assert talk.told[-1]["type"] == "session.updated"


TOOLS = '[{"type": "function", "name": "a", "parameters": {"default": %s}}]'


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "-Infinity", "1e999"])
@pytest.mark.parametrize(
    "event",
    [
        '{"type": "session.update", "session": {"type": "realtime", "tools": ' + TOOLS + "}}",
        '{"type": "response.create", "event_id": "mine", "response": {"tools": ' + TOOLS + "}}",
        '{"type": "nonsense", "event_id": %s}',
    ],
)
def test_what_cannot_be_told_every_client_is_not_json(event: str, value: str) -> None:
    """A lone surrogate is no UTF-8, and what JSON does not know some parsers throw at: a seat beside the call broke."""
    talk = Talk()
    talk.session.receive(event % value, talk)
    assert talk.error()["type"] == "invalid_request_error"
    json.dumps(talk.told, ensure_ascii=False, allow_nan=False).encode()


def test_an_unknown_event_is_answered_with_those_that_are_known() -> None:
    talk = Talk()
    talk.say("conversation.item.paint")
    error = talk.error()
    assert (error["code"], error["param"], error["event_id"]) == ("invalid_value", "type", "mine")
    assert "'session.update'" in error["message"]


def test_audio_does_not_come_as_events_where_it_comes_as_media() -> None:
    talk = Talk(over="webrtc")
    talk.say("input_audio_buffer.append", audio="AAAA")
    assert talk.error()["code"] == "unsupported_event"


def test_a_client_that_plays_by_itself_clears_its_own_buffer() -> None:
    talk = Talk(over="socket")
    talk.say("output_audio_buffer.clear")
    assert talk.error()["code"] == "unsupported_event"


def test_clearing_what_is_being_played_over_webrtc_silences_it() -> None:
    talk = Talk(over="webrtc")
    talk.type("Hello.")
    talk.say("response.create")
    talk.run(2)
    since = len(talk.told)
    talk.say("output_audio_buffer.clear")
    assert talk.kinds(since)[0] == "output_audio_buffer.cleared"


def test_what_waits_for_the_audio_before_it_is_bounded_in_size() -> None:
    talk = Talk()

    def write(text: str) -> None:
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
        event = {"type": "conversation.item.create", "item": item, "more": "x" * (MAX_REALTIME_EVENT - 1_000)}
        talk.session.receive(json.dumps(event), talk, limit=MAX_REALTIME_EVENT)

    talk.port.settle = lambda: False
    talk.say("input_audio_buffer.commit")
    for number in range(MAX_HELD_CHARS // MAX_REALTIME_EVENT):
        write(str(number))
    assert not talk.all("error")
    write("one more")
    assert talk.error()["code"] == "too_many_events"
    talk.session.settled()
    added = [event["item"]["content"][0]["text"] for event in talk.all("conversation.item.added")]
    assert added == [str(number) for number in range(MAX_HELD_CHARS // MAX_REALTIME_EVENT)]
    # What waited does not count any more.
    talk.say("input_audio_buffer.commit")
    write("again")
    talk.session.settled()
    assert talk.all("conversation.item.added")[-1]["item"]["content"][0]["text"] == "again"


def test_what_fails_behind_the_audio_that_it_waited_for_is_the_failure_of_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    talk, error, failed, late = Talk(), RuntimeError("nobody expected this"), list[Exception](), list[Any]()
    session: Any = talk.session
    session._call.fail = failed.append
    session._item_requests.spoken = SimpleNamespace(busy=True, then=late.append)
    talk.say("response.create")
    talk.port.settle = lambda: False
    talk.say("input_audio_buffer.commit")

    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(session, "_apply", broken)
    # One waits for an item with audio to be transcribed, the other for audio to be heard.
    late[0]()
    session.settled()
    assert failed == [error, error]


def test_every_client_is_told_what_happens_and_only_one_of_its_own_mistakes() -> None:
    talk = Talk()

    class Beside:
        def __init__(self) -> None:
            self.told: list[Any] = []

        def put(self, message: Any) -> None:
            self.told.append(message)

        def over(self) -> None:
            self.told.append("over")

    beside = Beside()
    talk.session.sinks.append(beside)
    talk.session.receive(json.dumps({"type": "session.update", "session": {"type": "realtime"}}), beside)
    talk.session.receive(json.dumps({"type": "nothing"}), beside)
    assert [event["type"] for event in beside.told] == ["session.updated", "error"]
    assert talk.kinds() == ["session.created", "session.updated"]
    talk.say("response.cancel")
    assert len(beside.told) == 2
    talk.session.close()
    assert beside.told[-1] == "over"
