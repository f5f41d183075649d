"""A stand-in for Morgan's signaling, for what the real server does not do on demand: refuse, vanish, interrupt.

It serves the real page, answers offers with stock aiortc, sends a tone as the assistant's voice, and sends over the
data channel whatever events a test hands it. What the page says to it is kept for the test to look at.
"""

import asyncio
import contextlib
import fractions
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import candidate_from_sdp
from av import AudioFrame

from tests.e2e.page_memory import PageMemory

STATIC = Path(__file__).resolve().parents[2] / "static"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "media-src 'self' blob:"
)
RATE = 48_000
FRAME_SAMPLES = RATE // 50


class Tone(MediaStreamTrack):
    """A 220 Hz tone, mono, 48 kHz, that swells once a second; silent while `loud` is false."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.loud = False
        self._position = 0
        self._start = asyncio.get_running_loop().time()

    async def recv(self) -> AudioFrame:
        """The next 20 ms, no earlier than they are due."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._start + self._position / RATE - loop.time()))
        at = (np.arange(FRAME_SAMPLES) + self._position) / RATE
        swell = 0.3 * np.abs(np.sin(np.pi * at)) * self.loud
        samples = (np.sin(2 * np.pi * 220 * at) * swell * 32_767).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._position, fractions.Fraction(1, RATE)
        self._position += FRAME_SAMPLES
        return frame


