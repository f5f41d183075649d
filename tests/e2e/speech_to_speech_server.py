"""Morgan as the server that huggingface/speech-to-speech tests OpenAI's Agents SDK against, a process for its tests.

Their tests speak no word: they drive the server from outside with `POST /test/...`, where theirs puts events into its
pipeline. Here the same makes the ears hear a voice and the language model answer, and all else is Morgan, with its
own turn taking. What they look at through `GET /test/state` is what the session of the call tells.
"""

import asyncio
import json
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
from aiohttp import web

from media.values import AudioFrame
from pipeline.audio import HEARING_RATE, Waveform
from pipeline.call.state import State
from pipeline.engines.protocols import ChatDelta, ChatRequest, ToolCall, Transcript
from pipeline.scheduling.lanes import Ticket
from server.app import Server
from server.calls.call import Call
from server.realtime.items import Json
from server.realtime.session import RealtimeSession
from server.realtime.session_config import SessionConfig
from server.realtime.socket_line import RealtimeLine
from server.realtime.sockets import session_of
from server.settings import Settings
from tests.server.scripted import Ears, Mind, scripted_engines
from tests.serving import free_port

SDK = "node_modules/@openai/agents-realtime/dist/bundle/openai-realtime-agents.umd.js"

PAGE = '<!doctype html><html><body><script src="/test/sdk.js"></script></body></html>'

VOICE_S = 1.5
"""Of what the user says."""

HELLO, STOP = "hello", "Stop, that is enough, thank you."
"""Over a reply a word is no interruption yet, and Morgan goes on."""

FRAME_S = 0.02

QUIET_S = 0.3

AT_LENGTH = "This response will be interrupted, " * 10


class Stage(Ears, Mind):
    """The ears and the mind of the server, as the tests set them.

    Attributes:
        speaking: whether the user is.
        said: what they say.
        answer: what the next reply says.
        function: whether the next reply calls one.
        finished: set while a reply to what a function has come to may be given.
        answered: replies to what functions have come to that were asked for.
    """

    calls_tools = True

    def __init__(self) -> None:
        super().__init__("")
        self.speaking = False
        self.said = HELLO
        self.answer = "Hello from the compatibility test."
        self.function = False
        self.finished = asyncio.Event()
        self.answered = 0

    def open_stream(self) -> "Stage":
        return self

    def probability(self, window: Waveform) -> float:
        return 1.0 if self.speaking else 0.0

    async def transcribe(self, audio: Waveform, ticket: Ticket, **_: Any) -> Transcript:
        return Transcript(self.said, "en", duration=len(audio) / 16_000)

    async def stream(self, request: ChatRequest, ticket: Ticket) -> AsyncIterator[ChatDelta]:
        if self.function:
            self.function = False
            call = ToolCall("call_agents_sdk", "lookup", '{"query":"sdk"}')
            yield ChatDelta("", "tool_calls", 20, 5, (call,))
            return
        if request.messages[-1].role == "tool":
            self.answered += 1
            await self.finished.wait()
        for word in self.answer.split():
            yield ChatDelta(f"{word} ")
        yield ChatDelta("", "stop", 20, 50)


class Asking:
    """Implements `server.realtime.ends.Sink`: whoever asks for a response beside the client."""

    def put(self, message: Json) -> None: ...

    def over(self) -> None: ...


