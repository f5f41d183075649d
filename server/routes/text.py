"""`/api/text`: a conversation in writing, over the same language model, tools and memory as calls."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from server.bounds import MAX_BODY, MAX_TEXT
from server.calls.requests import registry
from server.conversations.beginnings import begin_for, preferred
from server.conversations.generation import FAILURES, no_answer
from server.conversations.reply_stream import stream_reply
from server.conversations.written_turn import WrittenTurn
from server.http.acting import named_user
from server.http.fields import ConversationId, UserId
from server.http.operation import Answer, operation
from server.http.sse import EVENT_STREAM
from server.identity.principal import principal_of
from server.memory.door import MEMORY

routes = web.RouteTableDef()


class Text(BaseModel):
    """Something that the user wrote."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
    user_id: UserId
    conversation_id: ConversationId | None = None
    stream: bool = False


class Reply(BaseModel):
    """What Morgan answers."""

    text: str
    user_id: str
    conversation_id: str
    message_id: str
    latency_ms: float


@routes.post("/api/text")
@operation(
    "conversations",
    scope="calls",
    cost="work",
    body=Text,
    body_limit=MAX_BODY,
    answers={200: Answer("The reply; with `stream`, as server-sent events", Reply, (EVENT_STREAM,))},
    errors=(400, 404, 503),
)
async def answer_text(request: web.Request, body: Text) -> web.StreamResponse:
    """Answer a text.

    With `"stream": true`: events `token` with `text`, then `done` with the fields of the plain reply or `error` with
    `message`, then `[DONE]`. Hanging up stops the generation.
    """
    turn = await _turn(request, body)
    if body.stream:
        return await stream_reply(request, turn.reply(), lambda: _result(turn))
    try:
        async for _ in turn.reply():
            pass
    except FAILURES as error:
        raise no_answer(error) from None
    return web.json_response(_result(turn))


async def _turn(request: web.Request, body: Text) -> WrittenTurn:
    memory, calls = request.app[MEMORY].memory, registry(request)
    user_id, fixed = named_user(request, body.user_id), principal_of(request).options
    beginning = await begin_for(memory, user_id, fixed.get("conversation_id", body.conversation_id))
    wanted = await preferred(memory, user_id, [])
    writer = None
    if memory is not None:
        writer = memory.conversation(user_id, beginning.conversation_id, channel="text", new=beginning.new)
    return WrittenTurn(
        calls.engines.llm,
        calls.defaults,
        beginning,
        body.text.strip(),
        user_id=user_id,
        instructions=fixed.get("instructions", wanted.get("instructions")),
        writer=writer,
        remind_by=request.app[MEMORY].reminder,
    )


def _result(turn: WrittenTurn) -> dict[str, Any]:
    reply = Reply(
        text=turn.text,
        user_id=turn.user_id,
        conversation_id=turn.conversation_id,
        message_id=turn.message_id,
        latency_ms=turn.latency_ms,
    )
    return reply.model_dump()