@dataclass
class StandInCall:
    """One call of the page.

    Attributes:
        request: body of the POST that opened it.
        resumes: how often it was taken up on a new connection.
        candidates: everything that was trickled, in order.
        open: set while a data channel is open.
        hung_up: set by DELETE, or when the page closes the connection that the call is on.
        heard_peak: loudest sample (0 to 32767) that came from the page's microphone; set it to 0 to measure anew.
        heard_frames: how many frames of 20 ms came from there, silent ones too.
        said: events that the page sent, in order.
        refuse_resume: HTTP status with which to answer the next resumptions, None to accept them.
    """

    id: str
    request: Mapping[str, Any]
    resume_token: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    resumes: int = 0
    candidates: list[Mapping[str, Any]] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)
    heard_peak: int = 0
    heard_frames: int = 0
    said: list[Mapping[str, Any]] = field(default_factory=list)
    refuse_resume: int | None = None
    tone: Tone | None = None
    channel: RTCDataChannel | None = None
    peer: RTCPeerConnection | None = None
    _ear: asyncio.Task[None] | None = None

    async def answer(self, sdp: str) -> str:
        """Put the call on a new peer; returns the SDP answer with all candidates in it."""
        await self.drop()
        peer = self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))

        @peer.on("datachannel")  # type: ignore[untyped-decorator, unused-ignore]
        def opened(channel: RTCDataChannel) -> None:
            self.channel = channel
            channel.on("message", lambda text: self.said.append(json.loads(text)))
            self.open.set()

        @peer.on("track")  # type: ignore[untyped-decorator, unused-ignore]
        def speaks(track: MediaStreamTrack) -> None:
            self._ear = asyncio.create_task(self._listen(track))

        @peer.on("connectionstatechange")  # type: ignore[untyped-decorator, unused-ignore]
        def changed() -> None:
            if peer.connectionState == "closed" and self.peer is peer:
                self.hung_up.set()  # the page closed it: DTLS says so, and to Morgan that is hanging up

        await peer.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        self.tone = Tone()
        peer.addTrack(self.tone)
        await peer.setLocalDescription(await peer.createAnswer())
        return str(peer.localDescription.sdp)

    async def _listen(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):  # the peer is closed
            while True:
                frame = await track.recv()
                assert isinstance(frame, AudioFrame)
                self.heard_frames += 1
                self.heard_peak = max(self.heard_peak, int(np.abs(frame.to_ndarray()).max()))

    async def trickle(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        self.candidates.extend(candidates)
        for entry in candidates:
            candidate = candidate_from_sdp(entry["candidate"].removeprefix("candidate:"))
            candidate.sdpMid, candidate.sdpMLineIndex = entry["sdpMid"], entry["sdpMLineIndex"]
            if self.peer is not None and not candidate.ip.endswith(".local"):
                await self.peer.addIceCandidate(candidate)

    def send(self, *events: Mapping[str, Any]) -> None:
        """Send events to the page, in order."""
        if self.channel is None:
            raise RuntimeError("the data channel is not open")
        for event in events:
            self.channel.send(json.dumps({"event_id": secrets.token_hex(4), **event}))

    async def drop(self) -> None:
        """Let the connection vanish; the call itself goes on."""
        self.open.clear()
        peer, self.peer, self.channel = self.peer, None, None
        if self._ear is not None:
            self._ear.cancel()  # a track whose peer never connected would wait for ever
            await asyncio.wait([self._ear])
            self._ear = None
        if peer is not None:
            await peer.close()


class PageServer:
    """Serves the page on a free port of localhost; use it as an async context manager.

    Attributes:
        refusal: status, code, message and headers with which POST /api/calls is refused; None accepts.
        api_key: when set, /api needs it as a bearer token.
        join_token: good once at /api/tokens/exchange, for the API key and the user "alice".
        answering: clear it to let requests to /api hang, as a frozen server would.
        placing: clear it to let POST /api/calls alone hang.
        url: address of the page, ends with a slash.
        memory: earlier conversations; none.
        calls: every call so far.
    """

    def __init__(
        self, *, api_key: str | None = None, refusal: tuple[int, str, str, Mapping[str, str]] | None = None
    ) -> None:
        self.api_key = api_key
        self.refusal = refusal
        self.join_token: str | None = None
        self.answering = asyncio.Event()
        self.answering.set()
        self.placing = asyncio.Event()
        self.placing.set()
        self.url = ""
        self.memory = PageMemory()
        self.calls: list[StandInCall] = []
        self._called = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "PageServer":
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/", self._page)
        app.router.add_static("/static", STATIC)
        app.router.add_post("/api/tokens/exchange", self._exchange)
        app.router.add_get("/v1/audio/voices", self._voices)
        self.memory.add_to(app)
        app.router.add_get("/api/ice-servers", self._ice_servers)
        app.router.add_post("/api/calls", self._open)
        app.router.add_patch("/api/calls/{id}", self._change)
        app.router.add_delete("/api/calls/{id}", self._hang_up)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://localhost:{self._runner.addresses[0][1]}/"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Drop all calls and close the port."""
        self.answering.set()
        self.placing.set()
        for call in self.calls:
            await call.drop()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def call(self, number: int = 1, timeout: float = 60.0) -> StandInCall:
        """The `number`th call, with its data channel open."""
        async with asyncio.timeout(timeout):
            async with self._called:
                await self._called.wait_for(lambda: len(self.calls) >= number)
            call = self.calls[number - 1]
            await call.open.wait()
        return call

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.path.startswith("/api/") and request.path != "/api/tokens/exchange":
            await self.answering.wait()
            if self.api_key is not None and request.headers.get("Authorization") != f"Bearer {self.api_key}":
                return failure(401, "unauthorized", "A valid API key is needed.")
        response: web.StreamResponse = await handler(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    async def _page(self, request: web.Request) -> web.StreamResponse:
        return web.FileResponse(STATIC / "index.html")

    async def _exchange(self, request: web.Request) -> web.Response:
        if self.join_token is None or request.headers.get("Authorization") != f"Bearer {self.join_token}":
            return failure(401, "unauthorized", "This token was used, or is too old.")
        self.join_token = None
        return web.json_response({"token": self.api_key, "user_id": "alice", "scopes": ["calls"]}, status=201)

    async def _voices(self, request: web.Request) -> web.Response:
        return web.json_response({"voices": [{"id": "joe", "name": "Joe", "language": "en-US"}]})

    async def _ice_servers(self, request: web.Request) -> web.Response:
        return web.json_response({"ice_servers": []})

    async def _open(self, request: web.Request) -> web.Response:
        await self.placing.wait()
        if self.refusal is not None:
            return failure(*self.refusal)
        body = await request.json()
        call = StandInCall(f"call_{secrets.token_hex(6)}", body)
        sdp = await call.answer(body["sdp"])
        async with self._called:
            self.calls.append(call)
            self._called.notify_all()
        ids = {"call_id": call.id, "conversation_id": f"conv_{call.id}", "resume_token": call.resume_token}
        return web.json_response({**ids, "sdp": sdp, "type": "answer", "ice_servers": []}, status=201)

    async def _change(self, request: web.Request) -> web.Response:
        call, body = self._find(request), await request.json()
        if call is None:
            return failure(404, "call_not_found", "There is no such call.")
        if "sdp" not in body:
            await call.trickle(body["candidates"])
            return web.Response(status=204)
        if call.refuse_resume is not None:
            return failure(call.refuse_resume, "not_resumable", "The call cannot be taken up.")
        if not secrets.compare_digest(body["resume_token"], call.resume_token):
            return failure(403, "wrong_resume_token", "The resume token is not the one of this call.")
        call.resumes += 1
        return web.json_response({"sdp": await call.answer(body["sdp"]), "type": "answer"})

    async def _hang_up(self, request: web.Request) -> web.Response:
        call = self._find(request)
        if call is None:
            return failure(404, "call_not_found", "There is no such call.")
        await call.drop()
        call.hung_up.set()
        return web.Response(status=204)

    def _find(self, request: web.Request) -> StandInCall | None:
        wanted = request.match_info["id"]
        return next((call for call in self.calls if call.id == wanted and not call.hung_up.is_set()), None)


async def eventually(condition: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until the condition holds; TimeoutError if it does not within `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - what is waited for is a plain value, which sets no event
            await asyncio.sleep(0.02)


def failure(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as Morgan words it."""
    return web.json_response({"error": {"code": code, "message": message}}, status=status, headers=headers)
