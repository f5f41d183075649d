"""The call page in a stock Firefox: what it says when something is missing or lost, and its own devices in a call.

The microphones are those of a sound card of the tests (tests/e2e/sound.py): Firefox lists, opens and loses them itself,
and what it plays is listened to behind the browser. Signaling is the stand-in's, which fails on demand; with a real
Morgan: test_browsers.py.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.firefox import FAKE_MICROPHONE, FirefoxPage, firefox
from tests.e2e.page_server import PageServer, StandInCall, eventually
from tests.e2e.sound import SoundCard, sound_card
from tests.e2e.tabs import GRANTED, until
from tests.e2e.test_page_microphone import HOOKS

WAIT_S = 60.0
LISTENING = "['listening', 'user_speaking'].includes(app.dataset.state)"


SEEN_GRAPH = """() => {
  const make = AudioContext.prototype.createDelay;
  AudioContext.prototype.createDelay = function (...given) {
    window.graph = this;
    return make.apply(this, given);
  };
}"""


async def see(page: FirefoxPage, code: str) -> None:
    await until(page, f"notice.dataset.code === {json.dumps(code)} && !notice.hidden", WAIT_S)


async def place(page: FirefoxPage, server: PageServer, number: int = 1) -> StandInCall:
    await page.click("#call")
    call = await server.call(number, WAIT_S)
    await until(page, LISTENING, WAIT_S)
    return call


async def choose(page: FirefoxPage, setting: str, value: str) -> None:
    """Change a setting in its dialog; `value` is JavaScript, of the `field`."""
    await page.click("#open-settings")
    await until(page, "document.getElementById('settings').open", WAIT_S)
    await until(page, f"(field => {{ const value = {value}; if (value === undefined) return false;"
                      " if (field.type === 'checkbox') field.checked = value; else field.value = value;"
                      " return field.dispatchEvent(new Event('change')) })"
                      f"(document.getElementById({json.dumps(setting)}))", WAIT_S)  # fmt: skip
    await page.press("\ue00c")


async def heard(card: SoundCard, microphone: str, call: StandInCall, clip: Path) -> int:
    """The loudest sample that reaches the server while a clip is said into a microphone."""
    call.heard_peak = 0
    await card.speak(microphone, clip)
    await asyncio.sleep(0.5)
    return call.heard_peak


async def heard_at_last(card: SoundCard, microphone: str, call: StandInCall, clip: Path) -> None:
    """A device that was just opened, and a busy machine, give silence for a while."""
    async with asyncio.timeout(WAIT_S):
        while await heard(card, microphone, call, clip) < 1000:
            pass


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[tuple[SoundCard, PageServer, FirefoxPage]]:
    """A Firefox with two microphones, which it may use, on the stand-in's page."""
    async with sound_card(folder) as card, PageServer() as server:
        await card.plug_in("Desk")
        await card.plug_in("Headset")
        async with firefox(server.url, GRANTED, card) as page:
            yield card, server, page
            assert page.faults() == []


@pytest.mark.timeout(600)
async def test_microphones_are_changed_muted_held_switched_off_and_pulled_out(repository: Path, tmp_path: Path) -> None:
    clip = repository / "tests" / "clips" / "question.wav"
    async with desk(tmp_path) as (card, server, page):
        call = await place(page, server)
        await heard_at_last(card, "Desk", call, clip)
        assert await heard(card, "Headset", call, clip) < 300
        # Morgan is heard behind the browser.
        assert call.tone is not None
        call.tone.loud = True
        async with asyncio.timeout(WAIT_S):
            while np.abs(await card.listen(1.0)).max() < 1000:
                pass
        call.tone.loud = False
        # The system's default one changes, and then the caller chooses.
        await card.make_default("Headset")
        await see(page, "microphone_changed")
        await heard_at_last(card, "Headset", call, clip)
        await choose(page, "microphone", "[...field.options].find(each => each.text === 'Desk')?.value")
        await heard_at_last(card, "Desk", call, clip)
        await page.click("#mute")
        await until(page, "app.dataset.muted === 'true'")
        await asyncio.sleep(0.5)
        assert await heard(card, "Desk", call, clip) < 300
        await page.click("#mute")
        await choose(page, "push-to-talk", "true")
        assert await heard(card, "Desk", call, clip) < 300
        async with page.held(" "):
            await until(page, "document.getElementById('hold').ariaPressed === 'true'")
            await heard_at_last(card, "Desk", call, clip)
        await choose(page, "push-to-talk", "false")
        await card.switch("Desk", on=False)
        await see(page, "microphone_silent")
        await card.switch("Desk", on=True)
        await card.speak("Desk", clip)
        await until(page, "notice.dataset.code !== 'microphone_silent'", WAIT_S)
        await card.unplug("Desk")
        await see(page, "microphone_changed")
        await heard_at_last(card, "Headset", call, clip)
        await page.click("#hang-up")
        await asyncio.wait_for(call.hung_up.wait(), WAIT_S)


