"""Every browser with its default settings, by every address of the machine, with and without a granted microphone."""

import json
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from media.addresses import local_addresses
from tests.conftest import lacking
from tests.e2e.tabs import NAMES, Tab, opened, until
from tests.nginx import nginx
from tests.serving import RunningServer, free_port, ipv6, serving

KEY = "a-key-of-more-than-24-characters"
GREETING = "Hello, I am Morgan, and I am glad that you called."

WATCH = """(() => {
  const Plain = RTCPeerConnection;
  window.RTCPeerConnection = function (...given) {
    window.pc = new Plain(...given);
    const open = window.pc.createDataChannel.bind(window.pc);
    window.pc.createDataChannel = (...named) => (window.channel = open(...named));
    return window.pc;
  };
})()"""
"""Keeps hold of the page's connection and its data channel."""

NO_MICROPHONE = """(() => {
  navigator.mediaDevices.getUserMedia = async () => {
    const context = (window.hum = new AudioContext());
    const destination = context.createMediaStreamDestination();
    const source = new OscillatorNode(context, { frequency: 60 });
    source.connect(new GainNode(context, { gain: 0.001 })).connect(destination);
    source.start();
    await context.resume();
    return destination.stream;
  };
})()"""
"""A stream that takes no leave of anybody: without one, browsers hide their addresses behind .local names."""

HEARD = """(async () => {
  for (const report of (await pc.getStats()).values())
    if (report.type === 'inbound-rtp' && report.kind === 'audio')
      return report.packetsReceived > 50 && report.totalAudioEnergy > 0 && report;
  return false;
})()"""

ASK = {
    "type": "conversation.item.create",
    "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "How are you today?"}]},
}


@pytest.fixture(scope="module")
def at_home(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A Morgan as it is without settings, but for what it says first."""
    with serving(models_dir, tmp_path_factory.mktemp("home"), MORGAN_GREETING=GREETING) as running:
        yield running


@pytest.fixture(scope="module")
def on_the_network(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A Morgan for others too."""
    settings = {"MORGAN_HOST": "0.0.0.0", "MORGAN_API_KEYS": KEY, "MORGAN_GREETING": GREETING}
    with serving(models_dir, tmp_path_factory.mktemp("network"), **settings) as running:
        yield running


async def check_call(tab: Tab, microphone: bool) -> None:
    """Place a call by the button, hear the greeting, type a question, hear the answer, hang up."""
    await tab.evaluate(WATCH)
    if not microphone:
        await tab.evaluate(NO_MICROPHONE)
    await tab.click("#call")
    await until(tab, "window.pc?.connectionState === 'connected'")
    # Firefox hides them whatever it grants, as long as the microphone is its own tone.
    assert microphone or await tab.evaluate("pc.localDescription.sdp.includes('.local')")
    await until(tab, f"transcript.innerText.includes({json.dumps(GREETING)})")
    await until(tab, HEARD)
    await until(tab, "app.dataset.state === 'listening'")
    lines = await tab.evaluate("document.querySelectorAll('.line[data-role=assistant]').length")
    await tab.evaluate(f"void channel.send({json.dumps(json.dumps(ASK))})")
    await tab.evaluate('void channel.send(\'{"type": "response.create"}\')')
    await until(tab, f"document.querySelectorAll('.line[data-role=assistant]').length > {lines}")
    await until(tab, "Number(document.getElementById('voice-level').ariaValueNow) > 10")
    await tab.click("#hang-up")
    await until(tab, "app.dataset.state === 'ended'")


BROWSERS = pytest.mark.parametrize("browser", NAMES)
MICROPHONE = pytest.mark.parametrize("microphone", [True, False], ids=["microphone", "hidden"])


@pytest.mark.parametrize("host", ["localhost", "[::1]"])
@MICROPHONE
@BROWSERS
async def test_a_call_on_this_machine(browser: str, microphone: bool, host: str, at_home: RunningServer) -> None:
    if host == "[::1]" and not ipv6():
        pytest.skip("no IPv6 here")
    async with opened(browser, at_home.url.replace("127.0.0.1", host), microphone=microphone) as tab:
        await check_call(tab, microphone)


@MICROPHONE
@BROWSERS
async def test_a_call_by_an_address_of_the_network(
    browser: str, microphone: bool, on_the_network: RunningServer
) -> None:
    url = on_the_network.url.replace("127.0.0.1", network_address())
    async with opened(browser, url, microphone=microphone) as tab:
        await tab.evaluate(f"void sessionStorage.setItem('morgan.key', {json.dumps(KEY)})")
        await check_call(tab, microphone)


@MICROPHONE
@BROWSERS
async def test_a_call_behind_the_nginx_of_the_documentation(
    browser: str, microphone: bool, models_dir: Path, tmp_path: Path
) -> None:
    port = free_port()
    url = f"https://{network_address()}:{port}"
    # As the documentation sets it, and a key, since others come in.
    settings = {"MORGAN_ALLOWED_ORIGINS": url, "MORGAN_API_KEYS": KEY, "MORGAN_GREETING": GREETING}
    with serving(models_dir, tmp_path / "morgan", **settings) as morgan:
        async with nginx(tmp_path, port, morgan.url), opened(browser, url, microphone=microphone, signed=False) as tab:
            assert await tab.evaluate("isSecureContext && location.protocol === 'https:'")
            await tab.evaluate(f"void sessionStorage.setItem('morgan.key', {json.dumps(KEY)})")
            await check_call(tab, microphone)


async def test_the_page_itself_stays_on_this_machine(at_home: RunningServer) -> None:
    url = at_home.url.replace("127.0.0.1", network_address())
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{at_home.url}/health") as answer:
            assert answer.status == 200
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(f"{url}/health")


def network_address() -> str:
    """One under which others reach this machine."""
    found = local_addresses([4])
    if not found:
        lacking("This machine has no address but loopback.")
    return found[0]
