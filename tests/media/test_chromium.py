"""A real browser: Chromium hides its addresses behind .local names and talks to the endpoint all the same."""

import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from playwright.async_api import Page, async_playwright

from media.endpoint import MediaEndpoint
from media.peer import WebRtcPeer
from tests.media.calls import Notes, endpoint, tone, until

PAGE = """
<!doctype html><title>call</title><script>
// Without leave to use the microphone, Chromium hides its addresses behind .local names.
function oscillator() {
  const context = window.context = new AudioContext();
  const source = new OscillatorNode(context, {frequency: 440});
  const destination = context.createMediaStreamDestination();
  source.connect(destination);
  source.start();
  return destination.stream;
}
async function call(hidden) {
  const pc = window.pc = new RTCPeerConnection();
  const mic = hidden ? oscillator() : await navigator.mediaDevices.getUserMedia({audio: true});
  pc.addTrack(mic.getTracks()[0]);
  const channel = window.channel = pc.createDataChannel('oai-events');
  window.messages = [];
  channel.onmessage = event => window.messages.push(event.data);
  pc.ontrack = event => {
    window.streams = event.streams.length;
    const audio = window.audio = new Audio();
    audio.srcObject = event.streams[0];
    audio.play();
    const context = new AudioContext();
    const analyser = window.analyser = context.createAnalyser();
    context.createMediaStreamSource(event.streams[0]).connect(analyser);
  };
  await pc.setLocalDescription(await pc.createOffer());
  if (hidden)
    await new Promise(done => {
      pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && done();
    });
  const answer = await fetch('/offer', {method: 'POST', body: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: 'answer', sdp: await answer.text()});
}
function loudness() {
  const samples = new Float32Array(window.analyser.fftSize);
  window.analyser.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
}
</script>
"""


def chromium(bundled: str) -> str:
    """A Chromium of the system, else Playwright's own."""
    installed = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    found = next((path for path in installed if path), bundled)
    if not Path(found).exists():
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium")
        pytest.skip("no Chromium")
    return found


class Site:
    """Serves the page and answers its offers."""

    def __init__(self, server: MediaEndpoint) -> None:
        self.server = server
        self.offers: list[str] = []
        self.peers: list[WebRtcPeer] = []
        self.notes = Notes()

    async def page(self, request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def offer(self, request: web.Request) -> web.Response:
        self.offers.append(await request.text())
        self.peers.append(await self.server.answer(self.offers[-1], self.notes))
        return web.Response(text=self.peers[-1].answer)


@contextlib.asynccontextmanager
async def browser_call(hidden: bool) -> AsyncIterator[tuple[Page, Site]]:
    async with endpoint() as server, async_playwright() as playwright:
        path = chromium(playwright.chromium.executable_path)
        site = Site(server)
        app = web.Application()
        app.add_routes([web.get("/", site.page), web.post("/offer", site.offer)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        flags = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        if not hidden:
            flags += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        try:
            page = await browser.new_page()
            await page.goto(f"http://127.0.0.1:{runner.addresses[0][1]}/")
            await page.evaluate("hidden => call(hidden)", hidden)
            yield page, site
        finally:
            await browser.close()
            await runner.cleanup()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("hidden", [True, False])
async def test_chromium_is_heard_and_hears(hidden: bool) -> None:
    async with browser_call(hidden) as (page, site):
        peer, notes = site.peers[0], site.notes
        await until(lambda: notes.connected_at is not None)
        # Hidden addresses in the one case, no candidates at all in the other.
        assert (".local" in site.offers[0]) == ("candidate" in site.offers[0]) == hidden
        # An oscillator, or the beep that Chromium's fake microphone gives every second.
        await until(lambda: any(np.abs(pcm).max() > 2000 for _, _, pcm in notes.audio))
        await until(lambda: notes.channel_open)
        assert peer.send_message("hello browser")
        await page.evaluate("channel.send('hello server')")
        await until(lambda: notes.messages == ["hello server"])
        await page.wait_for_function("messages.length === 1 && messages[0] === 'hello browser'")
        assert await page.evaluate("streams") == 1
        peer.speaker.write(tone(500, 3))
        await page.wait_for_function("loudness() > 0.1", timeout=3000)
        await until(lambda: peer.stats().round_trip_s is not None)
        assert peer._transport.dtls.srtp_discarded == 0
        await page.evaluate("pc.close()")
        closed_at = time.monotonic()
        await until(lambda: notes.closed)
        assert notes.closed == ["dtls_closed"]
        assert time.monotonic() - closed_at < 20
