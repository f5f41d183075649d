"""Images in a Realtime conversation: shown to a model that sees, kept for what follows, refused for a blind one."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.call.effects import Emit
from pipeline.call.events import TurnCommitted
from pipeline.call.replay.codec import effect_json, input_json
from pipeline.call.requests import InsertEntry
from pipeline.engines.images import Image, with_placeholders
from server.bounds import MAX_IMAGE, MAX_IMAGES, MAX_IMAGES_TOGETHER, MAX_REALTIME_EVENT
from tests.images import png
from tests.server.realtime.talking import Say, Talk


def seeing(*script: Say) -> Talk:
    """A client of a server whose language model sees."""
    talk = Talk(*script)
    talk.session.config.abilities = replace(talk.session.config.abilities, sees_images=True)
    return talk


def shown(*parts: str) -> dict[str, Any]:
    """An item of the user: data URLs are images, the rest is text."""
    content = [
        {"type": "input_image", "image_url": part} if ":" in part[:-1] else {"type": "input_text", "text": part}
        for part in parts
    ]
    return {"type": "message", "role": "user", "content": content}


def show(talk: Talk, item: dict[str, Any]) -> None:
    """Send it as over a WebSocket, where an event may be as long as an image is."""
    event = {"type": "conversation.item.create", "item": item}
    talk.session.receive(json.dumps(event), talk, limit=MAX_REALTIME_EVENT)


def images_asked(talk: Talk) -> list[str]:
    """What the language model was shown with the last question, all turns together."""
    return [image.url for message in talk.call.asked[-1].request.messages for image in message.images]


def respond(talk: Talk, **wanted: Any) -> None:
    talk.say("response.create", **({"response": wanted} if wanted else {}))
    talk.run(20)


def test_the_model_is_shown_an_image_at_its_place_in_the_words() -> None:
    talk = seeing()
    show(talk, shown("This is mine.", png("a cat"), "And this?"))
    respond(talk)
    message = talk.call.asked[-1].request.messages[-1]
    assert message.content == "This is mine. And this?"
    assert message.images == (Image(png("a cat"), len("This is mine.")),)


def test_an_image_is_still_shown_in_the_turns_that_follow() -> None:
    talk = seeing(Say(25.0, 26.5, "And what colour is it?"))
    show(talk, shown(png("a cat"), "What is this?"))
    respond(talk)
    talk.run(20)
    assert talk.call.asked[-1].request.asked.endswith("And what colour is it?")
    assert images_asked(talk) == [png("a cat")]


def test_an_image_alone_is_part_of_the_conversation() -> None:
    talk = seeing()
    show(talk, shown(png("a cat")))
    respond(talk)
    assert images_asked(talk) == [png("a cat")]


def test_memory_is_told_of_an_image_in_a_few_letters() -> None:
    talk = seeing()
    show(talk, shown("Look:", png("a cat", 1_000_000)))
    events = [effect.event for effect in talk.call.effects(Emit)]
    assert [event.typed for event in events if isinstance(event, TurnCommitted)] == ["Look: [image]"]


def test_the_recorded_inputs_of_a_call_hold_no_image() -> None:
    talk = seeing()
    show(talk, shown("Look:", png("a cat", 1_000_000)))
    respond(talk)
    entry = talk.call.context.entries[0]
    assert len(str(input_json(InsertEntry(entry)))) < 1_000
    assert len(str(effect_json(talk.call.asked[-1]))) < 5_000


def test_the_client_is_not_sent_its_own_image_back() -> None:
    talk = seeing()
    show(talk, {**shown(png("a cat"), "What is this?"), "id": "one"})
    (told,) = talk.say("conversation.item.retrieve", item_id="one")
    assert told["item"]["content"] == [{"type": "input_image"}, {"type": "input_text", "text": "What is this?"}]


def test_a_deleted_image_is_shown_no_more() -> None:
    talk = seeing()
    show(talk, {**shown(png("a cat"), "What is this?"), "id": "one"})
    talk.say("conversation.item.delete", item_id="one")
    talk.type("Hello.")
    respond(talk)
    assert images_asked(talk) == []


def test_the_oldest_images_give_way_and_are_still_told_of() -> None:
    talk = seeing()
    for number in range(MAX_IMAGES + 2):
        show(talk, shown(f"Number {number}:", png(str(number))))
    respond(talk)
    assert images_asked(talk) == [png(str(number)) for number in range(2, MAX_IMAGES + 2)]
    said = [message.content for message in talk.call.asked[-1].request.messages if message.role == "user"]
    assert said[:3] == ["Number 0: [image]", "Number 1: [image]", "Number 2:"]


def test_large_images_give_way_by_their_size() -> None:
    talk = seeing()
    size = MAX_IMAGE * 3 // 4 - 100
    for number in range(MAX_IMAGES_TOGETHER // MAX_IMAGE + 1):
        show(talk, shown(png(str(number), size)))
    respond(talk)
    assert len(images_asked(talk)) == MAX_IMAGES_TOGETHER // MAX_IMAGE
    assert images_asked(talk)[-1] == png(str(number), size)


def test_the_input_of_one_response_may_show_and_point_at_images() -> None:
    talk = seeing()
    show(talk, {**shown(png("a cat"), "Mine."), "id": "one"})
    wanted = [{"type": "item_reference", "id": "one"}, shown(png("a dog"), "And this?")]
    respond(talk, input=wanted)
    assert images_asked(talk) == [png("a cat"), png("a dog")]


def test_an_image_that_is_pointed_at_stands_where_it_stood_in_the_words() -> None:
    talk = seeing()
    show(talk, {**shown("  This is mine. ", png("a cat"), " And this? "), "id": "one"})
    respond(talk, input=[{"type": "item_reference", "id": "one"}])
    (message,) = [each for each in talk.call.asked[-1].request.messages if each.role == "user"]
    assert with_placeholders(message.content, message.images) == "This is mine. [image] And this?"


def test_a_blind_model_is_shown_nothing_and_the_client_is_told_so() -> None:
    talk = Talk()
    show(talk, shown("Look:", png("a cat")))
    error = talk.error()
    assert (error["code"], error["param"]) == ("unsupported_parameter", "item.content[1].type")
    assert "input_image" in error["message"]
    assert not talk.call.context.entries
    talk.say("response.create", response={"input": [shown(png("a cat"))]})
    assert (talk.error()["code"], talk.error()["param"]) == ("unsupported_parameter", "response.input")


@pytest.mark.parametrize(
    ("url", "code", "told"),
    [
        ("https://example.com/cat.png", "unsupported_parameter", "No address is fetched here"),
        ("file:///etc/passwd", "unsupported_parameter", "No address is fetched here"),
        ("data:text/html;base64,AAAA", "invalid_value", "PNG, JPEG, WebP or GIF"),
        ("data:image/png;base64,not base64", "invalid_value", "not base64"),
        ("data:image/png;base64,", "invalid_value", "not base64"),
        (png(size=MAX_IMAGE), "invalid_value", "at most"),
    ],
)
def test_what_is_no_image_is_refused_by_name(url: str, code: str, told: str) -> None:
    talk = seeing()
    show(talk, shown("Look:", url))
    error = talk.error()
    assert (error["code"], error["param"]) == (code, "item.content[1].image_url")
    assert told in error["message"]
    assert not talk.call.context.entries


def test_too_many_images_in_one_item_are_refused() -> None:
    talk = seeing()
    show(talk, shown(*[png(str(number)) for number in range(MAX_IMAGES + 1)]))
    assert f"at most {MAX_IMAGES} images" in talk.error()["message"]


def test_only_the_user_shows_images() -> None:
    talk = seeing()
    show(talk, {**shown(png()), "role": "system"})
    assert "input_text" in talk.error()["message"]


def test_an_image_needs_its_url() -> None:
    talk = seeing()
    content = [{"type": "input_image"}]
    show(talk, {"type": "message", "role": "user", "content": content})
    assert "image_url" in talk.error()["message"]
