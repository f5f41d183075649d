"""A prompt to the language model's service that belongs to a conversation: read from memory, and kept there."""

import uuid

from aiohttp import web

from persistence.ids import parse_uuid
from pipeline.call.options import CallOptions
from server.app_keys import ENGINES
from server.conversations.beginnings import begin_for
from server.conversations.written_turn import WrittenTurn
from server.http.fields import LAST
from server.memory.door import MEMORY

_NAMES = uuid.UUID("6f1d7e0e-6d0c-4c5c-9c3b-0d1f6a1c7b52")
"""Namespace of the conversations that clients name as they like."""


async def kept_turn(
    request: web.Request,
    prompt: str,
    *,
    user_id: str,
    conversation: str,
    system: str,
    max_tokens: int,
    temperature: float,
) -> WrittenTurn:
    """A turn of a conversation of the channel "text".

    Args:
        request: the client's.
        prompt: what the user says.
        user_id: who.
        conversation: a uuid, "last", or a name of the client's own, which stands for one conversation of this user.
        system: the system message, "" for none.
        max_tokens: most tokens of the reply.
        temperature: 0 is greedy.

    Raises:
        ApiError: 404: the conversation is somebody else's.
    """
    memory = request.app[MEMORY].memory
    beginning = await begin_for(memory, user_id, conversation_uuid(user_id, conversation))
    writer = None
    if memory is not None:
        writer = memory.conversation(user_id, beginning.conversation_id, channel="text", new=beginning.new)
    options = CallOptions(max_tokens=max_tokens, temperature=temperature, short_replies=False)
    return WrittenTurn(
        request.app[ENGINES].llm,
        options,
        beginning,
        prompt,
        user_id=user_id,
        instructions=system,
        rules="",
        writer=writer,
    )


def conversation_uuid(user_id: str, conversation: str) -> str:
    """The id under which memory knows a conversation."""
    if conversation == LAST or parse_uuid(conversation) is not None:
        return conversation
    return str(uuid.uuid5(_NAMES, f"{user_id}\0{conversation}"))
