"""Targets in JSON: what clients say over WebSockets and the data channel, and what models ask of tools."""

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any, get_args

from multidict import CIMultiDict

from media.telephone_band import to_linear
from pipeline.engines.llm.tool_call_text import ToolCallText
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox
from server.addresses import ProxyHeader, parse_address
from server.calls.websocket.messages import Audio, parse_message
from server.http.errors import ApiError, parse_socket_message
from server.http.proxies import Proxies
from server.rtvi.messages import RtviError
from server.rtvi.messages import parse_message as parse_rtvi
from server.services import stt_streams
from server.telephone.audio_socket import AudioSocketError, AudioSocketReader, Message, Sound, sound
from server.telephone.dialects import DIALECTS
from server.telephone.wire import SoundCame, read_text
from server.transcription.fields import decode_base64
from tests.fuzz.mutation import mutated_json
from tests.fuzz.packets import AsyncCheck
from tests.fuzz.target import Target, as_text, on_loop, plain
from tests.pipeline.tools import functions
from tests.server.realtime.client_events import EVENTS
from tests.server.realtime.talking import Say, Talk
from tests.server.telephone.messages import MESSAGES as BRIDGES

# WebSockets -----------------------------------------------------------------------------------------------------------


def _told(refused: ApiError) -> None:
    """An error that a client can be told."""
    assert 400 <= refused.status < 500
    assert refused.code
    assert len(refused.message) > 5
    assert len(json.dumps(refused.body()).encode()) < 70_000


def _at_once(reading: Coroutine[Any, Any, bytes]) -> None:
    """Read what is too short for others to have a turn meanwhile; no loop is needed for it."""
    with contextlib.suppress(StopIteration):
        reading.send(None)
        reading.close()


def _audio_socket(data: bytes) -> None:
    for line in data.split(b"\n"):
        try:
            message = parse_message(as_text(line))
            if isinstance(message, Audio):
                _at_once(decode_base64(message.data, "data"))
        except ApiError as refused:
            _told(refused)


def _stream_socket(data: bytes) -> None:
    for line in data.split(b"\n"):
        try:
            message = parse_socket_message(as_text(line), stt_streams._MESSAGES)
            if isinstance(message, stt_streams.StreamAudio):
                _at_once(decode_base64(message.audio_data, "audio_data"))
        except ApiError as refused:
            _told(refused)


_AUDIO_SOCKET: list[Any] = [
    {"type": "start", "user_id": "ada", "language": "en", "voice": "default", "sample_rate": 16000},
    {"type": "start", "user_id": "ada", "conversation_id": "last", "instructions": "Be brief."},
    {"type": "audio", "data": "AAAA"},
    {"type": "text", "text": "Hello"},
    {"type": "interrupt"},
    {"type": "ping"},
    {"type": "stop"},
]
_STREAM_SOCKET: list[Any] = [
    {"type": "audio", "audio_data": "AAAA", "sequence": 3},
    {"type": "chunk", "audio_data": "AA=="},
    {"type": "end"},
    {"type": "stop"},
]


def lines(events: list[Any]) -> bytes:
    """Events as an input."""
    return b"\n".join(json.dumps(event).encode() for event in events)


def _told_by_rtvi(refused: RtviError) -> None:
    assert 5 < len(str(refused)) < 10_000
    assert refused.message_id is None or len(refused.message_id) <= 128


def _rtvi(data: bytes) -> None:
    for line in data.split(b"\n"):
        try:
            parse_rtvi(as_text(line))
        except RtviError as refused:
            _told_by_rtvi(refused)


_RTVI: list[Any] = [
    {"label": "rtvi-ai", "type": "client-ready", "id": "a", "data": {"version": "1.2.0"}},
    {
        "label": "rtvi-ai",
        "type": "send-text",
        "id": "b",
        "data": {"content": "Hi", "options": {"audio_response": False}},
    },
    {"label": "rtvi-ai", "type": "append-to-context", "id": "c", "data": {"role": "user", "content": "Hi"}},
    {"label": "rtvi-ai", "type": "llm-function-call-result", "data": {"tool_call_id": "call_1", "result": {"a": [1]}}},
    {"label": "rtvi-ai", "type": "client-message", "id": "d", "data": {"t": "session", "d": {}}},
    {"type": "signalling", "message": {"type": "trackStatus"}},
]


# Telephone lines ------------------------------------------------------------------------------------------------------


