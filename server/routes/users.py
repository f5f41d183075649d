"""`/api/users`: how users want their calls, and forgetting them."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from server.bounds import MAX_OPTIONS_BODY
from server.calls.requests import known_voice
from server.http.acting import named_user
from server.http.fields import Language, UserId
from server.http.operation import Answer, operation
from server.http.uninterrupted import to_the_end
from server.memory.door import MEMORY

routes = web.RouteTableDef()


class User(BaseModel):
    """Which user."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId


class Preferences(BaseModel):
    """What a user wants; calls follow the named ones, others are kept for clients."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    language: Language | None = None
    instructions: Annotated[str, Field(max_length=8_000)] | None = None


@routes.get("/api/users/{user_id}/preferences")
@operation(
    "users",
    scope="read",
    cost="work",
    params=User,
    answers={200: Answer("The preferences", Preferences)},
    errors=(404, 503),
)
async def show_preferences(request: web.Request, params: User) -> web.Response:
    """A user's preferences; an empty object where there are none."""
    return web.json_response(await request.app[MEMORY].opened().preferences.get(named_user(request, params.user_id)))


@routes.put("/api/users/{user_id}/preferences")
@operation(
    "users",
    scope="calls",
    cost="work",
    params=User,
    body=Preferences,
    body_limit=MAX_OPTIONS_BODY,
    answers={200: Answer("The preferences as they are now", Preferences)},
    errors=(400, 404, 503),
)
async def put_preferences(request: web.Request, params: User, body: Preferences) -> web.Response:
    """Replace a user's preferences; the next call follows them."""
    user_id = named_user(request, params.user_id)
    known_voice(request, body.voice)
    memory = request.app[MEMORY].opened()
    wanted: dict[str, Any] = body.model_dump(exclude_unset=True)
    memory.put_preferences(user_id, wanted)
    return web.json_response(await memory.preferences.get(user_id))


@routes.delete("/api/users/{user_id}")
@operation(
    "users",
    scope="erase",
    cost="work",
    params=User,
    answers={204: Answer("Nothing is known of the user any more")},
    errors=(404, 503),
)
async def forget_user(request: web.Request, params: User) -> web.Response:
    """Delete everything that is known of a user."""
    await to_the_end(request.app[MEMORY].opened().delete_user(named_user(request, params.user_id)))
    return web.Response(status=204)
