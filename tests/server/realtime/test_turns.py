"""Turns of the user in a Realtime session, by every kind of turn detection, in virtual time."""

from typing import Any

import pytest

from pipeline.call.effects import Transcribe
from pipeline.call.inputs import KeyPressed
from pipeline.call.options import CallOptions
from pipeline.tools.toolbox import NO_TOOLS
from tests.server.realtime.talking import Say, Talk

QUESTION = Say(1.0, 2.5, "What is the weather in Paris?")


def test_a_spoken_turn_is_told_in_the_order_of_openai() -> None:
    talk = Talk(QUESTION).run(16)
    kinds = [kind for kind in talk.kinds() if not kind.endswith("transcription.delta")]
    assert kinds[:13] == [
        "session.created",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
    ]
    assert set(kinds[13:-5]) <= {
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio_transcript.done",
    }
    assert kinds[-5:] == [
        "response.output_audio.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ]


def test_a_turn_is_one_item_through_all_its_events() -> None:
    talk = Talk(QUESTION).run(12)
    item_id = talk.one("input_audio_buffer.speech_started")["item_id"]
    assert talk.one("input_audio_buffer.speech_stopped")["item_id"] == item_id
    committed = talk.one("input_audio_buffer.committed")
    assert (committed["item_id"], committed["previous_item_id"]) == (item_id, None)
    done = talk.one("conversation.item.input_audio_transcription.completed")
    assert (done["item_id"], done["transcript"]) == (item_id, QUESTION.text)
    assert done["usage"]["type"] == "duration"
    assert done["usage"]["seconds"] > 1.4
    user, assistant = talk.all("conversation.item.added")
    assert user["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert assistant["previous_item_id"] == item_id


def test_the_words_of_a_response_are_what_was_heard_and_its_usage_is_what_the_model_counted() -> None:
    talk = Talk(QUESTION).run(16)
    response = talk.one("response.done")["response"]
    assert response["status"] == "completed"
    assert response["output"][0]["content"] == [{"type": "output_audio", "transcript": talk.call.reply}]
    usage = response["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (21, 13, 34)
    assert usage["input_token_details"]["text_tokens"] == 21
    assert usage["output_token_details"]["text_tokens"] == 13


def test_speech_over_a_reply_cancels_it_and_the_client_truncates_to_what_it_has_played() -> None:
    talk = Talk(QUESTION, Say(5.0, 6.5, "Stop, that is enough, thank you."))
    talk.run(9)
    cancelled = talk.all("response.done")[0]["response"]
    assert cancelled["status"] == "cancelled"
    assert cancelled["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    item_id = cancelled["output"][0]["id"]
    sent_ms = talk.port.audio.length_ms(item_id)
    assert sent_ms is not None
    cut = talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=500)
    assert [(event["type"], event["audio_end_ms"]) for event in cut] == [("conversation.item.truncated", 500)]
    (item,) = talk.say("conversation.item.retrieve", item_id=item_id)
    heard = item["item"]["content"][0]["transcript"]
    assert talk.call.reply.startswith(heard)
    assert len(heard) < len(cancelled["output"][0]["content"][0]["transcript"])
    entry = next(entry for entry in talk.call.context.entries if entry.item_id == item_id)
    assert (entry.text, entry.interrupted) == (heard, True)


def test_more_cannot_be_heard_of_a_reply_than_was_sent() -> None:
    talk = Talk(QUESTION).run(16)
    item_id = talk.one("response.done")["response"]["output"][0]["id"]
    length_ms = talk.port.audio.length_ms(item_id)
    assert length_ms is not None
    talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=length_ms + 1)
    assert talk.error()["message"] == f"Audio content of {length_ms}ms is already shorter than {length_ms + 1}ms"
    (cut,) = talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=length_ms)
    assert cut["type"] == "conversation.item.truncated"


def test_over_webrtc_the_server_tells_what_it_played_and_truncates_by_itself() -> None:
    talk = Talk(QUESTION, Say(5.0, 6.5, "Stop, that is enough, thank you."), over="webrtc").run(8)
    kinds = talk.kinds()
    assert "response.output_audio.delta" not in kinds
    order = [
        "output_audio_buffer.started",
        "output_audio_buffer.cleared",
        "conversation.item.truncated",
        "response.done",
        "input_audio_buffer.speech_started",
    ]
    places = [kinds.index(kind, 2 if kind == order[-1] else 0) for kind in order[:-1]]
    assert places == sorted(places)
    assert kinds.index("input_audio_buffer.speech_started", places[-1]) == places[-1] + 1
    truncated = talk.one("conversation.item.truncated")
    assert truncated["item_id"] == talk.all("response.done")[0]["response"]["output"][0]["id"]
    assert truncated["audio_end_ms"] > 500


def test_the_end_of_playing_comes_behind_the_end_of_the_response() -> None:
    talk = Talk(QUESTION, over="webrtc").run(16)
    kinds = talk.kinds()
    assert kinds[-2:] == ["response.done", "output_audio_buffer.stopped"]


def test_without_turn_detection_the_client_says_what_a_turn_is() -> None:
    talk = Talk(QUESTION)
    talk.turn_detection(None)
    since = len(talk.told)
    talk.run(3)
    assert talk.told[since:] == []
    talk.say("input_audio_buffer.commit")
    assert talk.kinds(since) == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    talk.run(2)
    completed = talk.one("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == QUESTION.text
    assert talk.all("response.created") == []
    talk.say("response.create")
    talk.run(10)
    assert talk.one("response.done")["response"]["status"] == "completed"
    assert talk.call.asked[-1].request.messages[-1].content == QUESTION.text


def test_a_response_asked_for_right_behind_a_commit_waits_for_its_words() -> None:
    talk = Talk(QUESTION)
    talk.turn_detection(None)
    talk.run(3)
    talk.say("input_audio_buffer.commit")
    assert talk.say("response.create", response={"metadata": {"topic": "weather"}}) == []
    assert talk.say("response.create")[0]["error"]["code"] == "conversation_already_has_active_response"
    talk.run(12)
    response = talk.one("response.done")["response"]
    assert response["metadata"] == {"topic": "weather"}
    assert talk.call.asked[-1].request.messages[-1].content == QUESTION.text


def test_what_was_cleared_is_in_no_turn() -> None:
    talk = Talk(Say(0.5, 1.5, "Never mind this."), Say(2.5, 3.5, "But this counts."))
    talk.turn_detection(None)
    talk.run(2)
    assert [event["type"] for event in talk.say("input_audio_buffer.clear")] == ["input_audio_buffer.cleared"]
    talk.run(2)
    talk.say("input_audio_buffer.commit")
    talk.run(1)
    completed = talk.one("conversation.item.input_audio_transcription.completed")
    assert completed["transcript"] == "But this counts."


def test_an_empty_buffer_cannot_be_committed() -> None:
    talk = Talk()
    talk.turn_detection(None)
    talk.say("input_audio_buffer.clear")
    talk.say("input_audio_buffer.commit")
    error = talk.error()
    assert (error["code"], error["event_id"]) == ("input_audio_buffer_commit_empty", "mine")


def test_speech_that_is_cleared_in_the_middle_is_taken_back() -> None:
    talk = Talk(Say(1.0, 6.0, "This goes on and on and on and on.")).run(3)
    item_id = talk.one("input_audio_buffer.speech_started")["item_id"]
    told = talk.say("input_audio_buffer.clear")
    assert [event["type"] for event in told] == ["conversation.item.deleted", "input_audio_buffer.cleared"]
    assert told[0]["item_id"] == item_id


def test_a_commit_ends_a_turn_that_turn_detection_still_waits_for() -> None:
    talk = Talk(Say(1.0, 2.5, "Well, I think that", score=0.05)).run(3)
    assert talk.all("input_audio_buffer.speech_stopped") == []
    talk.say("input_audio_buffer.commit")
    assert talk.all("input_audio_buffer.committed")
    talk.run(0.5)
    assert talk.one("conversation.item.input_audio_transcription.completed")["transcript"] == "Well, I think that"


def test_without_create_response_a_turn_is_heard_and_not_answered() -> None:
    talk = Talk(QUESTION)
    talk.turn_detection({"type": "server_vad", "create_response": False})
    talk.run(8)
    assert talk.one("conversation.item.input_audio_transcription.completed")["transcript"] == QUESTION.text
    assert talk.all("response.created") == []
    assert talk.call.asked == []
    talk.say("response.create")
    talk.run(10)
    assert talk.one("response.done")["response"]["status"] == "completed"


def test_without_interrupt_response_a_reply_is_said_to_its_end() -> None:
    talk = Talk(QUESTION, Say(5.0, 6.5, "Stop, that is enough, thank you."))
    talk.turn_detection({"type": "semantic_vad", "interrupt_response": False})
    talk.run(16)
    assert talk.all("response.done")[0]["response"]["status"] == "completed"


@pytest.mark.parametrize("silence_ms", [300, 1500])
def test_server_vad_waits_for_the_silence_that_was_set(silence_ms: int) -> None:
    talk = Talk(QUESTION)
    talk.turn_detection({"type": "server_vad", "silence_duration_ms": silence_ms})
    talk.run(8)
    stopped_ms = talk.one("input_audio_buffer.speech_stopped")["audio_end_ms"]
    assert 2500 + silence_ms - 100 <= stopped_ms <= 2500 + silence_ms + 150


def test_server_vad_takes_the_sound_before_the_speech_that_was_set() -> None:
    talk = Talk(QUESTION)
    talk.turn_detection({"type": "server_vad", "prefix_padding_ms": 700})
    talk.run(8)
    assert 200 <= talk.one("input_audio_buffer.speech_started")["audio_start_ms"] <= 350


def test_server_vad_does_not_hear_what_is_below_its_threshold() -> None:
    talk = Talk(Say(1.0, 2.5, "Is this loud enough?", voice=0.7))
    talk.turn_detection({"type": "server_vad", "threshold": 0.8})
    talk.run(5)
    assert talk.all("input_audio_buffer.speech_started") == []


@pytest.mark.parametrize(("eagerness", "least_s", "most_s"), [("low", 3.0, 8.1), ("high", 0.5, 2.1)])
def test_eagerness_is_how_long_an_unfinished_turn_is_waited_for(eagerness: str, least_s: float, most_s: float) -> None:
    talk = Talk(Say(1.0, 2.5, "Well, I think that", score=0.05))
    talk.turn_detection({"type": "semantic_vad", "eagerness": eagerness})
    talk.run(14)
    waited_s = talk.one("input_audio_buffer.speech_stopped")["audio_end_ms"] / 1000 - 2.5
    assert least_s <= waited_s <= most_s


def test_after_the_idle_timeout_morgan_says_something() -> None:
    talk = Talk(QUESTION)
    talk.turn_detection({"type": "server_vad", "idle_timeout_ms": 5000})
    talk.run(12)
    end = next(index for index, event in enumerate(talk.told) if event["type"] == "response.done") + 1
    talk.run(8)
    assert talk.kinds(end)[:5] == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
    ]
    triggered = talk.one("input_audio_buffer.timeout_triggered")
    assert triggered["audio_end_ms"] - triggered["audio_start_ms"] == 5000


def test_nobody_is_prompted_before_anything_was_said() -> None:
    talk = Talk()
    talk.turn_detection({"type": "server_vad", "idle_timeout_ms": 2000})
    talk.run(10)
    assert talk.all("input_audio_buffer.timeout_triggered") == []


def test_a_transcription_session_makes_transcripts_and_nothing_else() -> None:
    talk = Talk(QUESTION, Say(6.0, 7.5, "And in London?"))
    heard = {"transcription": {"language": "en"}}
    talk.say("session.update", session={"type": "transcription", "audio": {"input": heard}})
    updated = talk.one("session.updated")["session"]
    assert (updated["type"], updated["object"]) == ("transcription", "realtime.transcription_session")
    talk.run(12)
    done = talk.all("conversation.item.input_audio_transcription.completed")
    assert [event["transcript"] for event in done] == [QUESTION.text, "And in London?"]
    assert talk.call.asked == []
    talk.say("response.create")
    assert talk.error()["code"] == "unsupported_event"


def test_without_transcription_the_words_are_not_told() -> None:
    talk = Talk(QUESTION)
    talk.update(audio={"input": {"transcription": None}})
    talk.run(12)
    assert not [event for event in talk.told if "transcription" in event["type"]]
    assert talk.one("response.done")["response"]["status"] == "completed"


def test_keywords_and_prompt_reach_speech_to_text() -> None:
    talk = Talk(QUESTION)
    asked = {"prompt": "Weather.", "keywords": ["Sacre Coeur"], "language": "fr"}
    talk.update(audio={"input": {"transcription": asked}})
    talk.run(5)
    work = talk.call.effects(Transcribe)[-1]
    assert "Weather. Sacre Coeur" in work.prompt
    assert work.language == "fr"


def spoken(talk: Talk) -> list[str]:
    """The items of the user, in the order in which they came."""
    return [event["item"]["id"] for event in talk.all("conversation.item.added") if event["item"]["role"] == "user"]


def words(talk: Talk) -> list[tuple[str, str]]:
    """What a client that appends what it is told has heard the user say, by item."""
    told = talk.all("conversation.item.input_audio_transcription.completed")
    return [(event["item_id"], event["transcript"]) for event in told]


def gone_on(*more: Say, **settings: Any) -> Talk:
    """A turn that the user goes on with when its words were told and nothing was answered yet."""
    talk = Talk(QUESTION, *more, speech_s_per_char=0.06, **settings)
    talk.call.delays.llm_first = 2.0
    return talk


def test_what_is_said_behind_a_turn_is_an_item_of_its_own_with_the_words_that_were_added() -> None:
    talk = gone_on(Say(3.2, 4.0, "I mean London.")).run(10)
    first, second = spoken(talk)
    assert words(talk) == [(first, QUESTION.text), (second, "I mean London.")]
    assert talk.all("conversation.item.deleted") == []
    assert talk.all("input_audio_buffer.speech_started")[1]["audio_start_ms"] >= 2500
    seconds = [event["usage"]["seconds"] for event in talk.all("conversation.item.input_audio_transcription.completed")]
    assert 0 < seconds[1] < 3
    assert sum(seconds) < 5
    # The language model reads one turn.
    assert talk.call.asked[-1].request.messages[-1].content.endswith(f"{QUESTION.text} I mean London.")


def test_a_turn_that_goes_on_before_its_words_were_told_is_taken_back() -> None:
    options = CallOptions(tools=NO_TOOLS, speculate=False)
    talk = Talk(QUESTION, Say(3.2, 4.0, "I mean London."), options=options)
    talk.call.delays.stt = 1.5
    talk.run(15)
    first, second = spoken(talk)
    assert [event["item_id"] for event in talk.all("conversation.item.deleted")] == [first]
    assert [item_id for item_id, _ in words(talk)] == [second]
    assert "Paris" in words(talk)[0][1]
    assert "London" in words(talk)[0][1]


def test_a_noise_behind_a_turn_tells_none_of_its_words_again() -> None:
    talk = gone_on(Say(3.2, 4.0, "", voice=0.95)).run(15)
    first, second = spoken(talk)
    assert words(talk) == [(first, QUESTION.text)]
    assert [event["item_id"] for event in talk.all("conversation.item.deleted")] == [second]


def test_of_a_turn_that_goes_on_only_the_new_words_are_told_while_it_runs() -> None:
    long = "I mean the one in Texas, where my sister has been living for more than ten years"
    talk = gone_on(Say(3.2, 9.0, long)).run(16)
    _, second = spoken(talk)
    told = [e for e in talk.all("conversation.item.input_audio_transcription.delta") if e["item_id"] == second]
    said = "".join(event["delta"] for event in told)
    assert said
    assert long.startswith(said.strip())


def test_an_item_that_was_deleted_leaves_the_language_model_the_rest_of_its_turn() -> None:
    talk = gone_on(Say(3.2, 4.0, "I mean London.")).run(20)
    first, second = spoken(talk)
    talk.say("conversation.item.delete", item_id=first)
    talk.say("response.create")
    talk.run(10)
    said = [message.content for message in talk.call.asked[-1].request.messages if message.role == "user"]
    assert said == ["I mean London."]
    talk.say("conversation.item.delete", item_id=second)
    talk.type("Are you there?")
    talk.say("response.create")
    talk.run(10)
    said = [message.content for message in talk.call.asked[-1].request.messages if message.role == "user"]
    assert said == ["Are you there?"]


def test_what_is_put_behind_an_item_that_was_added_to_a_turn_stands_behind_the_turn() -> None:
    talk = gone_on(Say(3.2, 4.0, "I mean London.")).run(20)
    _, second = spoken(talk)
    talk.type("And tomorrow?", previous_item_id=second)
    talk.say("response.create")
    talk.run(10)
    said = [message.content for message in talk.call.asked[-1].request.messages if message.role == "user"]
    assert said == [f"{QUESTION.text} I mean London.", "And tomorrow?"]


def test_a_turn_that_is_cleared_while_it_goes_on_is_taken_back_whole() -> None:
    talk = gone_on(Say(3.2, 6.0, "I mean London, the one in Texas.")).run(4.5)
    told = talk.say("input_audio_buffer.clear")
    started = [event["item_id"] for event in talk.all("input_audio_buffer.speech_started")]
    assert [event["item_id"] for event in told if event["type"] == "conversation.item.deleted"] == started[::-1]


def test_speech_that_cannot_be_made_out_is_a_failed_transcription() -> None:
    talk = Talk(Say(1.0, 3.0, "", voice=0.95)).run(6)
    failed = talk.one("conversation.item.input_audio_transcription.failed")
    assert failed["error"]["code"] == "unintelligible"


def test_a_failed_transcription_is_told_as_such() -> None:
    talk = Talk(QUESTION, fail=frozenset({"stt"})).run(6)
    failed = talk.one("conversation.item.input_audio_transcription.failed")
    assert failed["error"]["code"] == "transcription_failed"


def test_a_running_turn_tells_the_words_that_are_certain() -> None:
    talk = Talk(Say(1.0, 9.0, "I would like to know what the weather will be like in Paris on the day after tomorrow"))
    talk.run(8)
    item_id = talk.one("input_audio_buffer.speech_started")["item_id"]
    deltas = talk.all("conversation.item.input_audio_transcription.delta")
    assert deltas
    assert {event["item_id"] for event in deltas} == {item_id}
    assert "I would like to know what" in "".join(event["delta"] for event in deltas)


def test_a_key_of_a_telephone_is_told_and_is_a_turn() -> None:
    talk = Talk(over="webrtc").run(1)
    talk.call.post(KeyPressed("5"))
    talk.call.post(KeyPressed("#"))
    told = talk.all("input_audio_buffer.dtmf_event_received")
    assert [event["event"] for event in told] == ["5", "#"]
    assert all(event["received_at"] > 1_700_000_000 for event in told)
    talk.run(20)
    assert talk.all("response.done")[-1]["response"]["status"] == "completed"
