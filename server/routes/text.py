"""`/api/text`: a conversation in writing, over the same language model and memory as calls."""

import json
import time
from typing import Annotated, Any

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from pipeline.engines.protocols import EngineError
from pipeline.lanes import LaneClosedError, LaneFullError
from server.beginnings import preferred
from server.errors import ApiError, read_json
from server.fields import ConversationId, UserId
from server.memory_door import MEMORY
from server.routes.calls import begin_for, registry
from server.written_turn import WrittenTurn

MAX_BODY = 64 * 1024

MAX_TEXT = 16_000

routes = web.RouteTableDef()

log = structlog.get_logger(__name__)


class Text(BaseModel):
    """Something that the user wrote."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=r"\S")]
    user_id: UserId
    conversation_id: ConversationId | None = None
    stream: bool = False


@routes.post("/api/text")
async def answer_text(request: web.Request) -> web.StreamResponse:
    """Answer a text."""
    began = time.monotonic()
    body = await read_json(request, Text, MAX_BODY)
    turn = await _turn(request, body)
    if body.stream:
        return await _stream(request, turn, began)
    try:
        async for _ in turn.reply():
            pass
    except LaneFullError:
        raise ApiError(503, "busy", "Too many texts wait already", headers={"Retry-After": "2"}) from None
    except (EngineError, LaneClosedError) as error:
        log.error("no reply to a text", problem=str(error))
        raise ApiError(503, "llm_failed", "The language model could not answer", headers={"Retry-After": "2"}) from None
    return web.json_response(_result(turn, began))


async def _turn(request: web.Request, body: Text) -> WrittenTurn:
    memory, calls = request.app[MEMORY].memory, registry(request)
    beginning = await begin_for(memory, body.user_id, body.conversation_id)
    wanted = await preferred(memory, body.user_id, [])
    writer = None
    if memory is not None:
        writer = memory.conversation(body.user_id, beginning.conversation_id, channel="text", new=beginning.new)
    return WrittenTurn(
        calls.engines.llm,
        calls.defaults,
        beginning,
        body.text.strip(),
        user_id=body.user_id,
        instructions=wanted.get("instructions"),
        writer=writer,
    )


def _result(turn: WrittenTurn, began: float) -> dict[str, Any]:
    return {
        "text": turn.text,
        "user_id": turn.user_id,
        "conversation_id": turn.conversation_id,
        "message_id": turn.message_id,
        "latency_ms": round((time.monotonic() - began) * 1000, 1),
    }


async def _stream(request: web.Request, turn: WrittenTurn, began: float) -> web.StreamResponse:
    """The reply as server-sent events; whoever hangs up stops the generation."""
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    reply = turn.reply()
    try:
        try:
            async for delta in reply:
                await response.write(_event({"type": "token", "text": delta}))
        except (EngineError, LaneFullError, LaneClosedError) as error:
            log.error("no reply to a text", problem=str(error))
            await response.write(_event({"type": "error", "message": "The language model could not answer"}))
        else:
            await response.write(_event({"type": "done", **_result(turn, began)}))
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
    except ConnectionError:
        log.info("the client left before the reply was over")
    finally:
        await reply.aclose()
    return response


def _event(event: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"
