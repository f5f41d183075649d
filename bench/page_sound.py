"""How long sound takes through the call page: `python -m bench.page_sound [--calls N] [--bursts N]`.

The real page in a headless Chromium calls the real media endpoint. Bursts of a tone are written to the outgoing queue
at any phase of its clock, after a rest as a call has one while its user speaks; taken are the moment of writing, the
moment at which the first packet with sound goes onto the wire (loopback, so that it is there at once) and the moment at
which the sound comes out of an audio graph on the page's own stream, in an AudioWorklet. Between the last two lie
decryption, Chromium's jitter buffer, the decoder and the graph; not the loudspeaker. Both clocks are the system's, to
the millisecond.
"""

import argparse
import asyncio
import json
import random
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web
from playwright.async_api import Browser, async_playwright

from bench.voice_to_voice import percentile
from media.endpoint import MediaEndpoint
from media.peer import WebRtcPeer
from media.values import FRAME_S, SEND_RATE, AudioFrame, IceCandidate, MediaConfig, Pcm, PlayoutChange, PlayoutEvent
from server.http.page import STATIC

OWED_MS = 60.0
BURST_S = 0.4
PAUSE_S = 0.9
THINKING_S = 0.3
"""Before a burst, as long as a reply is prepared: the queue does not rest in it."""

CONNECT_S = 60.0

EAR = """async () => {
  const source = `registerProcessor('ear', class extends AudioWorkletProcessor {
    constructor() { super(); this.quiet = 0; }
    process([[samples]]) {
      const loud = samples ? samples.findIndex((sample) => Math.abs(sample) > 0.02) : -1;
      if (loud < 0) this.quiet += 128;
      else {
        if (this.quiet > sampleRate * 0.3) this.port.postMessage(Date.now());
        this.quiet = 0;
      }
      return true;
    }
  })`;
  const context = new AudioContext({ latencyHint: 'interactive' });
  await context.audioWorklet.addModule(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
  const ear = new AudioWorkletNode(context, 'ear');
  window.heard = [];
  ear.port.onmessage = ({ data }) => window.heard.push(data);
  context.createMediaStreamSource(document.getElementById('voice').srcObject).connect(ear);
  await context.resume();
}"""


class Line:
    """The one call of a page: its signaling, and when sound went out. A `media.values.PeerListener`."""

    def __init__(self, endpoint: MediaEndpoint) -> None:
        self.connected = asyncio.Event()
        self.sent_ms: list[float] = []
        self.written_ms: list[float] = []
        self.peer: WebRtcPeer | None = None
        self._endpoint = endpoint

    async def open(self, request: web.Request) -> web.Response:
        """POST /api/calls."""
        self.peer = await self._endpoint.answer((await request.json())["sdp"], self)
        ids = {"call_id": "call_1", "conversation_id": "conversation", "resume_token": "token", "ice_servers": []}
        return web.json_response({**ids, "type": "answer", "sdp": self.peer.answer}, status=201)

    async def change(self, request: web.Request) -> web.Response:
        """PATCH /api/calls/call_1."""
        listed = (await request.json()).get("candidates", [])
        found = [IceCandidate(each["candidate"], each["sdpMid"], each["sdpMLineIndex"]) for each in listed]
        if self.peer is not None:
            await self.peer.add_candidates(found)
        return web.Response(status=204)

    def on_connected(self) -> None:
        """See `PeerListener`."""
        self.connected.set()

    def on_playout(self, event: PlayoutEvent) -> None:
        """See `PeerListener`."""
        if event.change is PlayoutChange.STARTED:
            self.sent_ms.append((time.time() - (time.monotonic() - event.at)) * 1000)

    async def say(self, pcm: Pcm, pause_s: float) -> None:
        """A burst and the pause behind it."""
        assert self.peer is not None
        speaker = self.peer.speaker
        speaker.rest(False)
        await asyncio.sleep(THINKING_S)
        self.written_ms.append(time.time() * 1000)
        speaker.write(pcm)
        speaker.finish()
        await asyncio.sleep(len(pcm) / SEND_RATE)
        speaker.rest(True)
        await asyncio.sleep(pause_s - THINKING_S)

    def on_audio(self, frame: AudioFrame) -> None:
        """See `PeerListener`."""

    def on_channel_open(self) -> None:
        """See `PeerListener`: the page begins with this."""
        if self.peer is not None:
            self.peer.send_message(json.dumps({"type": "session.created", "session": {"type": "realtime"}}))

    def on_message(self, text: str) -> None:
        """See `PeerListener`."""

    def on_key(self, key: str) -> None:
        """See `PeerListener`."""

    def on_lost(self) -> None:
        """See `PeerListener`."""

    def on_found(self) -> None:
        """See `PeerListener`."""

    def on_closed(self, reason: str) -> None:
        """See `PeerListener`."""


