"""Who can use the call page: by keyboard, with a screen reader, on a narrow screen, on a slow line, without motion."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e import page_fixtures
from tests.e2e.axe import axe_source, violations
from tests.e2e.chromium import reach, visit
from tests.e2e.page_server import STATIC, PageServer, StandInCall
from tests.e2e.test_call_page_talk import added, place, playing, said, tab_to, transcribed, truncated

browser, server = page_fixtures.browser, page_fixtures.server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_BYTES = 150 * 1024

REFUSE = """() => {
  const devices = navigator.mediaDevices, open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'));
  window.allow = () => { devices.getUserMedia = open };
}"""

PANELS = {"js/settings_panel.js", "js/history_panel.js", "js/replay.js", "js/connection_panel.js"}
"""What is fetched when it is first opened."""


def weight(names: set[str]) -> int:
    """Bytes of the page and of these files of it, before they are compressed."""
    return sum((STATIC / name).stat().st_size for name in {"index.html", *names})


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_source(tmp_path_factory.mktemp("axe"))


def talk(call: StandInCall) -> None:
    """Lines of every kind."""
    call.send(added("u1", "user"), transcribed("u1", "How warm is it in Paris?"))
    call.send(added("a1", "assistant"), said("a1", "It is mild in Paris, about eighteen degrees."))
    call.send(playing("a1", "started"), truncated("a1", "It is mild"))
    stages = {"silence_wait": 120.0, "stt": 200.0, "llm_first_token": 80.0, "tts_first_audio": 60.0, "release": 10.0}
    call.send({"type": "morgan.latency", "item_id": "u1", "voice_to_voice_ms": 470, "stages": stages})
    failed = {"type": "transcription_error", "code": "unintelligible", "message": "No words could be made out"}
    kind = "conversation.item.input_audio_transcription.failed"
    call.send({"type": kind, "item_id": "u2", "content_index": 0, "error": failed, "transcript": "uh"})
    delta = {"type": "conversation.item.input_audio_transcription.delta", "item_id": "u3", "content_index": 0}
    call.send({**delta, "delta": "And in"}, {"type": "morgan.state", "state": "user_speaking"})


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.timeout(600)
async def test_axe_finds_nothing_in_any_state_and_nothing_is_cut_off(
    browser: Browser, server: PageServer, axe: str, width: int, scheme: str, tmp_path: Path
) -> None:
    found: dict[str, list[str]] = {}

    async with visit(browser, server.url, width=width, height=780) as page:
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")

        async def look(state: str) -> None:
            found[state] = await violations(page, axe)
            if await page.evaluate("() => document.documentElement.scrollWidth") > width:
                found[state].append("wider than the screen")
            await page.screenshot(path=tmp_path / f"{state}.png")

        await look("idle")
        for sheet in ("settings", "history"):
            await page.click(f"#open-{sheet}")
            await expect(page.locator(f"#{sheet}")).to_be_visible()
            await look(sheet)
            await page.keyboard.press("Escape")
        server.refusal = (503, "at_capacity", "All 8 calls are taken.", {"Retry-After": "20"})
        await page.click("#call")
        await expect(page.locator("#notice")).to_be_visible()
        await look("refused")
        server.refusal = (401, "unauthorized", "A key is needed.", {})
        await page.click("#notice-action")
        await expect(page.locator("#key")).to_be_visible()
        await look("key")
        server.refusal = None
        await page.evaluate(REFUSE)
        await page.click("#call")
        await expect(page.locator("#notice-write")).to_be_visible()
        await look("no microphone")
        await page.evaluate("() => allow()")
        server.placing.clear()
        await page.click("#call")
        await expect(page.locator("#hint")).to_contain_text("not lost")
        await look("connecting")
        server.placing.set()
        call = await server.call()
        await reach(page, "listening")
        await look("listening")
        talk(call)
        await reach(page, "user_speaking")
        await expect(page.locator(".line")).to_have_count(4)
        await page.locator("[data-role=latency] summary").click()
        await look("talk")
        call.send({"type": "morgan.state", "state": "speaking"})
        await expect(page.locator("#stop")).to_be_visible()
        await look("speaking")
        call.send({"type": "error", "error": {"type": "server_error", "message": "The voice is not available."}})
        await expect(page.locator("#notice")).to_be_visible()
        await look("problem")
        await page.click("#notice-close")
        call.send({"type": "morgan.state", "state": "listening"})
        await page.click("#mute")
        await look("muted")
        await page.click("#open-connection")
        await expect(page.locator("#figures")).to_contain_text("Round trip")
        await look("connection")
        await page.keyboard.press("Escape")
        call.refuse_resume = 503
        await call.drop()
        await reach(page, "reconnecting")
        await look("reconnecting")
        await page.click("#hang-up")
        await reach(page, "ended")
        await look("ended")
    assert {state: problems for state, problems in found.items() if problems} == {}


async def test_a_whole_call_by_keyboard_with_writing_settings_and_hanging_up(
    browser: Browser, server: PageServer
) -> None:
    async with visit(browser, server.url) as page:
        await tab_to(page, "#open-settings")
        await page.keyboard.press("Enter")
        await expect(page.locator("#settings")).to_be_visible()
        await tab_to(page, "#volume")
        await page.keyboard.press("Home")
        await page.keyboard.press("Escape")
        await expect(page.locator("#open-settings")).to_be_focused()
        await tab_to(page, "#call")
        await page.keyboard.press("Enter")
        await server.call()
        await reach(page, "listening")
        assert await page.evaluate("() => document.getElementById('voice').volume") == 0
        await tab_to(page, "#typed")
        await page.keyboard.type("Hello there")
        await page.keyboard.press("Enter")
        await expect(page.locator("#typed")).to_have_value("")
        await tab_to(page, "#hang-up")
        await page.keyboard.press("Space")
        await reach(page, "ended")


async def test_a_screen_reader_is_told_of_the_call_and_not_of_every_turn(browser: Browser, server: PageServer) -> None:
    async with visit(browser, server.url) as page:
        call = await place(page, server)
        told = page.locator("#said")
        await expect(told).to_have_text("Connected. Morgan is listening.")
        for state in ("user_speaking", "thinking", "speaking", "listening"):
            call.send({"type": "morgan.state", "state": state})
            await reach(page, state)
        await expect(told).to_have_text("Connected. Morgan is listening.")
        assert await page.locator("#log").get_attribute("aria-live") == "off"
        await page.click("#open-settings")
        await page.check("#announce")
        assert await page.locator("#log").get_attribute("aria-live") == "polite"
        await page.keyboard.press("Escape")
        await page.click("#hang-up")
        await expect(told).to_have_text("The call has ended.")


async def test_without_motion_nothing_moves(browser: Browser, server: PageServer) -> None:
    async with visit(browser, server.url) as page:
        await page.emulate_media(reduced_motion="reduce")
        await place(page, server)
        assert await page.evaluate("() => document.getAnimations().filter(a => a.playState === 'running').length") == 0


async def test_the_page_is_light_quiet_and_asks_nobody_else(browser: Browser, server: PageServer) -> None:
    asked: list[str] = []
    said_: list[str] = []
    context = await browser.new_context()
    page: Page = await context.new_page()
    page.on("console", lambda message: said_.append(message.text) if message.type in ("warning", "error") else None)
    page.on("request", lambda request: asked.append(request.url))

    def files() -> set[str]:
        return {url.partition("/static/")[2] for url in asked if "/static/" in url}

    await page.goto(server.url)
    await place(page, server)
    await page.click("#hang-up")
    await reach(page, "ended")
    for_a_call = files()
    for sheet in ("settings", "history"):
        await page.click(f"#open-{sheet}")
        await expect(page.locator(f"#{sheet}")).to_be_visible()
        await page.keyboard.press("Escape")
    await context.close()
    assert said_ == []
    assert {urlsplit(url).netloc for url in asked if not url.startswith("blob:")} == {urlsplit(server.url).netloc}
    assert "js/main.js" in for_a_call
    assert weight(for_a_call) <= MOST_BYTES
    assert for_a_call & PANELS == set()
    assert files() >= PANELS - {"js/connection_panel.js"}


async def test_a_panel_that_cannot_be_fetched_says_so_and_is_fetched_later(
    browser: Browser, server: PageServer
) -> None:
    async with visit(browser, server.url) as page:
        await page.route("**/settings_panel.js", lambda route: route.abort())
        await page.click("#open-settings")
        await expect(page.locator("#notice-title")).to_have_text("That could not be loaded")
        await page.unroute("**/settings_panel.js")
        await page.click("#open-settings")
        await expect(page.locator("#settings")).to_be_visible()


async def test_the_page_can_be_installed(browser: Browser, server: PageServer) -> None:
    async with visit(browser, server.url) as page:
        session = await page.context.new_cdp_session(page)
        told = await session.send("Page.getAppManifest")
        assert told["errors"] == []
        problems = (await session.send("Page.getInstallabilityErrors"))["installabilityErrors"]
        assert {problem["errorId"] for problem in problems} <= {"in-incognito"}  # as every page of the tests is
        parsed = told.get("manifest", {})
        assert parsed.get("startUrl", server.url) == server.url
