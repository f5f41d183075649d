"""`/api/conversations`: what was said, to be listed, read, taken away and deleted."""

from typing import Annotated, Any, Literal
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from persistence import export
from persistence.ids import parse_uuid
from persistence.memory import Memory
from persistence.values import Conversation, Message
from server.errors import ApiError, read_query
from server.fields import UserId
from server.memory_door import MEMORY

MAX_PAGE = 200

routes = web.RouteTableDef()


def _uuid(value: str) -> str:
    if parse_uuid(value) is None:
        raise ValueError("must be a uuid")
    return value


PathId = Annotated[str, Field(max_length=64), AfterValidator(_uuid)]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Paged(_Query):
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50
    cursor: Annotated[str, Field(min_length=1, max_length=1024)] | None = None


class ListConversations(_Paged):
    """Whose conversations, and which part of the list."""

    user_id: UserId


class OneConversation(_Query):
    """Which conversation; with a user, it must be theirs."""

    conversation_id: PathId
    user_id: UserId | None = None


class ListMessages(_Paged):
    """Of which conversation, from which end, and which part."""

    conversation_id: PathId
    user_id: UserId | None = None
    order: Literal["asc", "desc"] = "asc"


class Export(OneConversation):
    """Which conversation, as what."""

    format: Literal["json", "txt", "vtt"] = "json"


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


async def found_conversation(memory: Memory, conversation_id: str, user_id: str | None) -> Conversation:
    """The conversation, settled: what was said a moment ago is in it.

    Raises:
        ApiError: 404.
    """
    found = await memory.find_conversation(conversation_id, user_id)
    if found is None:
        raise ApiError(404, "conversation_not_found", "There is no such conversation")
    return found


@routes.get("/api/conversations")
async def list_conversations(request: web.Request) -> web.Response:
    """A user's conversations, latest first."""
    query = read_query(request, ListConversations)
    memory = request.app[MEMORY].opened()
    page = await memory.list_conversations(query.user_id, query.limit, query.cursor)
    conversations = [shown_conversation(each) for each in page.items]
    return web.json_response({"conversations": conversations, "next_cursor": page.next_cursor})


@routes.get("/api/conversations/{conversation_id}")
async def show_conversation(request: web.Request) -> web.Response:
    """One conversation, without its messages; with the recordings of its calls, where there are any."""
    query = read_query(request, OneConversation)
    door = request.app[MEMORY]
    found = await found_conversation(door.opened(), query.conversation_id, query.user_id)
    recordings = await door.recordings.list(found.user_id, found.id)
    return web.json_response({**shown_conversation(found), "recordings": recordings})


@routes.get("/api/conversations/{conversation_id}/messages")
async def list_messages(request: web.Request) -> web.Response:
    """Messages of a conversation in order, or latest first."""
    query = read_query(request, ListMessages)
    memory = request.app[MEMORY].opened()
    found = await found_conversation(memory, query.conversation_id, query.user_id)
    newest_first = query.order == "desc"
    page = await memory.messages(str(found.id), query.limit, query.cursor, newest_first=newest_first)
    messages = [shown_message(each) for each in page.items]
    return web.json_response({"messages": messages, "next_cursor": page.next_cursor})


@routes.get("/api/conversations/{conversation_id}/export")
async def export_conversation(request: web.Request) -> web.Response:
    """A conversation as a file."""
    query = read_query(request, Export)
    memory = request.app[MEMORY].opened()
    found = await found_conversation(memory, query.conversation_id, query.user_id)
    messages = await memory.conversations.all_messages(found.id)
    render, content_type = EXPORTS[query.format]
    name = export.file_name(found, query.format)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(text=render(found, messages), content_type=content_type, charset="utf-8", headers=headers)


@routes.delete("/api/conversations/{conversation_id}")
async def delete_conversation(request: web.Request) -> web.Response:
    """Delete a conversation: rows, copies and vectors."""
    query = read_query(request, OneConversation)
    memory = request.app[MEMORY].opened()
    user_id = query.user_id or (await found_conversation(memory, query.conversation_id, None)).user_id
    if not await memory.delete_conversation(user_id, query.conversation_id):
        raise ApiError(404, "conversation_not_found", "There is no such conversation")
    return web.Response(status=204)
