"""Items of a Realtime session: created, placed, shown, deleted, truncated, and what the model gets to see of them."""

from typing import Any

import pytest

from server.realtime.client_events import ReferenceItem
from server.realtime.errors import RealtimeError
from server.realtime.wishes import asked_messages
from tests.server.realtime.talking import Say, Talk


def message(role: str, text: str, **more: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    return {"type": "message", "role": role, "content": [{"type": kind, "text": text}], **more}


def said(talk: Talk) -> list[tuple[str, str]]:
    """What the model was asked last, without the instructions."""
    return [(message.role, message.content) for message in talk.call.asked[-1].request.messages[1:]]


def respond(talk: Talk, **response: Any) -> None:
    talk.say("response.create", **({"response": response} if response else {}))
    talk.run(16)


def test_a_typed_message_is_added_and_answered() -> None:
    talk = Talk()
    item_id = talk.type("Hello there.")
    assert talk.kinds(1) == ["conversation.item.added", "conversation.item.done"]
    respond(talk)
    assert said(talk) == [("user", "Hello there.")]
    added = [event for event in talk.all("conversation.item.added") if event["item"]["role"] == "assistant"]
    assert added[0]["previous_item_id"] == item_id
    assert talk.one("response.done")["response"]["status"] == "completed"


def test_items_go_where_the_client_puts_them() -> None:
    talk = Talk()
    first = talk.type("first")
    third = talk.type("third")
    put = talk.say("conversation.item.create", item=message("assistant", "second", id="two"), previous_item_id=first)
    assert put[0]["previous_item_id"] == first
    begin = talk.say("conversation.item.create", item=message("system", "zeroth", id="zero"), previous_item_id="root")
    assert begin[0]["previous_item_id"] is None
    last = talk.say("conversation.item.create", item=message("user", "fourth"), previous_item_id=third)
    assert last[0]["previous_item_id"] == third
    respond(talk)
    assert said(talk) == [
        ("system", "zeroth"),
        ("user", "first"),
        ("assistant", "second"),
        ("user", "third"),
        ("user", "fourth"),
    ]


def test_an_item_behind_one_that_is_not_there_is_refused() -> None:
    talk = Talk()
    talk.say("conversation.item.create", item=message("user", "x"), previous_item_id="nobody")
    error = talk.error()
    assert (error["code"], error["param"]) == ("item_create_invalid_previous_item_id", "previous_item_id")
    assert error["event_id"] == "mine"


def test_two_items_cannot_have_one_id() -> None:
    talk = Talk()
    talk.say("conversation.item.create", item=message("user", "x", id="one"))
    talk.say("conversation.item.create", item=message("user", "y", id="one"))
    assert talk.error()["code"] == "item_create_duplicate_item_id"


def test_a_deleted_item_is_said_to_nobody() -> None:
    talk = Talk()
    secret = talk.type("My number is 42.")
    talk.type("What is my number?")
    (deleted,) = talk.say("conversation.item.delete", item_id=secret)
    assert (deleted["type"], deleted["item_id"]) == ("conversation.item.deleted", secret)
    respond(talk)
    assert said(talk) == [("user", "What is my number?")]
    talk.say("conversation.item.retrieve", item_id=secret)
    assert talk.error()["code"] == "item_retrieve_invalid_item_id"


@pytest.mark.parametrize("verb", ["retrieve", "delete", "truncate"])
def test_what_is_not_there_is_refused_with_the_code_that_clients_take_for_a_race(verb: str) -> None:
    talk = Talk()
    more = {"content_index": 0, "audio_end_ms": 100} if verb == "truncate" else {}
    talk.say(f"conversation.item.{verb}", item_id="nobody", **more)
    error = talk.error()
    assert (error["code"], error["param"]) == (f"item_{verb}_invalid_item_id", "item_id")
    assert "nobody" in error["message"]


def test_a_spoken_turn_can_be_retrieved_with_its_words() -> None:
    talk = Talk(Say(1.0, 2.5, "What is the weather in Paris?")).run(6)
    item_id = talk.one("input_audio_buffer.committed")["item_id"]
    (shown,) = talk.say("conversation.item.retrieve", item_id=item_id)
    assert shown["type"] == "conversation.item.retrieved"
    assert shown["item"]["content"] == [{"type": "input_audio", "transcript": "What is the weather in Paris?"}]


def test_only_the_assistants_audio_can_be_truncated() -> None:
    talk = Talk()
    item_id = talk.type("Hello.")
    talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=0)
    assert talk.error()["param"] == "item_id"


def test_truncating_a_reply_that_still_sounds_ends_it() -> None:
    talk = Talk()
    talk.type("Tell me of Paris.")
    talk.say("response.create")
    talk.run(3)
    item_id = talk.all("response.output_item.added")[0]["item"]["id"]
    since = len(talk.told)
    talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=1000)
    assert "response.done" in talk.kinds(since)
    done = talk.one("response.done")["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    heard = done["output"][0]["content"][0]["transcript"]
    assert heard
    assert talk.call.reply.startswith(heard)
    # 60 ms a character: of a second of audio about 17 characters were heard.
    assert 5 <= len(heard) <= 20


@pytest.mark.parametrize("end_ms", [0, 400, 1000, 2500])
def test_what_is_left_of_a_truncated_reply_are_the_words_up_to_that_moment(end_ms: int) -> None:
    talk = Talk()
    talk.type("Tell me of Paris.")
    respond(talk)
    item_id = talk.one("response.done")["response"]["output"][0]["id"]
    talk.say("conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=end_ms)
    kept = [entry.text for entry in talk.call.context.entries if entry.item_id == item_id]
    heard = kept[0] if kept else ""
    assert talk.call.reply.startswith(heard)
    assert abs(len(heard) * 60 - end_ms) <= 500
    assert not heard or talk.call.reply[len(heard)] == " "


def test_the_phase_of_what_an_assistant_has_said_is_kept() -> None:
    talk = Talk()
    talk.say("conversation.item.create", item=message("assistant", "Let me see.", id="one", phase="commentary"))
    (shown,) = talk.say("conversation.item.retrieve", item_id="one")
    assert shown["item"]["phase"] == "commentary"
    talk.say("conversation.item.create", item=message("assistant", "It is.", phase="afterthought"))
    assert (talk.error()["code"], talk.error()["param"]) == ("invalid_value", "item.phase")


def test_text_of_the_wrong_side_is_refused() -> None:
    talk = Talk()
    content = [{"type": "output_text", "text": "x"}]
    talk.say("conversation.item.create", item={"type": "message", "role": "user", "content": content})
    assert "input_text" in talk.error()["message"]


def test_a_conversation_keeps_a_bounded_number_of_items() -> None:
    talk = Talk()
    first = talk.type("x" * 15_000)
    for _ in range(400):
        talk.type("y" * 15_000)
    assert first not in talk.session.items
    talk.say("conversation.item.retrieve", item_id=first)
    assert talk.error()["code"] == "item_retrieve_invalid_item_id"


def test_an_item_that_is_named_again_and_again_is_not_multiplied() -> None:
    """A thousand references to one long item made a gigabyte of messages."""
    item = {**message("user", ""), "content": [{"type": "input_text", "text": "x" * 16_000}] * 100}
    found = 0

    def find(_: str) -> dict[str, Any]:
        nonlocal found
        found += 1
        return item

    asked = [ReferenceItem(type="item_reference", id="a")] * 1_000
    assert len(asked_messages(asked[:2], find, lambda _: ())) == 2
    found = 0
    with pytest.raises(RealtimeError, match="at most 4000000 characters"):
        asked_messages(asked, find, lambda _: ())
    assert found == 3
