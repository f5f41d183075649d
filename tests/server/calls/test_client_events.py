"""What a client types on the data channel is held within bounds."""

import json
from typing import Any

from pipeline.call.context import Context, Entry
from pipeline.call.inputs import UserTyped
from pipeline.call.options import CallOptions
from server.bounds import MAX_TEXT
from server.calls.client_events import RealtimeClient
from server.calls.server_events import RealtimeEvents


class Inbox:
    """Where a call's inputs go."""

    def __init__(self) -> None:
        self.posted: list[Any] = []

    def post(self, message: Any) -> None:
        self.posted.append(message)


def typed(text: str) -> str:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return json.dumps({"type": "conversation.item.create", "event_id": "event_7", "item": item})


def client(inbox: Inbox) -> RealtimeClient:
    return RealtimeClient(inbox, RealtimeEvents("call_1", CallOptions(), "a-model"))  # type: ignore[arg-type]


def test_typed_items_wait_up_to_a_bound_and_what_is_over_it_is_told() -> None:
    inbox = Inbox()
    talking = client(inbox)
    answers = [talking.receive(typed("x" * 10_000)) for _ in range(500)]
    assert answers[0] == []
    for (told,) in answers[1:]:
        assert (told["type"], told["error"]["code"]) == ("error", "too_much_typed")
        assert told["error"]["event_id"] == "event_7"
    assert talking.receive(json.dumps({"type": "response.create"})) == []
    assert inbox.posted == [UserTyped("x" * 10_000)]


def test_a_text_may_come_in_pieces_and_the_next_one_has_its_own_bound() -> None:
    inbox = Inbox()
    talking = client(inbox)
    for _ in range(3):
        for _ in range(10):
            assert talking.receive(typed("y" * (MAX_TEXT // 10 - 1))) == []
        assert talking.receive(json.dumps({"type": "response.create"})) == []
    assert [len(said.text) for said in inbox.posted] == [MAX_TEXT - 1] * 3


def test_a_call_in_which_much_is_typed_keeps_what_the_model_sees_and_not_all_of_it() -> None:
    context = Context("", "conversation", max_entries=10)
    for index in range(5_000):
        context.add(Entry(f"item_{index}", "user", "z" * 1_000))
    assert len(context.entries) == 40
    assert [entry.item_id for entry in context.seen()] == [f"item_{index}" for index in range(4_990, 5_000)]
