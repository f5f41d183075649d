"""What requests for one conversation have in common: its id in the path, and looking it up for its user."""

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from persistence.ids import parse_uuid
from persistence.memory import Memory
from persistence.values import Conversation
from server.http.acting import acting_user
from server.http.errors import ApiError
from server.http.fields import UserId


def _uuid(value: str) -> str:
    if parse_uuid(value) is None:
        raise ValueError("must be a uuid")
    return value


PathId = Annotated[str, Field(max_length=64, json_schema_extra={"format": "uuid"}), AfterValidator(_uuid)]


class OneConversation(BaseModel):
    """Which conversation; with a user, it must be theirs."""

    model_config = ConfigDict(extra="forbid")

    conversation_id: PathId
    user_id: UserId | None = None


async def found_conversation(
    request: web.Request, memory: Memory, conversation_id: str, user_id: str | None
) -> Conversation:
    """The conversation of the principal that asks, settled: what was said a moment ago is in it.

    Args:
        request: of the principal.
        memory: where it is.
        conversation_id: of it.
        user_id: whose it must be; None for the principal's own user.

    Raises:
        ApiError: 404.
    """
    found = await memory.find_conversation(conversation_id, acting_user(request, user_id))
    if found is None:
        raise ApiError(404, "conversation_not_found", "There is no such conversation")
    return found
