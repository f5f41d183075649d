"""`/api/conversations/{id}/recordings/{name}`: the sound of a call. Which there are, the conversation tells."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from server.conversations.requests import OneConversation, found_conversation
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.memory.door import MEMORY

routes = web.RouteTableDef()


class OneRecording(OneConversation):
    """Which recording of which conversation."""

    name: Annotated[str, Field(min_length=1, max_length=128)]


@routes.get("/api/conversations/{conversation_id}/recordings/{name}")
@operation(
    "conversations",
    scope="read",
    cost="work",
    params=OneRecording,
    answers={
        200: Answer("Ogg Opus in stereo: the user left, Morgan right", content=("audio/ogg",)),
        206: Answer("The range that was asked for", content=("audio/ogg",)),
        304: Answer("It has not changed since"),
    },
    errors=(404, 412, 416, 503),
)
async def download_recording(request: web.Request, params: OneRecording) -> web.StreamResponse:
    """What was heard in a call; of one that goes on, what is on disk by now."""
    door = request.app[MEMORY]
    found = await found_conversation(request, door.opened(), params.conversation_id, params.user_id)
    path = await door.recordings.find(found.user_id, found.id, params.name)
    if path is None:
        raise ApiError(404, "recording_not_found", "This conversation has no such recording")
    headers = {
        "Content-Type": "audio/ogg",
        "Content-Disposition": f'attachment; filename="{path.name}"',
        "Cache-Control": "private, no-cache",
    }
    return web.FileResponse(path, headers=headers)