class Rehearsal:
    """What `/test/...` does to a server.

    Args:
        server: with the stage's ears and mind.
        stage: of it.
    """

    def __init__(self, server: Server, stage: Stage) -> None:
        self._server = server
        self._stage = stage
        self.sent: set[str] = set()
        self.voice = ""

    @property
    def session(self) -> RealtimeSession | None:
        """Of the call that there is."""
        active = self._server.registry.active
        return session_of(active[0]) if active and active[0].has_begun else None

    def routes(self) -> list[web.RouteDef]:
        """`/test/...`, and the way to the calls of the server: a page knows one address for both."""
        steps: dict[str, Callable[[], Awaitable[None]]] = {
            "voice": lambda: self.speak(HELLO),
            "start-audio": lambda: self.respond(AT_LENGTH),
            "settle-audio": self.settle,
            "barge-in": lambda: self.speak(STOP),
            "tool": self.call_function,
            "finish-response": self.finish,
        }

        def posted(step: Callable[[], Awaitable[None]]) -> Callable[[web.Request], Awaitable[web.Response]]:
            async def handler(_: web.Request) -> web.Response:
                await step()
                return web.json_response({"ok": True})

            return handler

        return [
            *(web.post(f"/test/{name}", posted(step)) for name, step in steps.items()),
            web.get("/test/state", self.state),
            web.get("/test/sdk-page", self.page),
            web.get("/test/sdk.js", self.code),
            web.post("/v1/realtime/calls", self.call),
        ]

    # Steps -----------------------------------------------------------------------------------------------------------

    async def speak(self, words: str) -> None:
        """The user says something: from now on whatever sound comes is a voice."""
        self._stage.said = words
        self._stage.answer = "Hello from the compatibility test."
        self._stage.speaking = True
        await asyncio.sleep(VOICE_S)
        self._stage.speaking = False

    async def respond(self, words: str) -> None:
        """Morgan says something."""
        assert self.session is not None
        self._stage.answer = words
        self.session.receive(json.dumps({"type": "response.create"}), Asking())

    async def settle(self) -> None:
        """Until nobody has said anything for a moment."""
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < QUIET_S:
            await asyncio.sleep(FRAME_S)
            session, active = self.session, self._server.registry.active
            if session is None or session.events.responses or active[0].state is not State.LISTENING:
                quiet_since = time.monotonic()

    async def call_function(self) -> None:
        """Morgan calls the client's function."""
        await self.settle()
        self._stage.function = True
        await self.respond("Tool result received.")

    async def finish(self) -> None:
        """Morgan says what has come of it."""
        self._stage.finished.set()

    async def state(self, _: web.Request) -> web.Response:
        """What the session says of itself."""
        session = self.session
        if session is None:
            return web.json_response({"connected": False, "inputChunks": 0})
        (call,) = self._server.registry.active
        shown = session.config.describe(call.id)
        heard, entries = shown["audio"]["input"], call.actor.machine.context.entries
        packets = sum(peer.stats().packets_received for peer in call.peers)
        return web.json_response(
            {
                "connected": True,
                "inputChunks": packets + (call.id in self.sent),
                "instructions": session.config.instructions,
                # As it was asked for: a name of OpenAI's is a voice of the server's here.
                "voice": self.voice,
                "turnDetection": (heard["turn_detection"] or {}).get("type"),
                "inputRate": heard["format"].get("rate"),
                "outputRate": shown["audio"]["output"]["format"].get("rate"),
                "tools": [tool["name"] for tool in shown["tools"]],
                "toolOutputs": [entry.text for entry in entries if entry.role == "tool"],
                "responseRequests": self._stage.answered,
                "inResponse": bool(session.events.responses),
            }
        )

    # A page ----------------------------------------------------------------------------------------------------------

    async def page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def code(self, _: web.Request) -> web.StreamResponse:
        return web.FileResponse(Path(os.environ["S2S_PACKAGES"]) / SDK, headers={"Content-Type": "text/javascript"})

    async def call(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name in ("Content-Type", "Authorization")}
        async with (
            aiohttp.ClientSession(self._server.url) as http,
            http.post(request.path, data=await request.read(), headers=headers) as answer,
        ):
            told = {name: answer.headers[name] for name in ("Content-Type", "Location") if name in answer.headers}
            return web.Response(body=await answer.read(), status=answer.status, headers=told)


async def keep_on(server: Server) -> None:
    """A microphone that is on: what their tests send over a WebSocket is less than a tenth of a second in all."""
    silence = bytes(2 * int(FRAME_S * HEARING_RATE))
    while True:
        for call in server.registry.active:
            if isinstance(call.line, RealtimeLine) and call.has_begun:
                call.line.link.receive(silence, time.monotonic())
        await asyncio.sleep(FRAME_S)


def watch(rehearsal: Rehearsal, stage: Stage) -> None:
    """Note what the clients send that the session does not tell: that there is sound, and the name of a voice.

    While the user speaks, what comes of their microphone is made as loud as a voice is.
    """
    append, voice_of, on_audio = RealtimeLine.append, SessionConfig.voice_of, Call.on_audio

    def heard(self: Call, frame: AudioFrame) -> None:
        voice = (np.sin(np.arange(len(frame.pcm))) * 8_000).astype(np.int16)
        on_audio(self, frame._replace(pcm=voice) if stage.speaking else frame)

    def appended(self: RealtimeLine, audio: str) -> None:
        append(self, audio)
        rehearsal.sent |= {call.id for call in rehearsal._server.registry.active if call.line is self}

    def named(self: SessionConfig, wanted: Any, param: str) -> str:
        found = voice_of(self, wanted, param)
        rehearsal.voice = wanted if isinstance(wanted, str) else wanted.id
        return found

    Call.on_audio = heard  # type: ignore[method-assign]
    RealtimeLine.append = appended  # type: ignore[method-assign]
    SessionConfig.voice_of = named  # type: ignore[method-assign]


async def main() -> None:
    """Serve until a signal; the first line that is written says where, and the log is no part of it."""
    told = os.dup(1)
    os.dup2(2, 1)
    stage: Any = Stage()
    with tempfile.TemporaryDirectory() as folder:
        own = f"http://127.0.0.1:{free_port()}"
        settings = Settings(
            memory="off",
            port=free_port(),
            data_dir=Path(folder),
            greeting="",
            connect_timeout_s=60,
            allowed_origins=own,
        )
        server = await Server.start(settings, replace(scripted_engines(), vad=stage, turn=stage, stt=stage, llm=stage))
        rehearsal = Rehearsal(server, stage)
        watch(rehearsal, stage)
        app = web.Application()
        app.add_routes(rehearsal.routes())
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", int(own.rpartition(":")[2])).start()
        microphone = asyncio.create_task(keep_on(server))
        stopped = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
        where = {"http": own, "ws": server.url.replace("http", "ws") + "/v1/realtime"}
        os.write(told, json.dumps(where).encode() + b"\n")
        await stopped.wait()
        microphone.cancel()
        await runner.cleanup()
        await server.stop()


if __name__ == "__main__":
    asyncio.run(main())
