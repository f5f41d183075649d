"""How the bridges of telephone providers speak over a WebSocket: a table, a row for each.

All of them say the same things: a call begins, here is sound, a key was pressed, what you sent up to here was played,
the call is over. A row says what each of these is called, and where in a message its parts are. Sources: Twilio Media
Streams (https://www.twilio.com/docs/voice/media-streams/websocket-messages), Plivo's bidirectional streams, Telnyx's
media streaming over WebSockets, jambonz's `listen` with bidirectional streaming.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from media.telephone_band import Encoding, WireFormat

DialectName: TypeAlias = Literal["twilio", "plivo", "telnyx", "jambonz"]

Said: TypeAlias = Literal["connected", "start", "media", "key", "mark", "clear", "stop", "nothing"]
"""What a message says. "nothing" is what is of no concern here and no fault either."""

Paths: TypeAlias = tuple[str, ...]
"""Where a part of a message is: names joined by dots, the first that is there counts."""

ENCODINGS: Mapping[str, Encoding] = {
    **dict.fromkeys(("audio/x-mulaw", "audio/mulaw", "audio/pcmu", "pcmu", "mulaw", "ulaw"), "mulaw"),
    **dict.fromkeys(("audio/x-alaw", "audio/alaw", "audio/pcma", "pcma", "alaw"), "alaw"),
    **dict.fromkeys(("audio/x-l16", "audio/l16", "audio/x-raw", "l16", "linear16"), "linear"),
}
"""Encodings by the names that bridges have for them, in small letters."""

TYPES: Mapping[Encoding, str] = {"mulaw": "audio/x-mulaw", "alaw": "audio/x-alaw", "linear": "audio/x-l16"}
"""Names of encodings as media types."""


MU_LAW = WireFormat("mulaw")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One bridge's way to speak.

    Attributes:
        kind: where the name of a message is.
        says: what messages of a name say.
        stream_id: of the start, as all below: what messages to this stream have to name.
        call_id: by which the bridge knows the call.
        caller: the number that calls.
        called: the number that was called.
        parameters: what the bridge was told to pass on.
        encoding: of the sound.
        rate: of the sound, Hz.
        default: of the sound, where nothing is said of it.
        first_is_start: the first text is the start, whatever it is called.
        payload: base64 of the sound, in a message of sound.
        track: whose sound it is: "outbound" is our own and is passed over.
        key: that was pressed.
        mark: the name of a place in what was sent.
        to_media, to_mark, to_clear: what is sent; "$stream", "$payload", "$name", "$type" and "$rate" stand for what
            changes. A dialect that takes sound as binary messages has no `to_media`.
        to_hang_up: what is sent before a line is closed.
        subprotocol: of the WebSocket.
        lead_frames: of the outgoing sound, ahead of real time.
    """

    kind: str = "event"
    says: Mapping[str, Said] = field(default_factory=dict)
    stream_id: Paths = ()
    call_id: Paths = ()
    caller: Paths = ()
    called: Paths = ()
    parameters: Paths = ()
    encoding: Paths = ()
    rate: Paths = ()
    default: WireFormat = MU_LAW
    first_is_start: bool = False
    payload: str = "media.payload"
    track: str = "media.track"
    key: Paths = ("dtmf.digit",)
    mark: Paths = ("mark.name",)
    to_media: Mapping[str, Any] | None = None
    to_mark: Mapping[str, Any] | None = None
    to_clear: Mapping[str, Any] | None = None
    to_hang_up: Mapping[str, Any] | None = None
    subprotocol: str | None = None
    lead_frames: int = 5


_SAYS: Mapping[str, Said] = {
    "connected": "connected",
    "start": "start",
    "media": "media",
    "dtmf": "key",
    "mark": "mark",
    "clear": "clear",
    "stop": "stop",
}

DIALECTS: Mapping[DialectName, Dialect] = {
    "twilio": Dialect(
        says=_SAYS,
        stream_id=("start.streamSid", "streamSid"),
        call_id=("start.callSid",),
        caller=("start.customParameters.from", "start.from"),
        called=("start.customParameters.to", "start.to"),
        parameters=("start.customParameters",),
        encoding=("start.mediaFormat.encoding",),
        rate=("start.mediaFormat.sampleRate",),
        to_media={"event": "media", "streamSid": "$stream", "media": {"payload": "$payload"}},
        to_mark={"event": "mark", "streamSid": "$stream", "mark": {"name": "$name"}},
        to_clear={"event": "clear", "streamSid": "$stream"},
    ),
    "plivo": Dialect(
        says={**_SAYS, "playedStream": "mark", "clearedAudio": "nothing", "error": "nothing"},
        stream_id=("start.streamId", "streamId"),
        call_id=("start.callId",),
        caller=("start.from",),
        called=("start.to",),
        parameters=("extra_headers",),
        encoding=("start.mediaFormat.encoding",),
        rate=("start.mediaFormat.sampleRate",),
        mark=("name", "mark.name"),
        to_media={
            "event": "playAudio",
            "media": {"contentType": "$type", "sampleRate": "$rate", "payload": "$payload"},
        },
        to_mark={"event": "checkpoint", "streamId": "$stream", "name": "$name"},
        to_clear={"event": "clearAudio", "streamId": "$stream"},
    ),
    "telnyx": Dialect(
        says={**_SAYS, "error": "nothing"},
        stream_id=("stream_id", "start.stream_id"),
        call_id=("start.call_control_id",),
        caller=("start.from",),
        called=("start.to",),
        parameters=("start.custom_parameters",),
        encoding=("start.media_format.encoding",),
        rate=("start.media_format.sample_rate",),
        to_media={"event": "media", "media": {"payload": "$payload"}},
        to_mark={"event": "mark", "mark": {"name": "$name"}},
        to_clear={"event": "clear"},
    ),
    "jambonz": Dialect(
        kind="type",
        says={"start": "start", "dtmf": "key", "mark": "mark", "clear": "clear", "stop": "stop"},
        stream_id=("callSid",),
        call_id=("callSid",),
        caller=("from",),
        called=("to",),
        parameters=("metadata", "customerData"),
        rate=("sampleRate",),
        default=WireFormat("linear"),
        first_is_start=True,
        key=("dtmf", "digit"),
        mark=("data.name",),
        to_mark={"type": "mark", "data": {"name": "$name"}},
        to_clear={"type": "killAudio"},
        to_hang_up={"type": "disconnect"},
        subprotocol="audio.jambonz.org",
    ),
}
"""The rows. jambonz names its messages from the bridge by "event" and those to it by "type"; see `wire.said`."""


def filled(template: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """A message with values in their places."""
    return {name: _filled(part, values) for name, part in template.items()}


def _filled(part: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(part, Mapping):
        return filled(part, **values)
    return values[part[1:]] if isinstance(part, str) and part.startswith("$") else part
