"""Responses of a Realtime session: wished for, overridden, as text, with functions, cancelled, failed."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.call.effects import Synthesize
from pipeline.call.events import ReplyDone, TurnCommitted
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ToolCall
from server.realtime.items import ItemList
from server.realtime.responses import Response
from tests.server.realtime.talking import Say, Talk

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city, now.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}

CALL = ToolCall("call_1", "weather", '{"city": "Paris"}')


def respond(talk: Talk, seconds: float = 16, **response: Any) -> Any:
    talk.say("response.create", **({"response": response} if response else {}))
    talk.run(seconds)
    return talk.all("response.done")[-1]["response"] if talk.all("response.done") else None


def test_a_text_response_makes_no_sound() -> None:
    talk = Talk()
    talk.update(output_modalities=["text"])
    talk.type("Hello.")
    since = len(talk.told)
    done = respond(talk)
    assert talk.kinds(since) == [
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert done["output_modalities"] == ["text"]
    assert done["output"][0]["content"] == [{"type": "output_text", "text": talk.call.reply}]
    assert not any(talk.call.audible)
    assert talk.call.context.entries[-1].text == talk.call.reply


def test_a_text_response_is_told_nothing_of_speaking() -> None:
    talk = Talk()
    talk.type("Hello.")
    respond(talk, output_modalities=["text"])
    assert "spoken aloud" not in talk.call.asked[-1].request.messages[0].content
    assert "voice reads" not in talk.call.asked[-1].request.messages[0].content


def test_one_response_can_be_other_than_the_session() -> None:
    talk = Talk()
    talk.update(instructions="Be kind.")
    talk.type("Hello.")
    done = respond(
        talk, instructions="Speak like a pirate.", max_output_tokens=12, metadata={"a": "b"}, output_modalities=["text"]
    )
    request = talk.call.asked[-1].request
    assert request.messages[0].content.startswith("Speak like a pirate.")
    assert "Be kind." not in request.messages[0].content
    assert request.max_tokens == 12
    assert (done["metadata"], done["max_output_tokens"]) == ({"a": "b"}, 12)
    talk.type("And now?")
    respond(talk)
    assert talk.call.asked[-1].request.messages[0].content.startswith("Be kind.")


def test_instructions_of_the_session_count_from_the_next_response_on() -> None:
    talk = Talk(Say(1.0, 2.5, "What is the weather in Paris?"))
    talk.update(instructions="You are a parrot.")
    talk.run(6)
    assert talk.call.asked[-1].request.messages[0].content.startswith("You are a parrot.")


def test_a_response_can_have_an_input_of_its_own() -> None:
    talk = Talk()
    known = talk.type("I live in Rome.")
    talk.type("Forget it.")
    asked = [
        {"type": "item_reference", "id": known},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where do I live?"}]},
    ]
    respond(talk, input=asked)
    contents = [message.content for message in talk.call.asked[-1].request.messages[1:]]
    assert contents == ["I live in Rome.", "Where do I live?"]


def test_a_reference_to_nothing_is_refused() -> None:
    talk = Talk()
    talk.say("response.create", response={"input": [{"type": "item_reference", "id": "nobody"}]})
    assert talk.error()["param"] == "response.input"


def test_there_is_one_response_at_a_time() -> None:
    talk = Talk()
    talk.type("Hello.")
    talk.say("response.create")
    talk.run(0.5)
    talk.say("response.create")
    error = talk.error()
    assert (error["code"], error["event_id"]) == ("conversation_already_has_active_response", "mine")
    assert len(talk.all("response.created")) == 1


def test_a_response_is_cancelled_and_told_as_such() -> None:
    talk = Talk()
    talk.type("Hello.")
    talk.say("response.create")
    talk.run(2)
    talk.say("response.cancel")
    done = talk.one("response.done")["response"]
    assert (done["status"], done["status_details"]) == (
        "cancelled",
        {"type": "cancelled", "reason": "client_cancelled"},
    )
    assert done["output"][0]["status"] == "incomplete"
    kinds = talk.kinds()
    assert "response.output_audio_transcript.done" in kinds
    sounding = sum(talk.call.audible)
    talk.run(1)
    assert sum(talk.call.audible) - sounding <= 2


@pytest.mark.parametrize("which", [{}, {"response_id": "resp_other"}])
def test_nothing_can_be_cancelled_where_nothing_goes_on(which: dict[str, str]) -> None:
    talk = Talk()
    talk.say("response.cancel", **which)
    assert talk.error()["code"] == "response_cancel_not_active"


def test_a_response_that_reached_its_bound_is_incomplete() -> None:
    talk = Talk()
    talk.call.length = True
    talk.type("Hello.")
    done = respond(talk)
    assert (done["status"], done["status_details"]) == (
        "incomplete",
        {"type": "incomplete", "reason": "max_output_tokens"},
    )


def test_a_language_model_that_fails_makes_a_failed_response() -> None:
    talk = Talk(fail=frozenset({"llm"}))
    talk.update(output_modalities=["text"])
    talk.type("Hello.")
    done = respond(talk)
    assert (done["status"], done["status_details"]["type"], done["output"]) == ("failed", "failed", [])


def test_a_function_is_called_answered_and_told_of() -> None:
    talk = Talk()
    talk.update(tools=[WEATHER])
    talk.type("What is the weather in Paris?")
    talk.call.calls = (CALL,)
    since = len(talk.told)
    done = respond(talk, 2)
    assert talk.kinds(since) == [
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]
    assert done["status"] == "completed"
    (called,) = done["output"]
    assert (called["type"], called["name"], called["call_id"], called["arguments"], called["status"]) == (
        "function_call",
        "weather",
        "call_1",
        CALL.arguments,
        "completed",
    )
    assert done["usage"]["output_tokens"] == 7
    output = {"type": "function_call_output", "call_id": "call_1", "output": "It is 21 degrees."}
    told = talk.say("conversation.item.create", item=output)
    assert told[0]["previous_item_id"] == called["id"]
    respond(talk)
    messages = talk.call.asked[-1].request.messages
    assert [message.role for message in messages[1:]] == ["user", "assistant", "tool"]
    assert messages[2].tool_calls == (CALL,)
    assert (messages[3].content, messages[3].tool_call_id) == ("It is 21 degrees.", "call_1")


def test_a_spoken_question_calls_the_function_of_the_client() -> None:
    talk = Talk(Say(1.0, 2.5, "What is the weather in Paris?"))
    talk.update(tools=[WEATHER])
    talk.call.calls = (CALL,)
    talk.run(6)
    (called,) = talk.one("response.done")["response"]["output"]
    assert called["name"] == "weather"
    assert talk.call.state_name() == "listening"


def test_a_function_that_nobody_answered_is_not_told_to_the_model() -> None:
    talk = Talk()
    talk.update(tools=[WEATHER])
    talk.type("What is the weather in Paris?")
    talk.call.calls = (CALL,)
    respond(talk, 2)
    talk.type("Never mind.")
    respond(talk)
    assert not any(message.tool_calls for message in talk.call.asked[-1].request.messages)


def test_tool_choice_and_tools_reach_the_model() -> None:
    talk = Talk()
    talk.update(tools=[WEATHER], tool_choice={"type": "function", "name": "weather"})
    talk.type("Hello.")
    respond(talk)
    request = talk.call.asked[-1].request
    assert ([tool.name for tool in request.tools], request.tool_choice) == (["weather"], "weather")
    talk.type("Hello.")
    respond(talk, tools=[], tool_choice="none")
    assert talk.call.asked[-1].request.tools == ()
    talk.update(tool_choice="none")
    talk.type("Hello.")
    respond(talk)
    assert talk.call.asked[-1].request.tool_choice == "none"


def test_one_function_at_a_time_is_what_the_model_is_asked_for() -> None:
    talk = Talk()
    assert talk.one("session.created")["session"]["parallel_tool_calls"] is True
    talk.update(tools=[WEATHER], parallel_tool_calls=False)
    assert talk.one("session.updated")["session"]["parallel_tool_calls"] is False
    talk.type("Hello.")
    respond(talk)
    assert talk.call.asked[-1].request.parallel_tool_calls is False
    talk.type("Hello.")
    respond(talk, parallel_tool_calls=True)
    assert talk.call.asked[-1].request.parallel_tool_calls is True


def test_what_is_said_before_a_function_of_the_client_is_no_final_answer() -> None:
    response = made_response()
    told = [*response.created(), *response.add_text("Let me see.")]
    told += [
        *response.add_call("item_2", CALL, by_client=True),
        *response.done(ReplyDone("r", "i", "completed", None, "")),
    ]
    assert [item.get("phase") for item in told[-1][1]["response"]["output"]] == ["commentary", None]
    answer = made_response()
    told = [*answer.created(), *answer.add_call("item_2", CALL, by_client=False), *answer.add_text("It is 21 degrees.")]
    told += answer.done(ReplyDone("r", "i", "completed", None, "It is 21 degrees."))
    assert [item.get("phase") for item in told[-1][1]["response"]["output"]] == [None, "final_answer"]


def made_response() -> Response:
    audio = {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "joe"}
    return Response("r", "i", True, "conv", audio, "inf", None, ItemList())


def test_a_tool_that_must_be_called_has_to_be_there() -> None:
    talk = Talk()
    talk.update(tools=[WEATHER], tool_choice={"type": "function", "name": "time"})
    assert talk.error()["param"] == "session.tool_choice"


def test_a_model_that_cannot_call_functions_is_given_none() -> None:
    talk = Talk()
    talk.session.config.abilities = replace(talk.session.config.abilities, calls_tools=False)
    talk.update(tools=[WEATHER])
    error = talk.error()
    assert (error["code"], error["param"]) == ("unsupported_parameter", "session.tools")
    assert "MORGAN_LLM_BASE_URL" in error["message"]


def test_the_voice_and_the_speed_of_a_session_reach_the_voice() -> None:
    talk = Talk()
    talk.update(audio={"output": {"voice": "nova", "speed": 1.25}})
    shown = talk.one("session.updated")["session"]["audio"]["output"]
    assert (shown["voice"], shown["speed"]) == ("af_nova", 1.25)
    talk.type("Hello.")
    respond(talk)
    work = talk.call.effects(Synthesize)[0]
    assert (work.voice, work.speed) == ("af_nova", 1.25)


def test_a_typed_question_is_kept_in_memory_like_a_spoken_one() -> None:
    talk = Talk(options=CallOptions())
    item_id = talk.type("Hello.")
    kept = talk.call.all(TurnCommitted)
    assert [(event.item_id, event.typed) for event in kept] == [(item_id, "Hello.")]


def test_a_text_that_takes_its_time_is_waited_for() -> None:
    talk = Talk()
    talk.call.delays.llm_token = 1.5
    talk.update(output_modalities=["text"])
    talk.type("Hello.")
    done = respond(talk, 60)
    assert done["output"][0]["content"][0]["text"] == talk.call.reply
    assert len(talk.all("response.done")) == 1