@pytest.mark.timeout(600)
async def test_what_is_said_before_the_call_stands_is_heard_once_it_does(repository: Path, tmp_path: Path) -> None:
    async with desk(tmp_path) as (card, server, page):
        await page.evaluate(f"({SEEN_GRAPH})()")
        server.placing.clear()
        await page.click("#call")
        # Firefox calls a graph running some time before the loudspeaker asks it for sound.
        await until(page, "(window.graph?.currentTime ?? 0) > 1", WAIT_S)
        await card.speak("Desk", repository / "tests" / "clips" / "question.wav")
        server.placing.set()
        call = await server.call(1, WAIT_S)
        await eventually(lambda: call.heard_peak > 3000, timeout=WAIT_S)


@pytest.mark.timeout(600)
async def test_each_trouble_is_told_and_passes() -> None:
    async with PageServer() as server, firefox(server.url) as page:
        await page.evaluate(f"({HOOKS})()")
        for name, code in (("NotFoundError", "not_found"), ("NotReadableError", "in_use")):
            await page.evaluate(f"void (window.refusing = {json.dumps(name)})")
            await page.click("#call")
            await see(page, f"microphone_{code}")
        await page.evaluate("void (window.refusing = null)")
        server.refusal = (503, "at_capacity", "All 8 calls are taken.", {"Retry-After": "20"})
        await page.click("#notice-action")
        await see(page, "full")
        server.refusal = (503, "no_capacity", "This server is shutting down", {"Retry-After": "10"})
        await page.click("#notice-action")
        await see(page, "restarting")
        server.refusal = None
        call = await place(page, server)
        assert await page.evaluate("document.title") == "Listening · Morgan"  # in the background it is all that is seen
        await page.evaluate("void opened.at(-1).track.dispatchEvent(new Event('mute'))")
        await see(page, "microphone_taken")
        await page.evaluate("void opened.at(-1).track.dispatchEvent(new Event('unmute'))")
        await until(page, "notice.hidden")
        await page.evaluate("contexts.at(-1).suspend()")
        await see(page, "audio_interrupted")
        await page.click("#notice-action")
        await until(page, "notice.hidden && contexts.at(-1).state === 'running'", WAIT_S)
        call.send({"type": "morgan.state", "state": "speaking"})
        await until(page, "!document.getElementById('stop').hidden")
        await page.click("#stop")
        await eventually(lambda: call.said, WAIT_S)
        assert call.said[-1]["type"] == "response.cancel"
        call.send({"type": "morgan.state", "state": "listening"})
        # The network goes; the call goes on over the next one.
        call.refuse_resume = 503
        await call.drop()
        await until(
            page,
            "app.dataset.state === 'reconnecting' && document.getElementById('hint').innerText.includes('s left')",
            WAIT_S,
        )
        call.refuse_resume = None
        await until(page, "app.dataset.state !== 'reconnecting'", WAIT_S)
        assert (call.resumes, len(server.calls)) == (1, 1)
        # A server that has forgotten the call.
        call.refuse_resume = 404
        await call.drop()
        again = await server.call(2, WAIT_S)
        await until(page, LISTENING, WAIT_S)
        assert again.request["conversation_id"] == f"conv_{call.id}"
        await page.click("#hang-up")
        await asyncio.wait_for(again.hung_up.wait(), WAIT_S)
        # Sound that waits for a tap.
        await page.evaluate(
            """(() => {
                const play = HTMLMediaElement.prototype.play;
                HTMLMediaElement.prototype.play = function () {
                    return window.tapped ? play.call(this) : Promise.reject(new DOMException('no', 'NotAllowedError'));
                };
                document.getElementById('voice').autoplay = false;
            })()"""
        )
        await place(page, server, 3)
        await see(page, "audio_blocked")
        await page.evaluate("void (window.tapped = true)")
        await page.click("#status")
        await until(page, "!document.getElementById('voice').paused && notice.hidden", WAIT_S)
        await page.click("#hang-up")
        await server.stop()
        await page.click("#call")
        await see(page, "unreachable")


@pytest.mark.timeout(300)
async def test_a_refused_microphone_is_done_without() -> None:
    refused = {"permissions.default.microphone": 2, "media.navigator.streams.fake": True}
    async with PageServer() as server, firefox(server.url, refused) as page:
        await page.click("#call")
        await see(page, "microphone_refused")
        await page.click("#notice-write")
        call = await server.call(1, WAIT_S)
        await until(page, "app.dataset.state === 'listening' && document.getElementById('mute').hidden", WAIT_S)
        await eventually(lambda: call.heard_frames > 50, WAIT_S)
        await page.click("#typed")
        await page.press("Hello\ue007")
        await eventually(lambda: call.said, WAIT_S)
        assert call.said[0]["item"]["content"][0]["text"] == "Hello"


@pytest.mark.timeout(300)
async def test_an_address_that_may_use_no_microphone_is_explained() -> None:
    preferences = {**FAKE_MICROPHONE, "network.dns.forceResolve": "127.0.0.1"}
    async with PageServer() as server, firefox(server.url.replace("localhost", "morgan.test"), preferences) as page:
        await see(page, "insecure_context")
