"""How requests under `/v1` name a model: by any name, or none."""

from typing import Annotated

from pydantic import Field

ModelName = Annotated[
    str | None,
    Field(max_length=256, description="Any name, or none, means the loaded model; `/v1/models` says which that is."),
]
"""The same on all routes: clients come with names of OpenAI's built in, and what is loaded is one model of a kind."""
