"""`/api/conversations/{id}/recordings/{name}`: the sound of a call. Which there are, the conversation tells.

`/api/conversations/{id}/inputs/{call_id}`: what a call was told, to be replayed.
"""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from server.conversations.requests import OneConversation, found_conversation
from server.http.errors import ApiError
from server.http.operation import Answer, operation
from server.memory.door import MEMORY
from server.memory.recording_reply import send_recording

routes = web.RouteTableDef()


class OneRecording(OneConversation):
    """Which recording of which conversation."""

    name: Annotated[str, Field(min_length=1, max_length=128)]


class InputsOfCall(OneConversation):
    """Which call of which conversation."""

    call_id: Annotated[str, Field(min_length=1, max_length=128)]


@routes.get("/api/conversations/{conversation_id}/inputs/{call_id}")
@operation(
    "conversations",
    scope="read",
    cost="work",
    params=InputsOfCall,
    answers={200: Answer("JSON lines, as `morgan replay` reads them", content=("application/jsonl",))},
    errors=(404, 503),
)
async def download_inputs(request: web.Request, params: InputsOfCall) -> web.StreamResponse:
    """What a call was told, where that was recorded; of one that goes on, what is on disk by now."""
    door = request.app[MEMORY]
    found = await found_conversation(request, door.opened(), params.conversation_id, params.user_id)
    path = await door.recordings.find_inputs(found.user_id, found.id, params.call_id)
    if path is None:
        raise ApiError(404, "inputs_not_found", "The inputs of such a call were not recorded in this conversation")
    return await send_recording(request, path, door.recordings.keys, "application/jsonl")


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
    return await send_recording(request, path, door.recordings.keys, "audio/ogg")
