"""What clients say on the data channel: the events of the OpenAI Realtime API that a call understands."""

import json
from typing import Any

from pipeline.call.actor import CallActor
from pipeline.call.inputs import StopReply, UserTyped
from server.bounds import MAX_CHANNEL_MESSAGE, MAX_TEXT
from server.calls.server_events import Json, RealtimeEvents


class RealtimeClient:
    """Applies client events to one call.

    Args:
        actor: the call.
        events: makes the answers.
    """

    def __init__(self, actor: CallActor, events: RealtimeEvents) -> None:
        self._actor = actor
        self._events = events
        self._typed: list[str] = []

    def receive(self, text: str) -> list[Json]:
        """Apply a message; returns what to answer. Whatever comes, the call goes on."""
        if len(text) > MAX_CHANNEL_MESSAGE:
            message = f"A message may have at most {MAX_CHANNEL_MESSAGE} characters"
            return [self._events.error("message_too_long", message)]
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            return [self._events.error("invalid_json", "The message is not JSON")]
        if not isinstance(event, dict) or not isinstance(event.get("type"), str):
            return [self._events.error("invalid_event", 'An event is an object with a "type"')]
        event_id = event.get("event_id")
        return self._apply(event["type"], event, event_id if isinstance(event_id, str) else None)

    def _apply(self, kind: str, event: dict[str, Any], event_id: str | None) -> list[Json]:
        match kind:
            case "session.update":
                return [self._events.session("session.updated")]
            case "response.cancel" | "output_audio_buffer.clear":
                self._actor.post(StopReply())
                return []
            case "conversation.item.create":
                return self._create_item(event, event_id)
            case "response.create":
                if not self._typed:
                    message = "There is nothing to respond to: create an item first, or speak"
                    return [self._events.error("response_create_nothing_to_answer", message, event_id)]
                said, self._typed = " ".join(self._typed), []
                self._actor.post(UserTyped(said))
                return []
        return [self._events.error("unknown_event", f"{kind[:80]} is not supported on a call", event_id)]

    def _create_item(self, event: dict[str, Any], event_id: str | None) -> list[Json]:
        item = event.get("item")
        content = item.get("content") if isinstance(item, dict) else None
        parts = content if isinstance(content, list) else []
        texts = [
            part["text"].strip()
            for part in parts
            if isinstance(part, dict) and part.get("type") == "input_text" and isinstance(part.get("text"), str)
        ]
        if not isinstance(item, dict) or item.get("role") != "user" or not any(texts):
            message = "Only user messages with input_text can be created on a call"
            return [self._events.error("unsupported_item", message, event_id)]
        typed = [*self._typed, *(text for text in texts if text)]
        if sum(len(text) + 1 for text in typed) > MAX_TEXT:
            message = f"At most {MAX_TEXT} characters may wait for a response.create; this item was left out"
            return [self._events.error("too_much_typed", message, event_id)]
        self._typed = typed
        return []
