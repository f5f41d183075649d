"""Inputs and effects of a call as JSON, and inputs back.

A value is an object of its fields. Samples of inputs are base64 (16 bit, little endian), those of effects a digest:
effects are only compared. Of an image it is a digest in both: no decision of a call depends on what is to be seen. Of
a ticket it says how urgent it was when the effect was made.
"""

import base64
import dataclasses
import hashlib
import math
from collections.abc import Mapping
from enum import Enum, IntEnum
from functools import cache
from typing import Any, get_args

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline.call.effects import Effect, Emit
from pipeline.call.inputs import Input, PieceSpoken
from pipeline.engines.images import Image
from pipeline.engines.protocols import SpeechChunk, Word
from pipeline.scheduling.lanes import Ticket

KIND = "is"
"""Key of the type's name."""

SEEN = "sha256:"
"""Begins what stands for an image."""

INPUTS: dict[str, type] = {kind.__name__: kind for kind in get_args(Input)}


class ReplayError(Exception):
    """A recording of inputs cannot be read; the message says why."""


def input_json(message: Input) -> dict[str, Any]:
    """An input as JSON that `input_of` reads."""
    return {KIND: type(message).__name__, **_fields(message, exact=True)}


def effect_json(effect: Effect) -> dict[str, Any]:
    """An effect as JSON that tells it from every other one."""
    if isinstance(effect, Emit):
        return {KIND: "Emit", "event": {KIND: type(effect.event).__name__, **_fields(effect.event, exact=False)}}
    return {KIND: type(effect).__name__, **_fields(effect, exact=False)}


def plain(value: Any) -> Any:
    """Plain values and dataclasses of them as JSON."""
    return _plain(value, exact=True)


def input_of(known: dict[str, Any]) -> Input:
    """The input that `input_json` made this of.

    Raises:
        ReplayError: this version has no such input.
    """
    fields = {name: value for name, value in known.items() if name != KIND}
    kind = INPUTS.get(known.get(KIND, ""))
    if kind is None:
        raise ReplayError(f"this version knows no input {known.get(KIND)!r}")
    try:
        if kind is PieceSpoken:
            fields["chunk"] = _chunk_of(fields["chunk"])
            return PieceSpoken(**fields)
        message: Input = adapter(kind).validate_python(fields)
    except (ValidationError, TypeError, KeyError, ValueError) as error:
        raise ReplayError(f"an input {kind.__name__} is not as this version knows it: {error}") from None
    return message


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """Reads values of a type from JSON."""
    return TypeAdapter(kind)


def _chunk_of(known: dict[str, Any]) -> SpeechChunk:
    pcm = np.frombuffer(base64.b64decode(known["pcm"]), "<i2").astype(np.int16)
    return SpeechChunk(pcm, adapter(tuple[Word, ...]).validate_python(known["words"]))


def _fields(value: Any, *, exact: bool) -> dict[str, Any]:
    names = getattr(value, "_fields", None) or [field.name for field in dataclasses.fields(value)]
    return {name: _plain(getattr(value, name), exact=exact) for name in names}


def _plain(value: Any, *, exact: bool) -> Any:
    match value:
        case None | bool() | str():
            return value
        case IntEnum():
            return value.name
        case Enum():
            return value.value
        case int():
            return value
        case float():
            return float(value) if math.isfinite(value) else str(float(value))
        case np.ndarray():
            return _samples(value, exact=exact)
        case Image():
            return {**_fields(value, exact=exact), "url": _seen(value.url)}
        case Ticket():
            return {"urgency": value.urgency.name, "deadline": _plain(value.deadline, exact=exact)}
        case tuple() if hasattr(value, "_fields"):
            return _fields(value, exact=exact)
        case tuple() | list():
            return [_plain(each, exact=exact) for each in value]
        case Mapping():
            return {name: _plain(each, exact=exact) for name, each in value.items()}
        case np.generic():
            return _plain(value.item(), exact=exact)
        case _:
            return _fields(value, exact=exact)


def _seen(url: str) -> str:
    """What stands for an image; a replay has nothing else, and records it as it is."""
    if url.startswith(SEEN):
        return url
    return SEEN + hashlib.sha256(url.encode()).hexdigest()[:16]


def _samples(pcm: Any, *, exact: bool) -> Any:
    data = pcm.astype("<i2", copy=False).tobytes()
    if exact:
        return base64.b64encode(data).decode()
    return {"samples": len(pcm), "digest": hashlib.blake2b(data, digest_size=8).hexdigest()}
