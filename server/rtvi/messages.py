"""What a client of RTVI says: messages with the label `rtvi-ai`, and those of its SmallWebRTC transport."""

from typing import Annotated, Any, Literal, TypeAlias

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from server.bounds import MAX_CHANNEL_MESSAGE, MAX_TEXT

LABEL = "rtvi-ai"

PING = "ping"
"""How the keep-alive of the transport begins, once a second; it is no JSON."""


class RtviError(Exception):
    """A message cannot be done.

    Attributes:
        message_id: of the client's message; None where it has none.
    """

    def __init__(self, message: str, message_id: str | None = None) -> None:
        super().__init__(message)
        self.message_id = message_id


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: Annotated[str, Field(max_length=128)] | None = None


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ClientReady(_Message):
    """The client listens."""

    type: Literal["client-ready"]


class DisconnectBot(_Message):
    """The conversation is over."""

    type: Literal["disconnect-bot"]


class SendTextOptions(_Data):
    """How written words are answered."""

    run_immediately: bool = True
    audio_response: bool = True


class SendTextData(_Data):
    """Written words."""

    content: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    options: SendTextOptions = SendTextOptions()


class SendText(_Message):
    """The user wrote something."""

    type: Literal["send-text"]
    data: SendTextData


class ContextData(_Data):
    """Words of either side."""

    role: Literal["user", "assistant"]
    content: Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
    run_immediately: bool | None = None


class AppendToContext(_Message):
    """Something counts as said; older clients send it."""

    type: Literal["append-to-context"]
    data: ContextData


class ResultData(_Data):
    """What a function of the client came to."""

    function_name: str | None = None
    tool_call_id: str
    result: Any = None


class FunctionResult(_Message):
    """A function of the client has run."""

    type: Literal["llm-function-call-result"]
    data: ResultData


class KeysData(_Data):
    """Keys of a telephone, in order."""

    buttons: Annotated[list[Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#"]], Field(max_length=64)]

    @model_validator(mode="before")
    @classmethod
    def _as_before(cls, data: Any) -> Any:
        """Up to protocol 2.0 a message had one key, as `button`."""
        return {"buttons": [data["button"]]} if isinstance(data, dict) and "button" in data else data


class Keys(_Message):
    """The user pressed keys of a telephone."""

    type: Literal["dtmf"]
    data: KeysData


class ClientMessageData(_Data):
    """A request in words of the application."""

    t: str
    d: Any = None


class ClientMessage(_Message):
    """A request in words of the application."""

    type: Literal["client-message"]
    data: ClientMessageData


RtviMessage: TypeAlias = Annotated[
    ClientReady | DisconnectBot | SendText | AppendToContext | FunctionResult | Keys | ClientMessage,
    Field(discriminator="type"),
]

_MESSAGES: TypeAdapter[RtviMessage] = TypeAdapter(RtviMessage)


def parse_message(text: str) -> RtviMessage | None:
    """Read a message; None where nobody has to do anything: keep-alives, and which tracks the client sends.

    Raises:
        RtviError: it is none, or of a type that is not done here.
    """
    if text.startswith(PING):
        return None
    if len(text) > MAX_CHANNEL_MESSAGE:
        raise RtviError(f"A message may have at most {MAX_CHANNEL_MESSAGE} characters")
    try:
        found = pydantic_core.from_json(text.encode("utf-8", "surrogatepass"), allow_inf_nan=False)
    except ValueError:
        raise RtviError("A message is JSON") from None
    if isinstance(found, dict) and found.get("type") == "signalling":
        return None
    if not isinstance(found, dict) or found.get("label") != LABEL:
        raise RtviError(f'A message is an object with the label "{LABEL}"')
    told = found.get("id")
    message_id = told[:128] if isinstance(told, str) else None
    try:
        return _MESSAGES.validate_python({**found, "id": message_id})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"].startswith("union_tag"):
            raise RtviError(f"`{str(found.get('type'))[:64]}` is not done here", message_id) from None
        place = ".".join(str(part) for part in first["loc"][1:])
        raise RtviError(f"{place}: {first['msg']}", message_id) from None
