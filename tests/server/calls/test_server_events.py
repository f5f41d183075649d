"""What travels on the data channel is what the OpenAI Realtime clients take for valid, in their own strict models."""

import json
from typing import Any

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from pipeline.call.inputs import StopReply, UserTyped
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox
from server.calls.server_events import RealtimeEvents
from tests.pipeline.call.simulation import Delays, Say, Simulation

STRICT: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
OPTIONS = CallOptions(conversation_id="conv_1")


def sent(call: Simulation) -> list[dict[str, Any]]:
    """Everything that a client of the call would have got, as it comes out of JSON."""
    events = RealtimeEvents("call_1", OPTIONS, "a-model")
    messages = [events.session(), events.session("session.updated"), events.error("unknown_event", "no", "event_7")]
    for _, event in call.events:
        messages += events.translate(event)
    decoded: list[dict[str, Any]] = json.loads(json.dumps(messages))
    return decoded


def with_tools(script: list[Say], seconds: float) -> Simulation:
    """A call whose language model asks for a tool."""
    tools = Toolbox([ToolDeclaration(name="weather", description="x", function="builtins:dict")])
    asks = (("", ToolCall("call_1", "weather", '{"city": "Paris"}')),)
    return Simulation(script, options=CallOptions(tools=tools), asks=asks, delays=Delays(tool=seconds))


def conversations() -> dict[str, Simulation]:
    """One of each kind."""
    stopped = Simulation([QUESTION]).run(5)
    stopped.post(StopReply())
    typed = Simulation([]).run(1)
    typed.post(UserTyped("What is the weather in Paris?"))
    return {
        "answered": Simulation([QUESTION]).run(14),
        "interrupted": Simulation([QUESTION, Say(6.0, 7.2, "No, stop, tell me about Rome.")]).run(18),
        "continued": Simulation([Say(1.0, 2.0, "What is the weather"), Say(2.5, 3.4, "in Paris tomorrow?")]).run(14),
        "noise": Simulation([Say(1.0, 1.6, "")]).run(6),
        "unclear": Simulation([Say(1.0, 2.2, "", voice=0.97)]).run(8),
        "stt broken": Simulation([QUESTION], fail=frozenset({"stt"})).run(12),
        "llm broken": Simulation([QUESTION], fail=frozenset({"llm"})).run(12),
        "tts broken": Simulation([QUESTION], fail=frozenset({"tts"})).run(12),
        "stopped": stopped.run(2),
        "typed": typed.run(12),
        "tools": with_tools([QUESTION], 0.2).run(14),
        "tools cut": with_tools([QUESTION, Say(5.0, 6.5, "Never mind, tell me about Rome.")], 9.0).run(20),
    }


@pytest.mark.parametrize("kind", list(conversations()))
def test_every_event_is_valid(kind: str) -> None:
    for message in sent(conversations()[kind]):
        if not message["type"].startswith("morgan."):
            STRICT.validate_python(message)


def test_the_events_of_a_turn_come_in_the_order_that_clients_expect() -> None:
    wanted = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "output_audio_buffer.started",
        "response.output_audio_transcript.done",
        "response.output_audio.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
        "output_audio_buffer.stopped",
    ]
    kinds = iter(message["type"] for message in sent(conversations()["answered"]))
    assert all(kind in kinds for kind in wanted)


def test_every_response_that_is_created_is_done_once() -> None:
    for kind, call in conversations().items():
        messages = sent(call)
        created = [m["response"]["id"] for m in messages if m["type"] == "response.created"]
        done = [m["response"]["id"] for m in messages if m["type"] == "response.done"]
        assert sorted(created) == sorted(done), kind


def test_an_interrupted_reply_says_what_was_heard() -> None:
    messages = sent(conversations()["interrupted"])
    truncated = next(m for m in messages if m["type"] == "conversation.item.truncated")
    done = next(m for m in messages if m["type"] == "response.done")
    assert done["response"]["status"] == "cancelled"
    assert done["response"]["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert truncated["transcript"] == done["response"]["output"][0]["content"][0]["transcript"]
    assert truncated["audio_end_ms"] > 1_000


def test_a_tool_call_comes_whole_with_its_result_and_in_the_response() -> None:
    messages = sent(conversations()["tools"])
    types = [message["type"] for message in messages]
    began = types.index("response.function_call_arguments.delta")
    assert types[began - 2 : began + 4] == [
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
    ]
    done = messages[began + 1]
    assert (done["name"], done["call_id"], done["arguments"]) == ("weather", "call_1", '{"city": "Paris"}')
    items = [message["item"] for message in messages if message["type"] == "conversation.item.done"]
    assert [(item["call_id"], item["output"]) for item in items if item["type"] == "function_call_output"] == [
        ("call_1", "21 degrees")
    ]
    response = next(message["response"] for message in messages if message["type"] == "response.done")
    assert [item["type"] for item in response["output"]] == ["message", "function_call"]
    assert response["output"][1]["status"] == "completed"


def test_speech_that_stays_unclear_is_a_transcription_that_failed_and_stays_on_the_page() -> None:
    messages = sent(conversations()["unclear"])
    types = [message["type"] for message in messages]
    failed = messages[types.index("conversation.item.input_audio_transcription.failed")]
    assert failed["error"]["code"] == "unintelligible"
    assert failed["item_id"] == messages[types.index("input_audio_buffer.speech_started")]["item_id"]
    assert "conversation.item.deleted" not in types
    assert types.index("response.created") > types.index(failed["type"])


def test_a_session_tells_of_the_tools_that_the_model_has() -> None:
    options = CallOptions(tools=Toolbox([ToolDeclaration(name="weather", description="x", function="builtins:dict")]))
    session = RealtimeEvents("call_1", options, "a-model").session()
    STRICT.validate_python(session)
    assert [tool["name"] for tool in session["session"]["tools"]] == ["weather"]