async def measure(browser: Browser, bursts: int) -> list[tuple[float, float]]:
    """Milliseconds of each burst of one call: from its first packet, and from when it was written."""
    endpoint = await MediaEndpoint.open(MediaConfig())
    line = Line(endpoint)
    app = web.Application()
    app.router.add_get("/", _page)
    app.router.add_get("/api/ice-servers", _no_servers)
    app.router.add_post("/api/calls", line.open)
    app.router.add_patch("/api/calls/call_1", line.change)
    app.router.add_delete("/api/calls/call_1", _hung_up)
    app.router.add_static("/static", STATIC)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    # The ear's worklet is not the page's: its policy would not let it in.
    context = await browser.new_context(bypass_csp=True)
    try:
        page = await context.new_page()
        await page.goto(f"http://localhost:{runner.addresses[0][1]}/")
        await page.click("#call")
        await asyncio.wait_for(line.connected.wait(), CONNECT_S)
        await page.wait_for_function("() => document.getElementById('voice').srcObject", timeout=CONNECT_S * 1000)
        await page.evaluate(EAR)
        await asyncio.sleep(3)  # the jitter buffer comes down from what it began with
        phases = random.Random(bursts)
        for _ in range(bursts):
            await line.say(tone(), PAUSE_S + phases.uniform(0, 2 * FRAME_S))
        heard: list[float] = await page.evaluate("() => window.heard")
    finally:
        await context.close()
        await runner.cleanup()
        await endpoint.close()
    return [
        (delay, delay + sent - written)
        for sent, written in zip(line.sent_ms, line.written_ms, strict=True)
        if (delay := _delay(sent, heard)) is not None
    ]


async def _page(_: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html")


async def _no_servers(_: web.Request) -> web.Response:
    return web.json_response({"ice_servers": []})


async def _hung_up(_: web.Request) -> web.Response:
    return web.Response(status=204)


def _delay(sent: float, heard: list[float]) -> float | None:
    """Until the first sound behind a packet; None where none came before the next was sent."""
    later = [at - sent for at in heard if -1 <= at - sent < (BURST_S + PAUSE_S) * 1000]
    return min(later, default=None)


def tone() -> Pcm:
    """A burst that is loud from its first frame on."""
    return (9000 * np.sin(2 * np.pi * 440 * np.arange(int(BURST_S * SEND_RATE)) / SEND_RATE)).astype(np.int16)


def chromium(bundled: str) -> str:
    """Playwright's own, else the system's."""
    return bundled if Path(bundled).exists() else "/usr/bin/chromium"


async def run(calls: int, bursts: int) -> dict[str, Any]:
    """All calls, one after the other."""
    arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    async with async_playwright() as playwright:
        path = chromium(playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            found = [each for _ in range(calls) for each in await measure(browser, bursts)]
        finally:
            await browser.close()
    delays, waits = [from_packet for from_packet, _ in found], [from_writing for _, from_writing in found]
    return {
        "bursts": calls * bursts,
        "heard": len(found),
        "owed_ms": OWED_MS,
        "within": round(sum(delay <= OWED_MS for delay in delays) / len(delays), 3),
        **_figures(delays),
        "from_writing": _figures(waits),
    }


def _figures(delays: list[float]) -> dict[str, float]:
    found = {"p50_ms": statistics.median(delays), "p95_ms": percentile(delays, 0.95), "most_ms": max(delays)}
    return {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2)
    parser.add_argument("--bursts", type=int, default=20)
    arguments = parser.parse_args()
    print(json.dumps(asyncio.run(run(arguments.calls, arguments.bursts)), indent=2))


if __name__ == "__main__":
    main()
