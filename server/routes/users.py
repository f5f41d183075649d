"""`/api/users`: how users want their calls, and forgetting them."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from pipeline.call.circumstances import LONGEST_NAME, zone
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


def known_zone(name: str) -> str:
    """A time zone that there is.

    Raises:
        ValueError: there is none of that name.
    """
    if name and zone(name) is None:
        raise ValueError(f"{name} is no time zone of the IANA database, such as Europe/Paris")
    return name


class Forgetting(User):
    """Which user, and whether what was done is to be told."""

    report: bool = False


class ErasedStore(BaseModel):
    """What was done in one store; null for one that did not answer."""

    store: str
    found: int | None
    deleted: int | None
    left: int | None
    parts: dict[str, int]


class ErasureReport(BaseModel):
    """What an erasure found and what it left."""

    user_id: str
    erased_at: str
    complete: bool
    stores: list[ErasedStore]


class Preferences(BaseModel):
    """What a user wants; calls follow the named ones, others are kept for clients."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    language: Language | None = None
    instructions: Annotated[str, Field(max_length=8_000)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME, pattern=r"^[^\r\n]+$")] | None = None
    time_zone: Annotated[str, Field(max_length=64), AfterValidator(known_zone)] | None = None


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
    params=Forgetting,
    answers={
        200: Answer("With `report`: what was found in each store, and what is left", ErasureReport),
        204: Answer("Nothing is known of the user any more"),
    },
    errors=(404, 503),
)
async def forget_user(request: web.Request, params: Forgetting) -> web.Response:
    """Delete everything that is known of a user; with `report`, look everywhere whether it is gone and tell."""
    user_id, door = named_user(request, params.user_id), request.app[MEMORY]
    if not params.report:
        await to_the_end(door.opened().delete_user(user_id))
        return web.Response(status=204)
    done = await to_the_end(door.erase(user_id))
    stores = [
        ErasedStore(store=each.store, found=each.found, deleted=each.deleted, left=each.left, parts=each.parts)
        for each in done.stores
    ]
    told = ErasureReport(user_id=user_id, erased_at=done.at.isoformat(), complete=done.complete, stores=stores)
    return web.json_response(told.model_dump())
