"""Kinds of values that settings of several sections have."""

from typing import Annotated

from pydantic import BeforeValidator, SecretStr
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _auto_is_none(value: object) -> object:
    return None if value == "auto" else value


Listed = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Comma-separated in a variable, an array in TOML."""

ListedSecrets = Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_split)]
"""The same, hidden where settings are shown."""

ByTheMachine = Annotated[int | None, BeforeValidator(_auto_is_none)]
"""A number, or None (in words: auto) for what fits this machine."""
