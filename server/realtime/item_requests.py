"""What clients of a Realtime session want of the items of the conversation: put in, taken out, cut short, approved."""

from collections.abc import Callable

from pipeline.call.context import Entry
from pipeline.call.requests import ApproveTool, InsertEntry, RemoveEntry, TruncateReply
from pipeline.engines.protocols import ToolCall
from server.realtime.client_events import (
    ApprovalItem,
    CreateItem,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    MessageItem,
    TruncateItem,
)
from server.realtime.errors import RealtimeError
from server.realtime.items import ROOT, Json, function_call, function_output, message
from server.realtime.session_view import SessionView
from server.realtime.shown_images import refuse_images, without_old_images
from server.realtime.spoken_items import SpokenItems


class ItemRequests:
    """Carries out what clients want of items, in the call and in what they see of it.

    Args:
        view: of the session.

    Attributes:
        spoken: items with audio in them.
    """

    def __init__(self, view: SessionView) -> None:
        self._view = view
        self.spoken = SpokenItems(view, self._insert)

    def create(self, event: CreateItem) -> None:
        """`conversation.item.create`; raises RealtimeError."""
        item, after = event.item, event.previous_item_id
        if self._view.config.kind == "transcription":
            raise RealtimeError("unsupported_event", "A transcription session has no items but transcripts", "type")
        if item.id is not None and item.id in self._view.items:
            message = f"Error adding item: an item with id '{item.id}' already exists."
            raise RealtimeError("item_create_duplicate_item_id", message, "item.id")
        if after is not None and after != ROOT and after not in self._view.items:
            message = f"Error adding item: the previous item with id '{after}' does not exist."
            raise RealtimeError("item_create_invalid_previous_item_id", message, "previous_item_id")
        if isinstance(item, ApprovalItem):
            self._approve(item, after)
            return
        if isinstance(item, MessageItem):
            places = [f"item.content[{i}]" for i, part in enumerate(item.content) if part.type == "input_image"]
            refuse_images(item.images(), self._view.config.abilities, places)
        if isinstance(item, MessageItem) and any(part.audio and not part.transcript for part in item.content):
            self.spoken.create(item, after)
            return
        self._insert(item, item.id or self._view.new_id("item"), after)

    def delete(self, item_id: str) -> None:
        """`conversation.item.delete`; raises RealtimeError."""
        self._view.item(item_id, "delete")
        turn_id, before = self._view.events.turns.turn_of(item_id), self._entry_before(item_id)
        known = turn_id in self._known()
        self._view.items.remove(item_id)
        self._view.call.actor.post(RemoveEntry(turn_id))
        # The rest of a turn that is several items has still been said.
        rest = " ".join(self._words(part) for part in self._view.events.turns.parts(turn_id))
        if known and rest:
            self._view.call.actor.post(InsertEntry(Entry(turn_id, "user", rest), before, kept=False))
        self._view.tell("conversation.item.deleted", {"item_id": item_id})

    def truncate(self, event: TruncateItem) -> None:
        """`conversation.item.truncate`; raises RealtimeError."""
        item, end_ms = self._view.item(event.item_id, "truncate"), event.audio_end_ms
        content = item.get("content") or []
        if item.get("role") != "assistant" or (content and content[0]["type"] != "output_audio"):
            raise RealtimeError("invalid_value", "Only the audio of the assistant can be truncated.", "item_id")
        if event.content_index != 0:
            raise RealtimeError("invalid_value", "The message has one part: content_index is 0.", "content_index")
        port, answering = self._view.port, self._view.call.actor.machine.requests
        sent_ms = port.heard_ms(event.item_id) if port is not None else None
        length_ms = answering.audio_ms(event.item_id) if sent_ms is None else sent_ms
        if end_ms > length_ms:
            message = f"Audio content of {length_ms}ms is already shorter than {end_ms}ms"
            raise RealtimeError("invalid_value", message, "audio_end_ms")
        at_ms = port.at(event.item_id, end_ms) if port is not None else end_ms
        self._view.call.actor.post(TruncateReply(event.item_id, at_ms))
        if port is not None:
            place: Json = {"item_id": event.item_id, "content_index": 0, "audio_end_ms": end_ms}
            self._view.tell("conversation.item.truncated", place)

    def _approve(self, item: ApprovalItem, after: str | None) -> None:
        """The client has decided on what a tool of an MCP server is asked."""
        request = self._view.item(item.approval_request_id)
        if request["type"] != "mcp_approval_request" or not self._view.events.decide(item.approval_request_id):
            message = f"'{item.approval_request_id}' is no request for approval that is open."
            raise RealtimeError("invalid_value", message, "item.approval_request_id")
        item_id = item.id or self._view.new_id("mcpr")
        shown: Json = {"id": item_id, "type": "mcp_approval_response", "approve": item.approve, "reason": item.reason}
        shown["approval_request_id"] = item.approval_request_id
        for kind, fields in self._view.events.added(shown, after):
            self._view.tell(kind, fields)
        self._view.call.actor.post(ApproveTool(item.approval_request_id, item.approve, item.reason or ""))

    def _insert(self, item: Item, item_id: str, after: str | None) -> None:
        """Put an item into the conversation, where its place still is."""
        if after is not None and after != ROOT and after not in self._view.items:
            after = None
        shown = _shown(item, item_id, self._view.new_id)
        for kind, fields in self._view.events.added(shown, after):
            self._view.tell(kind, fields)
        entry = _entry(item, item_id, shown)
        if entry.text or entry.images or entry.tool_calls or entry.role == "tool":
            post = self._view.call.actor.post
            post(InsertEntry(entry, self._entry_before(item_id) if after is not None else None))
            for without in without_old_images(self._entries()) if entry.images else ():
                post(without)

    def _entry_before(self, item_id: str) -> str:
        """What the language model knows of that stands before an item: an entry's id, "" for nothing."""
        known, turn_of = self._known(), self._view.events.turns.turn_of
        before = (turn_of(other) for other in self._view.items.before(item_id))
        return next((entry_id for entry_id in before if entry_id in known and entry_id != turn_of(item_id)), "")

    def _known(self) -> set[str]:
        """Ids of what the language model knows of."""
        return {entry.item_id for entry in self._entries()}

    def _entries(self) -> list[Entry]:
        return self._view.call.actor.machine.context.entries

    def _words(self, item_id: str) -> str:
        item = self._view.items.get(item_id) or {}
        return " ".join(part.get("transcript") or part.get("text") or "" for part in item.get("content", ())).strip()


def _shown(item: Item, item_id: str, new_id: Callable[[str], str]) -> Json:
    """An item as the client sees it."""
    match item:
        case MessageItem():
            content = [part.model_dump(exclude_none=True, exclude={"audio", "image_url"}) for part in item.content]
            for part in content:
                if part["type"] == "input_audio":
                    # Some clients throw where this is missing.
                    part.setdefault("transcript", None)
            shown = message(item_id, item.role, item.status or "completed", content)
            return {**shown, "phase": item.phase} if item.role == "assistant" and item.phase else shown
        case FunctionCallItem():
            return function_call(item_id, item.call_id or new_id("call"), item.name, item.arguments)
        case FunctionOutputItem():
            return function_output(item_id, item.call_id, item.words())


def _entry(item: Item, item_id: str, shown: Json) -> Entry:
    """An item as the language model gets to know it."""
    match item:
        case MessageItem():
            return Entry(item_id, item.role, item.words(), images=item.images())
        case FunctionCallItem():
            call = ToolCall(shown["call_id"], item.name, item.arguments)
            return Entry(item_id, "assistant", "", tool_calls=(call,))
        case FunctionOutputItem():
            return Entry(item_id, "tool", item.words(), tool_call_id=item.call_id)
