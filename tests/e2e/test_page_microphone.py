"""What can befall a microphone and the sound in a call, what the page says of it, and how it goes on by itself.

The browser's own devices are Chromium's fake ones. What the system does to them (a phone call takes one, somebody pulls
a plug) no command does here: then the events are sent that browsers send, and everything behind them is real.
"""

import asyncio
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e import page_fixtures
from tests.e2e.chromium import chromium, reach, visit
from tests.e2e.page_server import PageServer, eventually
from tests.e2e.test_call_page_talk import place

browser, server = page_fixtures.browser, page_fixtures.server

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOOKS = """() => {
  const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
  window.opened = [];
  window.refusing = null;
  devices.getUserMedia = async (wanted) => {
    if (window.refusing) throw new DOMException('no', window.refusing);
    const stream = await open(wanted);
    opened.push({ stream, wanted, track: stream.getAudioTracks()[0] });
    return stream;
  };
  window.contexts = [];
  const Plain = AudioContext;
  window.AudioContext = class extends Plain { constructor(...given) { super(...given); contexts.push(this); } };
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Browser, server: PageServer) -> AsyncIterator[Page]:
    async with visit(browser, server.url) as page:
        await page.evaluate(HOOKS)
        yield page


def shown(page: Page, code: str) -> str:
    return f"#notice[data-code={code}]"


async def test_a_microphone_that_is_taken_away_is_told_of_until_it_is_given_back(
    page: Page, server: PageServer
) -> None:
    await place(page, server)
    await page.evaluate("() => opened.at(-1).track.dispatchEvent(new Event('mute'))")
    await expect(page.locator(shown(page, "microphone_taken"))).to_contain_text("as soon as it is given back")
    await page.evaluate("() => opened.at(-1).track.dispatchEvent(new Event('unmute'))")
    await expect(page.locator("#notice")).to_be_hidden()
    await reach(page, "listening")


async def test_a_microphone_that_nobody_gives_back_is_taken_back_by_a_press(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await page.evaluate(
        """() => {
            opened.at(-1).track.dispatchEvent(new Event('mute'));
            const open = navigator.mediaDevices.getUserMedia;
            navigator.mediaDevices.getUserMedia = async (wanted) => {
                const stream = await open(wanted);
                if (!window.over) Object.defineProperty(stream.getAudioTracks()[0], 'muted', { value: true });
                return stream;
            };
        }"""
    )
    await page.get_by_role("button", name="Take it back").click()
    await page.wait_for_function("() => opened.length === 2")
    await expect(page.locator(shown(page, "microphone_taken"))).to_be_visible()  # the phone call goes on
    await page.evaluate("() => { window.over = true }")
    call.heard_peak = 0
    await page.get_by_role("button", name="Take it back").click()
    await expect(page.locator("#notice")).to_be_hidden()
    await eventually(lambda: call.heard_peak > 1000)


async def test_a_microphone_that_was_pulled_out_is_taken_up_again_when_it_is_back(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    await page.evaluate(
        """() => {
            window.refusing = 'NotFoundError';
            opened.at(-1).track.stop();
            opened.at(-1).track.dispatchEvent(new Event('ended'));
        }"""
    )
    await expect(page.locator(shown(page, "microphone_gone"))).to_contain_text("the call goes on")
    await page.click("#notice-action")
    await expect(page.locator("#microphone")).to_be_focused()
    await page.keyboard.press("Escape")
    call.heard_peak = 0
    await page.evaluate(
        "() => { window.refusing = null; navigator.mediaDevices.dispatchEvent(new Event('devicechange')) }"
    )
    await expect(page.locator(shown(page, "microphone_changed"))).to_be_visible()
    await eventually(lambda: call.heard_peak > 1000, timeout=30)


async def test_another_default_microphone_is_followed(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await page.evaluate(
        """() => {
            const all = navigator.mediaDevices.enumerateDevices.bind(navigator.mediaDevices);
            navigator.mediaDevices.enumerateDevices = async () => (await all()).map(
                (d) => d.deviceId === 'default' ? { ...d.toJSON(), groupId: 'headset', label: 'Headset' } : d);
            navigator.mediaDevices.dispatchEvent(new Event('devicechange'));
        }"""
    )
    await page.wait_for_function("() => opened.length === 2")
    await expect(page.locator(shown(page, "microphone_changed"))).to_be_visible()
    assert await page.evaluate("() => opened[0].track.readyState") == "ended"
    await eventually(lambda: call.heard_peak > 1000, timeout=30)


async def test_the_microphone_is_changed_during_the_call(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await page.click("#open-settings")
    offered = page.locator("#microphone option")
    await expect(offered).not_to_have_count(1)
    wanted = await offered.last.get_attribute("value")
    await page.select_option("#microphone", value=wanted)
    await page.wait_for_function("() => opened.length === 2")
    assert await page.evaluate("() => opened[1].track.getSettings().deviceId") == wanted
    assert await page.evaluate("() => opened[0].track.readyState") == "ended"
    call.heard_peak = 0
    await eventually(lambda: call.heard_peak > 1000, timeout=30)
    await page.keyboard.press("Escape")
    await page.click("#hang-up")
    await page.click("#call")
    await server.call(2)
    assert await page.evaluate("() => opened[2].track.getSettings().deviceId") == wanted


async def test_the_level_of_the_microphone_is_tested_before_a_call(page: Page) -> None:
    await page.click("#open-settings")
    await page.click("#test-microphone")
    await expect(page.locator("#test-words")).to_have_text("The microphone works.")
    await page.wait_for_function("() => Number(document.getElementById('test-level').ariaValueNow) > 20")
    await page.keyboard.press("Escape")
    await page.wait_for_function("() => opened.at(-1).track.readyState === 'ended'")


async def test_push_to_talk_is_heard_only_while_the_space_bar_is_held(page: Page, server: PageServer) -> None:
    await page.click("#open-settings")
    await page.check("#push-to-talk")
    await page.keyboard.press("Escape")
    call = await place(page, server)
    await expect(page.locator("#hint")).to_contain_text("Hold the space bar")
    await asyncio.sleep(0.5)
    call.heard_peak = 0
    await asyncio.sleep(2.5)
    assert call.heard_peak < 100
    await page.keyboard.down("Space")
    await expect(page.locator("#hold")).to_have_attribute("aria-pressed", "true")
    await eventually(lambda: call.heard_peak > 1000, timeout=30)
    await page.keyboard.up("Space")
    await reach(page, "listening")
    await expect(page.locator("#hold")).to_have_attribute("aria-pressed", "false")
    await page.fill("#typed", "a")
    await page.keyboard.press("Space")
    await expect(page.locator("#typed")).to_have_value("a ")
    await expect(page.locator("#hold")).to_have_attribute("aria-pressed", "false")


@pytest.mark.timeout(240)
async def test_a_microphone_that_gives_nothing_is_told_of_after_15_seconds(server: PageServer, tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    with wave.open(str(silence), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(bytes(96_000))
    async with chromium(microphone=silence) as dead, visit(dead, server.url) as page:
        await place(page, server)
        await asyncio.sleep(5)
        await expect(page.locator("#notice")).to_be_hidden()
        await expect(page.locator(shown(page, "microphone_silent"))).to_be_visible(timeout=100_000)
        await page.click("#notice-close")
        await expect(page.locator("#notice")).to_be_hidden()


async def test_interrupted_sound_is_brought_back_by_a_press(page: Page, server: PageServer) -> None:
    await place(page, server)
    await page.evaluate("() => contexts.at(-1).suspend()")
    await expect(page.locator(shown(page, "audio_interrupted"))).to_be_visible()
    await page.click("#notice-action")
    await page.wait_for_function("() => contexts.at(-1).state === 'running'")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_sound_that_waits_for_a_tap_says_so_and_comes_with_it(page: Page, server: PageServer) -> None:
    await page.evaluate(
        """() => {
            const play = HTMLMediaElement.prototype.play;
            HTMLMediaElement.prototype.play = function () {
                return window.tapped ? play.call(this) : Promise.reject(new DOMException('no', 'NotAllowedError'));
            };
            document.getElementById('voice').autoplay = false;
        }"""
    )
    await place(page, server)
    await expect(page.locator(shown(page, "audio_blocked"))).to_contain_text("Press anywhere")
    await page.evaluate("() => { window.tapped = true }")
    await page.click("#status")
    await page.wait_for_function("() => !document.getElementById('voice').paused")
    await expect(page.locator("#notice")).to_be_hidden()


async def test_out_of_sight_the_title_of_the_tab_says_what_morgan_does_and_what_is_wrong(
    page: Page, server: PageServer
) -> None:
    call = await place(page, server)
    await expect(page).to_have_title("Listening · Morgan")
    call.send({"type": "morgan.state", "state": "speaking"})
    await expect(page).to_have_title("Speaking · Morgan")
    await page.evaluate("() => opened.at(-1).track.dispatchEvent(new Event('mute'))")
    await expect(page).to_have_title("The microphone was taken away · Morgan")
    await page.evaluate("() => opened.at(-1).track.dispatchEvent(new Event('unmute'))")
    await expect(page).to_have_title("Speaking · Morgan")
    await page.click("#hang-up")
    await expect(page).to_have_title("Morgan")


async def test_a_server_that_restarts_is_not_called_full(page: Page, server: PageServer) -> None:
    server.refusal = (503, "no_capacity", "This server is shutting down", {"Retry-After": "10"})
    await page.click("#call")
    await expect(page.locator(shown(page, "restarting"))).to_contain_text("less than a minute")


async def test_the_headsets_buttons_mute_and_hang_up(page: Page, server: PageServer) -> None:
    await page.evaluate(
        """() => {
            window.handlers = {};
            navigator.mediaSession.setActionHandler = (action, handler) => { handlers[action] = handler };
        }"""
    )
    await place(page, server)
    assert await page.evaluate("() => navigator.mediaSession.metadata.title") == "Call with Morgan"
    await page.evaluate("() => handlers.togglemicrophone()")
    await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
    await page.evaluate("() => handlers.hangup()")
    await reach(page, "ended")
    assert await page.evaluate("() => handlers.hangup") is None


async def test_a_join_link_signs_in_once_and_leaves_the_address(browser: Browser) -> None:
    async with PageServer(api_key="a-session-of-more-than-24-characters") as server:
        server.join_token = "mt_once"
        async with visit(browser, f"{server.url}?token=mt_once") as page:
            await page.wait_for_function("() => sessionStorage.length === 2")
            assert page.url == server.url
            call = await place(page, server)
            assert call.request["user_id"] == "alice"
        async with visit(browser, f"{server.url}?token=mt_once") as page:
            await expect(page.locator(shown(page, "join_link"))).to_contain_text("Ask for a new one")
