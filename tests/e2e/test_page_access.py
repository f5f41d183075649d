"""Who can use the call page: by keyboard, with a screen reader, on a narrow screen, on a slow line, without motion."""

import gzip
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.e2e import page_fixtures, pictures
from tests.e2e.axe import axe_source, violations
from tests.e2e.chromium import reach, visit
from tests.e2e.page_server import STATIC, PageServer
from tests.e2e.page_states import Walk
from tests.e2e.tabs import NAMES, opened
from tests.e2e.test_call_page_talk import place, tab_to

browser, server = page_fixtures.browser, page_fixtures.server

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOST_BYTES = 150 * 1024

FIRST_FLIGHT_BYTES = 10 * 1460
"""What a server sends before it waits for the first acknowledgement (https://www.rfc-editor.org/rfc/rfc6928)."""

PANELS = {"js/settings_panel.js", "js/history_panel.js", "js/replay.js", "js/connection_panel.js"}
"""What is fetched when it is first opened."""


def weight(names: set[str]) -> int:
    """Bytes of the page and of these files of it, before they are compressed."""
    return sum((STATIC / name).stat().st_size for name in {"index.html", *names})


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(600)
async def test_axe_finds_nothing_in_any_state_and_nothing_is_cut_off(
    name: str, server: PageServer, axe: str, width: int, scheme: str, tmp_path: Path
) -> None:
    found: dict[str, list[str]] = {}
    seen = pictures.folder(f"page, {name}, {width}, {scheme}", tmp_path)

    async with opened(name, server.url, size=(width, 780), dark=scheme == "dark") as tab:

        async def look(state: str) -> None:
            found[state] = await violations(tab, axe)
            if await tab.evaluate("document.documentElement.scrollWidth") > width:
                found[state].append("wider than the screen")
            (seen / f"{len(found):02} {state}.png").write_bytes(await tab.screenshot())

        await Walk(tab, server, look).all()
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


async def test_the_page_is_painted_before_any_script_has_come_from_what_fits_into_one_round_trip(
    browser: Browser, server: PageServer
) -> None:
    needed: list[str] = []
    async with visit(browser, "about:blank") as page:
        page.on("requestfinished", lambda request: needed.append(request.url))
        await page.route("**/*.js", lambda route: None)  # they never come
        await page.goto(server.url, wait_until="commit")
        await page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
        await expect(page.locator("#status")).to_have_text("Talk with Morgan")
    names = ["index.html", *(name for url in needed if (name := url.partition("/static/")[2]).endswith(".css"))]
    assert len(names) > 1
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in names) <= FIRST_FLIGHT_BYTES


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