def _media_stream(data: bytes) -> None:
    for dialect in DIALECTS.values():
        for number, line in enumerate(data.split(b"\n")):
            try:
                came = read_text(as_text(line), dialect, first=number == 0)
                assert not isinstance(came, SoundCame) or len(came.data) <= len(line)
            except ApiError as refused:
                _told(refused)


def _read_in_pieces(data: bytes, sizes: list[int]) -> tuple[list[Message], bool]:
    """What AudioSocket's reader makes of bytes that come in pieces of some sizes, and whether it refuses the rest."""
    reader, found, at = AudioSocketReader(), [], 0
    for size in sizes:
        try:
            found += reader.feed(data[at : at + size])
        except AudioSocketError:
            return found, True
        assert len(reader._held) < 65_538
        at += size
    return found, False


def _pbx(data: bytes) -> None:
    dice = random.Random(len(data))
    sizes = [dice.choice((1, 2, 3, 50, 700)) for _ in range(len(data))]
    found, refused = _read_in_pieces(data, sizes)
    # However TCP cuts it. (What comes with nonsense in one piece is refused with it.)
    whole, refused_whole = _read_in_pieces(data, [len(data)])
    assert refused is refused_whole
    assert refused or found == whole
    for message in found:
        if isinstance(message, Sound):
            to_linear(message.data, "linear")


def _pbx_seeds() -> list[bytes]:
    identity, key, rings_off = b"\1\0\x10" + bytes(16), b"\3\0\x015", b"\0\0\0"
    wide = b"\x12\2\x80" + bytes(640)
    return [identity + sound(bytes(320)) * 3 + key + rings_off, identity + wide * 2 + b"\xff\0\1\2", key + identity]


# What proxies say of a client -----------------------------------------------------------------------------------------

_PROXIES = {header: Proxies(("127.0.0.1", "10.0.0.0/8"), header) for header in get_args(ProxyHeader)}
_NAMED = {"x-forwarded-for": "192.0.2.1", "forwarded": "for=192.0.2.1;proto=https"}


def _proxies(data: bytes) -> None:
    line = as_text(data).replace("\n", "").replace("\r", "")
    for header, proxies in _PROXIES.items():
        # A stranger's own words come to nothing, whether the proxy adds to their line or writes one of its own.
        alone = proxies.client("127.0.0.1", CIMultiDict({header: line}))
        assert alone is not None
        assert parse_address(alone) is not None
        assert proxies.client("203.0.113.5", CIMultiDict({header: line})) == "203.0.113.5"
        added = proxies.client("127.0.0.1", CIMultiDict({header: f"{line}, {_NAMED[header]}"}))
        assert added == "192.0.2.1" or (header == "forwarded" and added == "127.0.0.1")
        beside = CIMultiDict([(header, line), (header, _NAMED[header])])
        assert proxies.client("127.0.0.1", beside) == "192.0.2.1"


_FORWARDED = (
    b"192.0.2.7, 10.1.1.1",
    b"[2001:db8::1]:80, ::ffff:10.1.1.1",
    b'for="[2001:db8::1]:80";by=10.1.1.1, For=_x;host="a,\\"b"',
    b'for=unknown;x=",for=10.1.1.1',
)


# Realtime -------------------------------------------------------------------------------------------------------------


def _realtime(data: bytes) -> None:
    said = [Say(second, second + 1.2, "What is the weather in Paris?") for second in range(1, 60, 7)]
    talk = Talk(*said, over="webrtc" if data[:1] == b"\xff" else "socket")
    for number, line in enumerate(data.removeprefix(b"\xff").split(b"\n")[:40]):
        before = len(talk.told)
        talk.session.receive(as_text(line), talk)
        for told in talk.told[before:]:
            if told["type"] == "error":
                assert told["error"]["type"] == "invalid_request_error", told
                assert told["error"]["code"], told
                assert len(told["error"]["message"]) > 10, told
        if number % 3 == 0:
            talk.run(0.3)
    assert talk.call.machine.counts["healed"] == 0
    talk.run(3)


def _realtime_seeds() -> list[bytes]:
    server = {"type": "mcp", "server_label": "a", "server_url": "https://example.org/mcp", "headers": {"a": "b"}}
    tools = {"type": "session.update", "session": {"type": "realtime", "tools": [server], "tool_choice": "auto"}}
    talks = [EVENTS, EVENTS[:3] + EVENTS[7:], [EVENTS[7], EVENTS[-2], EVENTS[-1], EVENTS[11]], [tools, *EVENTS[:3]]]
    return [lines(talk) for talk in talks] + [b"\xff" + lines(talk) for talk in talks]


