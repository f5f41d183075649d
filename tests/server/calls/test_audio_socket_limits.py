"""How long a client on /ws/audio is waited for: before it begins, while nobody speaks, and when it does not read."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestClient, TestServer

from media.audio_sender import Due
from media.pacer import Pacer
from pipeline.call.state import State
from server.calls.websocket import call_socket
from server.calls.websocket.line import IDLE_S, SocketLine
from server.routes.ws_audio import routes


class Outbox:
    """Notes what is to be sent, as long as the client reads."""

    lag_s = 0.0

    def __init__(self) -> None:
        self.reads = True
        self.messages: list[Any] = []
        self.dropped = 0

    def put(self, message: Any, *, must: bool = False) -> bool:
        if self.reads or must:
            self.messages.append(message)
        return self.reads or must

    def drop_audio(self) -> None:
        self.dropped += 1


class Call:
    """A call that listens, and notes why it is to end."""

    id = "call_1"
    recording = None
    ended_reason: str | None = None

    def __init__(self) -> None:
        self.state = State.LISTENING
        self.ended: list[str] = []
        self.record = SimpleNamespace(events_dropped=0)

    def end_soon(self, reason: str) -> None:
        self.ended.append(reason)
        self.ended_reason = reason

    def on_audio(self, frame: Any) -> None: ...

    def on_playout(self, event: Any) -> None: ...

    def delayed_by(self, seconds: float) -> None: ...


@pytest.fixture
async def line() -> Any:
    """A line over the two above, which it holds as `_call` and `_outbox`."""
    return SocketLine(Call(), Outbox(), Pacer(), 16_000)  # type: ignore[arg-type]


async def test_a_session_in_which_nothing_happens_ends_and_says_why(line: Any) -> None:
    call, outbox = line._call, line._outbox
    line.active()
    began = line._active_at
    line.tick(Due(1, 0), began + IDLE_S - 1, read=True)
    assert call.ended == []
    line.tick(Due(1, 0), began + IDLE_S + 1, read=True)
    assert call.ended == ["idle"]
    assert outbox.messages[-1]["error"]["code"] == "idle"


async def test_a_session_that_fails_in_its_tick_ends(line: Any) -> None:
    line.fail(RuntimeError("this call is broken"))
    assert line._call.ended == ["internal_error"]


async def test_a_session_in_which_morgan_speaks_is_not_idle(line: Any) -> None:
    call = line._call
    began = line._active_at
    call.state = State.SPEAKING
    line.tick(Due(1, 0), began + IDLE_S + 1, read=True)
    call.state = State.LISTENING
    line.tick(Due(1, 0), began + IDLE_S + 2, read=True)
    assert call.ended == []


async def test_a_client_that_does_not_read_is_sent_away_with_the_reason(line: Any) -> None:
    call, outbox = line._call, line._outbox
    outbox.reads = False
    line._events.sounding = True
    line._say(np.ones(480, np.int16))
    line._say(np.ones(480, np.int16))
    assert call.ended == ["slow_reader"]
    assert [message["error"]["code"] for message in outbox.messages] == ["slow_reader"]
    assert outbox.dropped == 1


async def test_a_client_that_never_begins_is_sent_away_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_socket, "START_S", 0.3)
    app = web.Application()
    app.add_routes(routes)
    async with TestClient(TestServer(app)) as client, client.ws_connect("/ws/audio") as socket:
        told = await socket.receive_json(timeout=60)
        assert (told["type"], told["error"]["code"]) == ("error", "start_timeout")
        closed = await socket.receive(timeout=60)
        assert closed.type is WSMsgType.CLOSE
        assert closed.data == 4408
