"""The order in which a client may rely on being told of responses and of turns; every `Talk` holds its events to it."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

PARTS = {"output_text": "text", "output_audio": "audio", "output_audio_transcript": "audio"}
"""What kind of part the events of a name belong into: `response.<name>.delta` and `.done`."""


@dataclass
class _Item:
    """An output item of a response that is under way."""

    added: Json
    part: str | None = None
    part_done: bool = False
    done: Json | None = None


@dataclass
class _Response:
    """A response that is under way."""

    items: list[_Item] = field(default_factory=list)


class Lifecycle:
    """Looks at one event after the other; raises AssertionError where one comes out of order."""

    def __init__(self) -> None:
        self._responses: dict[str, _Response] = {}
        self._done: set[str] = set()
        self._speaking: set[str] = set()
        self._spoken: set[str] = set()
        self._over: set[str] = set()

    def see(self, event: Json) -> None:
        """The next event."""
        kind = event["type"]
        if kind == "response.created":
            response = event["response"]
            assert response["id"] not in self._done | set(self._responses), "one id, one response"
            assert (response["status"], response["output"]) == ("in_progress", [])
            self._responses[response["id"]] = _Response()
        elif kind == "response.done":
            self._end(event["response"])
        elif "response_id" in event and kind.startswith("response."):
            assert event["response_id"] in self._responses, f"{kind} outside of its response"
            self._of_item(kind, event, self._responses[event["response_id"]])
        elif kind.startswith("input_audio_buffer.speech_"):
            self._of_turn(kind, event["item_id"])
        elif kind.startswith("conversation.item.input_audio_transcription.") and event["item_id"] in self._spoken:
            assert event["item_id"] not in self._over, "the words of an item are told once, and behind them nothing"
            if not kind.endswith("delta"):
                self._over.add(event["item_id"])

    def _of_item(self, kind: str, event: Json, response: _Response) -> None:
        if kind == "response.output_item.added":
            assert event["output_index"] == len(response.items), "output_index counts from zero, without gaps"
            response.items.append(_Item(event["item"]))
            return
        item = response.items[event["output_index"]]
        assert item.done is None, f"{kind} behind the end of its item"
        assert event.get("item_id", item.added["id"]) == item.added["id"], "an output_index keeps its item"
        name, _, _ = kind.removeprefix("response.").rpartition(".")
        if name == "content_part":
            self._of_part(kind, event, item)
        elif name in PARTS:
            assert (item.part, item.part_done) == (PARTS[name], False), f"{kind} outside of its part"
        elif kind == "response.output_item.done":
            assert (event["item"]["id"], event["item"]["type"]) == (item.added["id"], item.added["type"])
            assert item.part_done == (item.added["type"] == "message"), "a message ends behind its part"
            item.done = event["item"]

    def _of_part(self, kind: str, event: Json, item: _Item) -> None:
        if kind.endswith(".added"):
            assert item.part is None, "a message has one part"
            item.part = event["part"]["type"]
        else:
            assert (item.part, item.part_done) == (event["part"]["type"], False), "a part ends once, as what it began"
            item.part_done = True

    def _end(self, response: Json) -> None:
        begun = self._responses.pop(response["id"], None)
        assert begun is not None, "a response ends once"
        self._done.add(response["id"])
        assert response["status"] != "in_progress"
        assert [item.done for item in begun.items] == response["output"], "what is told in the end is what was told"

    def _of_turn(self, kind: str, item_id: str) -> None:
        if kind.endswith("started"):
            assert item_id not in self._spoken, "speech of an item begins once"
            self._speaking.add(item_id)
            self._spoken.add(item_id)
        else:
            assert item_id in self._speaking, "what stops has begun"
            self._speaking.remove(item_id)
