"""How a conversation begins: which one it is, what was said in it before, and how its user wants it."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from persistence.errors import StoreUnavailableError
from persistence.ids import parse_uuid
from persistence.memory import Memory
from persistence.values import ConversationContext
from pipeline.call.circumstances import Circumstances
from pipeline.call.context import Entry
from server.http.errors import ApiError
from server.http.fields import LAST
from server.memory.recall import UNNAMED

PAST_MESSAGES = 40

FOLLOWED = {
    "voice": "voice",
    "language": "language",
    "instructions": "instructions",
    "name": "user_name",
    "time_zone": "time_zone",
}
"""Preferences that calls follow, and the options of a call that they are."""

log = structlog.get_logger(__name__)


class ForeignConversationError(Exception):
    """The conversation is somebody else's."""


@dataclass(frozen=True, slots=True)
class Beginning:
    """Where a conversation stands before anybody speaks.

    Attributes:
        conversation_id: a uuid as text.
        new: nothing of it is stored yet.
        past: what was said before, oldest first.
        language: that it was in, ISO 639-1; None where that is not known.
    """

    conversation_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    new: bool = True
    past: tuple[Entry, ...] = ()
    language: str | None = None


async def begin(memory: Memory | None, user_id: str, wanted: str | None) -> Beginning:
    """Begin a conversation, or take up an earlier one.

    Args:
        memory: None where there is none: then nothing is known of earlier conversations.
        user_id: who speaks.
        wanted: a uuid (one that nobody has used begins under it), "last", or None for a new conversation.

    Raises:
        ForeignConversationError: it is somebody else's.
    """
    if wanted is None:
        return Beginning()
    identity = None if wanted == LAST else str(parse_uuid(wanted) or uuid.uuid4())
    if memory is None:
        return Beginning(identity) if identity else Beginning()
    try:
        found = await memory.context(user_id, identity, PAST_MESSAGES)
        if found is None and identity is not None and await memory.find_conversation(identity) is not None:
            raise ForeignConversationError(f"conversation {identity} is not this user's")
    except StoreUnavailableError as error:
        # The conversation goes on under its id; PostgreSQL checks whose it is when it takes the words in.
        log.warning("earlier words are not to be had", problem=str(error))
        return Beginning(identity, new=False) if identity else Beginning()
    if found is None:
        return Beginning(identity) if identity else Beginning()
    return Beginning(found.conversation_id, new=False, past=_entries(found), language=found.language)


async def begin_for(memory: Memory | None, user_id: str, wanted: str | None) -> Beginning:
    """The conversation that a request wants.

    Raises:
        ApiError: 404 when it is somebody else's, 422 when it is the last one of nobody in particular.
    """
    if wanted == LAST and user_id == UNNAMED:
        message = f'user_id: "{LAST}" is the last conversation of a user, so say whose'
        raise ApiError(422, "invalid_body", message, [{"field": "user_id", "message": message}])
    try:
        return await begin(memory, user_id, wanted)
    except ForeignConversationError:
        raise ApiError(404, "conversation_not_found", "This user has no such conversation") from None


def _entries(found: ConversationContext) -> tuple[Entry, ...]:
    return tuple(
        Entry(message.id, message.role, message.content, message.interrupted)
        for message in found.messages
        if message.role in ("user", "assistant")
    )


async def preferred(memory: Memory | None, user_id: str, voices: list[str]) -> dict[str, Any]:
    """The user's preferences that a call can follow, as its options: see `followable`."""
    if memory is None:
        return {}
    return followable(await memory.preferences.get(user_id), voices)


def followable(preferences: Mapping[str, Any], voices: list[str]) -> dict[str, Any]:
    """Those preferences that a call can follow, by the names of its options; a voice that has gone since is none."""
    wanted = {option: preferences.get(name) for name, option in FOLLOWED.items()}
    if wanted["voice"] not in voices:
        del wanted["voice"]
    return {option: value for option, value in wanted.items() if isinstance(value, str) and value}


def circumstances(options: Mapping[str, Any], *, hourly: bool = False) -> Circumstances:
    """What the language model is told of a user and of the time.

    Args:
        options: as `followable` gives them.
        hourly: see `Circumstances`.
    """
    return Circumstances(options.get("user_name", ""), options.get("time_zone", ""), time.time(), hourly)


def language_options(asked: str | None, preferred: str | None, earlier: str | None) -> dict[str, Any]:
    """The options of a call that say what its user speaks, beside what the server takes for spoken.

    What is asked for is spoken, whatever it sounds like. What the user prefers, or what the conversation was in before,
    is only expected; a preference goes before what the server takes for spoken of callers who do not say.

    Args:
        asked: with the request, ISO 639-1; "" to listen; None where nothing was said of it.
        preferred: by the user; None for nothing.
        earlier: language of the conversation so far; None where that is not known.
    """
    options: dict[str, Any] = {}
    if asked is not None or preferred:
        options["language"] = asked or ""
    if not asked and (preferred or earlier):
        options["expected_language"] = preferred or earlier
    return options
