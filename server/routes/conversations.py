"""`/api/conversations`: what was said, to be listed, read, taken away and deleted."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from persistence import export
from persistence.values import Conversation, Message, Role
from server.conversations.requests import OneConversation, PathId, found_conversation
from server.http.acting import acting_user, named_user
from server.http.errors import ApiError
from server.http.fields import UserId
from server.http.operation import Answer, operation
from server.http.uninterrupted import to_the_end
from server.memory.door import MEMORY

MAX_PAGE = 200

routes = web.RouteTableDef()


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Paged(_Query):
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


class ListConversations(_Paged):
    """Whose conversations, and which part of the list."""

    user_id: UserId


class ListMessages(_Paged):
    """Of which conversation, from which end, and which part."""

    conversation_id: PathId
    user_id: UserId | None = None
    order: Literal["asc", "desc"] = "asc"


class Export(OneConversation):
    """Which conversation, as what."""

    format: Literal["json", "txt", "vtt"] = "json"


class ShownConversation(BaseModel):
    """A conversation, without what was said in it."""

    id: UUID
    user_id: str
    title: str | None
    language: str | None
    started_at: datetime
    updated_at: datetime
    ended_at: datetime | None
    channel: str
    metadata: dict[str, Any]
    message_count: int


class WholeConversation(ShownConversation):
    """A conversation and the recordings of its calls."""

    recordings: list[dict[str, Any]]


class Conversations(BaseModel):
    """A part of the list; `next_cursor` asks for the next one, null at the end."""

    conversations: list[ShownConversation]
    next_cursor: str | None


class ShownMessage(BaseModel):
    """What was said; of a reply, what was heard. Latencies in milliseconds by stage."""

    id: UUID
    conversation_id: UUID
    sequence_number: int
    role: Role
    content: str
    created_at: datetime
    interrupted: bool
    latency: dict[str, float]
    metadata: dict[str, Any]


class Messages(BaseModel):
    """A part of the conversation; `next_cursor` asks for the next one, null at the end."""

    messages: list[ShownMessage]
    next_cursor: str | None


EXPORTS = {
    "json": (export.as_json, "application/json"),
    "txt": (export.as_text, "text/plain"),
    "vtt": (export.as_vtt, "text/vtt"),
}


def shown_conversation(conversation: Conversation) -> dict[str, Any]:
    """A conversation as JSON values."""
    return {name: _plain(getattr(conversation, name)) for name in Conversation.__slots__}


def shown_message(message: Message) -> dict[str, Any]:
    """A message as JSON values."""
    return {name: _plain(getattr(message, name)) for name in Message.__slots__}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


@routes.get("/api/conversations")
@operation(
    "conversations",
    scope="read",
    cost="work",
    params=ListConversations,
    answers={200: Answer("A part of the list", Conversations)},
    errors=(400, 404, 503),
)
async def list_conversations(request: web.Request, params: ListConversations) -> web.Response:
    """A user's conversations, latest first."""
    memory = request.app[MEMORY].opened()
    page = await memory.list_conversations(named_user(request, params.user_id), params.limit, params.cursor)
    conversations = [shown_conversation(each) for each in page.items]
    return web.json_response({"conversations": conversations, "next_cursor": page.next_cursor})


@routes.get("/api/conversations/{conversation_id}")
@operation(
    "conversations",
    scope="read",
    cost="work",
    params=OneConversation,
    answers={200: Answer("The conversation", WholeConversation)},
    errors=(404, 503),
)
async def show_conversation(request: web.Request, params: OneConversation) -> web.Response:
    """One conversation, without its messages; with the recordings of its calls, where there are any."""
    door = request.app[MEMORY]
    found = await found_conversation(request, door.opened(), params.conversation_id, params.user_id)
    recordings = await door.recordings.list(found.user_id, found.id)
    return web.json_response({**shown_conversation(found), "recordings": recordings})


@routes.get("/api/conversations/{conversation_id}/messages")
@operation(
    "conversations",
    scope="read",
    cost="work",
    params=ListMessages,
    answers={200: Answer("A part of the conversation", Messages)},
    errors=(400, 404, 503),
)
async def list_messages(request: web.Request, params: ListMessages) -> web.Response:
    """Messages of a conversation in order, or latest first."""
    memory = request.app[MEMORY].opened()
    found = await found_conversation(request, memory, params.conversation_id, params.user_id)
    newest_first = params.order == "desc"
    page = await memory.messages(str(found.id), found.user_id, params.limit, params.cursor, newest_first=newest_first)
    messages = [shown_message(each) for each in page.items]
    return web.json_response({"messages": messages, "next_cursor": page.next_cursor})


@routes.get("/api/conversations/{conversation_id}/export")
@operation(
    "conversations",
    scope="read",
    cost="work",
    params=Export,
    answers={200: Answer("The file", content=tuple(content_type for _, content_type in EXPORTS.values()))},
    errors=(404, 503),
)
async def export_conversation(request: web.Request, params: Export) -> web.Response:
    """A conversation as a file."""
    memory = request.app[MEMORY].opened()
    found = await found_conversation(request, memory, params.conversation_id, params.user_id)
    messages = await memory.conversations.all_messages(found.id, found.user_id)
    render, content_type = EXPORTS[params.format]
    name = export.file_name(found, params.format)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    # As long as all that was ever said in it: in one go it would keep the event loop from the sound of calls.
    text = await asyncio.to_thread(render, found, messages)
    return web.Response(text=text, content_type=content_type, charset="utf-8", headers=headers)


@routes.delete("/api/conversations/{conversation_id}")
@operation(
    "conversations",
    scope="erase",
    cost="work",
    params=OneConversation,
    answers={204: Answer("Nothing is left of it")},
    errors=(404, 503),
)
async def delete_conversation(request: web.Request, params: OneConversation) -> web.Response:
    """Delete a conversation: rows, copies, vectors and recordings."""
    memory = request.app[MEMORY].opened()
    user_id = acting_user(request, params.user_id)
    if user_id is None:
        user_id = (await found_conversation(request, memory, params.conversation_id, None)).user_id
    if not await to_the_end(memory.delete_conversation(user_id, params.conversation_id)):
        raise ApiError(404, "conversation_not_found", "There is no such conversation")
    return web.Response(status=204)
