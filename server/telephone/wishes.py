"""How a call on a telephone line is to be, as its bridge was told to say."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.bounds import MAX_INSTRUCTIONS
from server.http.errors import ApiError
from server.http.fields import ConversationId, UserId
from server.transcription.fields import LanguageWanted


class LineWishes(BaseModel):
    """How a call is to be, from the parameters that a bridge passes on; it passes others on as well."""

    model_config = ConfigDict(extra="ignore")

    user_id: UserId | None = None
    language: LanguageWanted | None = None
    conversation_id: ConversationId | None = None
    voice: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    instructions: Annotated[str, Field(max_length=MAX_INSTRUCTIONS)] | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "LineWishes":
        """The wishes among some parameters.

        Raises:
            ApiError: 422, naming the parameter.
        """
        try:
            return cls.model_validate(dict(parameters))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
            name, message = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, ")
            raise ApiError(
                422, "invalid_parameter", f"{name}: {message}", [{"field": name, "message": message}]
            ) from None
