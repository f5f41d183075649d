"""Random and mutated client events: no crash, no leak, always an error that names the problem."""

import json
import random
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEvent

from server.realtime.client_events import ClientEvent
from tests.server.realtime.talking import Say, Talk

EVENTS: list[dict[str, Any]] = [
    {"type": "session.update", "session": {"type": "realtime", "instructions": "x", "output_modalities": ["text"]}},
    {
        "type": "session.update",
        "session": {
            "type": "realtime",
            "max_output_tokens": 20,
            "tools": [{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "f"},
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000},
                    "noise_reduction": {"type": "near_field"},
                    "transcription": {"model": "whisper-1", "language": "en", "prompt": "p", "keywords": ["k"]},
                    "turn_detection": {"type": "server_vad", "threshold": 0.5, "idle_timeout_ms": 6000},
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "alloy", "speed": 1.1},
            },
        },
    },
    {"type": "session.update", "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}}},
    {"type": "input_audio_buffer.append", "audio": "AAAA"},
    {"type": "input_audio_buffer.commit"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear"},
    {
        "type": "conversation.item.create",
        "previous_item_id": "root",
        "item": {"type": "message", "role": "user", "id": "i", "content": [{"type": "input_text", "text": "hello"}]},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "name": "f", "call_id": "c", "arguments": "{}"},
    },
    {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c", "output": "42"}},
    {"type": "conversation.item.retrieve", "item_id": "i"},
    {"type": "conversation.item.delete", "item_id": "i"},
    {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0, "audio_end_ms": 100},
    {
        "type": "response.create",
        "response": {
            "instructions": "y",
            "output_modalities": ["text"],
            "max_output_tokens": "inf",
            "metadata": {"a": "b"},
            "tool_choice": "auto",
            "input": [{"type": "item_reference", "id": "i"}],
        },
    },
    {"type": "response.create"},
    {"type": "response.cancel"},
]

JUNK: list[Any] = [
    *(None, True, False, 0, -1, 7.5, 1e308, 10**30),
    *("", "x", "root", "none", "inf", "audio", "\x00", "\ud800", "e" * 300),
    *([], {}, [[]], [None], {"type": "x"}, {"type": "message"}, {"": ""}, ["text", "audio"], [1, 2], {"type": "mcp"}),
]


CLIENT_EVENTS: Any = RealtimeClientEvent


def kinds(union: Any) -> set[str]:
    """The types of the events of a union."""
    return {form.model_fields["type"].annotation.__args__[0] for form in union.__args__}


def copy_of(value: Any) -> Any:
    """The same, to be changed."""
    return json.loads(json.dumps(value))


def mutated(event: Any, dice: random.Random) -> Any:
    """An event with something in it exchanged, left out or added."""
    copy = copy_of(event)
    for _ in range(dice.randint(0, 2)):
        place: Any = copy
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = dice.choice(keys)
            inner = place[key]
            if isinstance(inner, (dict, list)) and inner and dice.random() < 0.7:
                place = inner
                continue
            match dice.randrange(4):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[dice.choice(["type", "id", "extra", "audio", "item"])] = copy_of(dice.choice(JUNK))
                case 2 if isinstance(inner, str):
                    at = dice.randint(0, len(inner))
                    place[key] = inner[:at] + dice.choice(["", "x", "\x00", "."]) + inner[at + 1 :]
                case _:
                    place[key] = copy_of(dice.choice(JUNK))
            break
    return copy


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("over", ["socket", "webrtc"])
def test_whatever_a_client_sends_is_answered_or_done(seed: int, over: str) -> None:
    dice = random.Random(f"{seed} {over}")
    said = [Say(second, second + 1.2, "What is the weather in Paris?") for second in range(1, 400, 7)]
    talk = Talk(*said, over=over)
    for _ in range(500):
        event = mutated(dice.choice(EVENTS), dice)
        text = json.dumps(event)
        if dice.random() < 0.03:
            text = text[: dice.randint(0, len(text))]
        before = len(talk.told)
        talk.session.receive(text, talk)
        for told in talk.told[before:]:
            if told["type"] == "error":
                assert told["error"]["type"] == "invalid_request_error", (event, told)
                assert told["error"]["code"]
                assert len(told["error"]["message"]) > 10
        del talk.told[:-50]
        if dice.random() < 0.2:
            talk.run(dice.choice([0.02, 0.1, 0.5, 1.5]))
    assert talk.call.machine.counts["healed"] == 0
    # It still does what it is for.
    talk.say("response.cancel")
    talk.say("session.update", session={"type": "realtime", "tool_choice": "auto", "output_modalities": ["text"]})
    talk.run(3)
    talk.say("response.cancel")
    talk.type("Are you there?")
    talk.say("response.create")
    talk.run(20)
    assert talk.all("response.done")[-1]["response"]["status"] in ("completed", "cancelled")
    assert len(talk.session.events.responses) <= 1


def test_every_client_event_that_openai_knows_is_known_here() -> None:
    theirs, ours = kinds(CLIENT_EVENTS.__args__[0]), kinds(ClientEvent)
    assert theirs <= ours
