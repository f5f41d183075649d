"""What a bridge says, read by its dialect. Sans-I/O: a text in, a value out, or an error that names what is wrong."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pydantic_core

from media import g711
from media.telephone_band import WireFormat
from pipeline.call.inputs import KEYS
from server.bounds import MAX_LINE_PARAMETER, MAX_PCM_RATE, MIN_PCM_RATE
from server.http.errors import ApiError
from server.telephone.dialects import ENCODINGS, Dialect, Paths, Said

MAX_NAME = 256
"""Characters of an id or of the name of a mark."""


@dataclass(frozen=True, slots=True)
class LineBegan:
    """A call is on this line.

    Attributes:
        stream_id: to be named in what is sent.
        call_id: by which the bridge knows the call.
        caller: the number that calls; "" where it is not told.
        called: the number that was called; "" where it is not told.
        wire: how its sound comes.
        parameters: what the bridge was told to pass on.
    """

    stream_id: str
    call_id: str
    caller: str
    called: str
    wire: WireFormat
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SoundCame:
    """Sound, as the line carries it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class KeyCame:
    """A key was pressed."""

    key: str


@dataclass(frozen=True, slots=True)
class MarkCame:
    """What was sent before the mark was played, or the bridge wants to know when what is on its way has been."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearCame:
    """The bridge wants silence."""


@dataclass(frozen=True, slots=True)
class LineEnded:
    """The call is over."""


@dataclass(frozen=True, slots=True)
class NothingCame:
    """Nothing to be done."""


Came: TypeAlias = LineBegan | SoundCame | KeyCame | MarkCame | ClearCame | LineEnded | NothingCame


def read_text(text: str, dialect: Dialect, *, first: bool = False) -> Came:
    """A text message.

    Args:
        text: as it came.
        dialect: of the bridge.
        first: no text came before it.

    Raises:
        ApiError: 400 no JSON, no object or of no known name; 422 not what its name asks for, naming the field.
    """
    try:
        message = pydantic_core.from_json(text.encode("utf-8", "surrogatepass"), allow_inf_nan=False)
    except ValueError:
        raise ApiError(400, "invalid_json", "Text messages are JSON") from None
    if not isinstance(message, dict):
        raise ApiError(400, "unknown_message", f'A message is an object with an "{dialect.kind}"')
    said = _said(message, dialect, first)
    match said:
        case "start":
            return _began(message, dialect)
        case "media":
            return _sound(message, dialect)
        case "key":
            return _key(message, dialect)
        case "mark":
            return MarkCame(_text(message, dialect.mark, required=True))
        case "clear":
            return ClearCame()
        case "stop":
            return LineEnded()
        case _:
            return NothingCame()


def _said(message: Mapping[str, Any], dialect: Dialect, first: bool) -> Said:
    # jambonz calls what it says "event" in keys and "type" in marks.
    name = message.get(dialect.kind, message.get("event"))
    if name is None and first and dialect.first_is_start:
        return "start"
    if not isinstance(name, str):
        raise ApiError(400, "unknown_message", f'A message is an object with an "{dialect.kind}"')
    if name not in dialect.says:
        known = ", ".join(sorted(name for name, said in dialect.says.items() if said != "nothing"))
        raise ApiError(400, "unknown_message", f"{dialect.kind}: known are {known}")
    return dialect.says[name]


def _began(message: Mapping[str, Any], dialect: Dialect) -> LineBegan:
    wire = dialect.default
    encoding, rate = _found(message, dialect.encoding), _found(message, dialect.rate)
    if encoding is not None:
        known = ENCODINGS.get(encoding.lower()) if isinstance(encoding, str) else None
        if known is None:
            raise _wrong(dialect.encoding, f"known are {', '.join(ENCODINGS)}")
        wire = WireFormat(known, wire.rate)
    if rate is not None:
        wire = WireFormat(wire.encoding, _rate(rate, wire, dialect.rate))
    return LineBegan(
        _text(message, dialect.stream_id, required=True),
        _text(message, dialect.call_id),
        _text(message, dialect.caller),
        _text(message, dialect.called),
        wire,
        _parameters(_found(message, dialect.parameters), dialect.parameters),
    )


def _rate(rate: Any, wire: WireFormat, paths: Paths) -> int:
    try:
        number = int(rate) if isinstance(rate, int | str) and not isinstance(rate, bool) else 0
    except ValueError:
        number = 0
    lowest, highest = (MIN_PCM_RATE, MAX_PCM_RATE) if wire.encoding == "linear" else (g711.RATE, g711.RATE)
    if not lowest <= number <= highest:
        allowed = f"{lowest} to {highest}" if lowest < highest else str(lowest)
        raise _wrong(paths, f"must be {allowed} Hz")
    return number


def _parameters(found: Any, paths: Paths) -> dict[str, str]:
    """What the bridge passes on; what Plivo does as JSON in a text is read, too."""
    if isinstance(found, str):
        try:
            found = pydantic_core.from_json(found)
        except ValueError:
            found = None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _wrong(paths, "must be an object")
    parameters = {name: str(value) for name, value in found.items() if isinstance(value, str | int | float)}
    for name, value in parameters.items():
        if len(value) > MAX_LINE_PARAMETER:
            raise _wrong((f"{paths[0]}.{name[:MAX_NAME]}",), f"may have {MAX_LINE_PARAMETER} characters")
    return parameters


def _sound(message: Mapping[str, Any], dialect: Dialect) -> Came:
    if str(_found(message, (dialect.track,)) or "").startswith("outbound"):
        return NothingCame()
    payload = _found(message, (dialect.payload,))
    if not isinstance(payload, str):
        raise _wrong((dialect.payload,), "must be base64")
    try:
        return SoundCame(base64.b64decode(payload.encode("ascii"), validate=True))
    except (binascii.Error, ValueError):
        raise _wrong((dialect.payload,), "must be base64") from None


def _key(message: Mapping[str, Any], dialect: Dialect) -> KeyCame:
    key = _found(message, dialect.key)
    key = str(key) if isinstance(key, int) else key
    if not isinstance(key, str) or key.upper() not in KEYS:
        raise _wrong(dialect.key, f"must be one of {''.join(sorted(KEYS))}")
    return KeyCame(key.upper())


def _found(message: Any, paths: Paths) -> Any:
    """What is at the first of some places where something is."""
    for path in paths:
        at = message
        for name in path.split("."):
            at = at.get(name) if isinstance(at, dict) else None
        if at is not None:
            return at
    return None


def _text(message: Mapping[str, Any], paths: Paths, *, required: bool = False) -> str:
    found = _found(message, paths)
    if found is None and not required:
        return ""
    if not isinstance(found, str) or not found or len(found) > MAX_NAME or not found.isprintable():
        raise _wrong(paths, f"must be a text of 1 to {MAX_NAME} characters")
    return found


def _wrong(paths: Paths, message: str) -> ApiError:
    field_name = paths[0]
    return ApiError(422, "invalid_body", f"{field_name}: {message}", [{"field": field_name, "message": message}])