def _mutated_realtime(data: bytes, dice: random.Random) -> bytes:
    channel = data[:1] == b"\xff"
    if dice.random() < 0.1:
        channel = not channel
    return (b"\xff" if channel else b"") + mutated_json(data.removeprefix(b"\xff"), dice)


# Tools ----------------------------------------------------------------------------------------------------------------

_SCHEMAS: dict[str, dict[str, Any]] = {
    "flat": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 40}, "days": {"type": "integer", "minimum": 1}},
        "required": ["city"],
    },
    "deep": {
        "type": "object",
        "properties": {
            "order": {"$ref": "#/$defs/order"},
            "tags": {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True},
            "when": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}]},
            "share": {"type": "number", "multipleOf": 0.01},
        },
        "$defs": {
            "order": {"type": "object", "properties": {"next": {"$ref": "#/$defs/order"}, "id": {"type": "integer"}}}
        },
    },
    "loose": {"type": "object"},
}
_ARGUMENTS: list[Any] = [
    {"city": "Paris", "days": 3},
    {"order": {"id": 1, "next": {"id": 2}}, "tags": ["a", 1], "when": "2026-11", "share": 0.25},
    {"order": {}, "when": None, "tags": []},
]


@contextlib.asynccontextmanager
async def _tools() -> AsyncIterator[AsyncCheck]:
    declarations = [
        ToolDeclaration(name=name, description="x", parameters=schema, function=f"{functions.__name__}:whatever")
        for name, schema in _SCHEMAS.items()
    ]
    box = Toolbox(declarations)
    known = {name: set(schema.get("properties", ())) for name, schema in _SCHEMAS.items()}

    async def check(data: bytes) -> None:
        written = as_text(data)
        for name in _SCHEMAS:
            functions.got.clear()
            result = await box.run(ToolCall("call_1", name, written))
            assert result.content != "Error: the tool failed", "the arguments broke the toolbox"
            if result.failed:
                assert not functions.got, "a tool was given what it refused"
                assert result.content.startswith("Error: ")
            else:
                assert set(functions.got[-1]) <= known[name]
        # The same as a model in process writes it, however it is cut into pieces.
        for size in (1, 7, 1_000):
            reading = ToolCallText([declaration.spec() for declaration in declarations])
            words = "".join(reading.feed(written[at : at + size]) for at in range(0, len(written), size))
            rest, calls = reading.finish()
            assert len(words) + len(rest) <= len(written)
            for call in calls:
                await box.run(call)

    yield check
    await asyncio.sleep(0)
    await box.close()


def _tool_seeds() -> list[bytes]:
    asked = [json.dumps({"name": "flat", "arguments": arguments}) for arguments in _ARGUMENTS]
    tagged = f"Let me see. <tool_call>{asked[0]}</tool_call><tool_call>{{{asked[1]}}}</tool_call>"
    return [*(json.dumps(each).encode() for each in _ARGUMENTS), tagged.encode(), f"```json\n{asked[2]}\n```".encode()]


TARGETS = (
    Target("ws-audio", "messages of /ws/audio", plain(_audio_socket), lambda: [lines(_AUDIO_SOCKET)], mutated_json,
           runs=600),
    Target("ws-stream", "messages of /ws/stream", plain(_stream_socket), lambda: [lines(_STREAM_SOCKET)],
           mutated_json, runs=600),
    Target("rtvi", "messages of RTVI's clients", plain(_rtvi), lambda: [lines(_RTVI)], mutated_json, runs=600),
    Target("media-stream", "messages of telephone bridges, in every dialect", plain(_media_stream),
           lambda: [lines(messages) for messages in BRIDGES.values()], mutated_json, runs=300),
    Target("audio-socket", "messages of Asterisk's AudioSocket, however TCP cuts them", plain(_pbx), _pbx_seeds),
    Target("proxies", "where a request comes from, in the words of proxies and of strangers", plain(_proxies),
           lambda: list(_FORWARDED)),
    Target("realtime", "client events of Realtime, over a WebSocket and a data channel", plain(_realtime),
           _realtime_seeds, _mutated_realtime, runs=60),
    Target("tools", "arguments of tools, and tool calls in a model's words", on_loop(_tools), _tool_seeds,
           mutated_json, runs=120),
)  # fmt: skip
