"""morgan.js for other people's pages: the example and the element call from a foreign origin, and only with a token."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, expect

from tests.e2e import pictures
from tests.e2e.axe import axe_source, violations
from tests.e2e.chromium import chromium, visit
from tests.e2e.page_server import STATIC, PageServer
from tests.serving import RunningServer, free_port, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

KEY = "a-key-of-more-than-24-characters"
WAIT_MS = 60_000

ELEMENT = """<!doctype html><html lang="en"><title>Shop</title><meta name="color-scheme" content="SCHEME">
<meta name="viewport" content="width=device-width"><main><h1>Shop</h1>
<script type="module" src="MORGAN/static/morgan-call.js"></script>
<morgan-call captions token="TOKEN" label="Ask us"></morgan-call></main></html>"""

STRICT = "default-src 'none'; script-src MORGAN; connect-src MORGAN; media-src blob: mediastream:"


@pytest.fixture(scope="module")
def shop() -> str:
    """The origin of the foreign pages."""
    return f"http://localhost:{free_port()}"


@pytest.fixture(scope="module")
def morgan(models_dir: Path, tmp_path_factory: pytest.TempPathFactory, shop: str) -> Iterator[RunningServer]:
    settings = {"MORGAN_API_KEYS": KEY, "MORGAN_ALLOWED_ORIGINS": shop, "MORGAN_GREETING": "Hello from the shop."}
    with serving(models_dir, tmp_path_factory.mktemp("widget"), **settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pages(morgan: RunningServer, shop: str, repository: Path) -> AsyncIterator[str]:
    """Serves the example and a page with the element; their origin."""
    example = (repository / "docs" / "example" / "index.html").read_text()

    async def show(request: web.Request) -> web.Response:
        if request.path == "/example":
            text, headers = example.replace("http://localhost:8000", morgan.url), {}
        else:
            text = ELEMENT.replace("MORGAN", morgan.url).replace("TOKEN", request.query.get("token", ""))
            text = text.replace("SCHEME", request.query.get("scheme", "light"))
            headers = {"Content-Security-Policy": STRICT.replace("MORGAN", morgan.url)}
        return web.Response(text=text, content_type="text/html", headers=headers)

    app = web.Application()
    app.router.add_get("/example", show)
    app.router.add_get("/element", show)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "localhost", int(shop.rpartition(":")[2])).start()
    yield shop
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


async def test_the_example_page_calls_from_a_foreign_origin(browser: Browser, pages: str) -> None:
    async with visit(browser, f"{pages}/example?token={KEY}") as page:
        await page.click("button")
        await expect(page.locator("#words")).to_contain_text("assistant: Hello from the shop.", timeout=WAIT_MS)
        await page.click("button")
        await expect(page.locator("#state")).to_have_text("ended: hang_up")


async def test_the_example_page_is_refused_without_a_token(browser: Browser, pages: str) -> None:
    async with visit(browser, f"{pages}/example") as page:
        await page.click("button")
        await expect(page.locator("#state")).to_contain_text(re.compile("^ended: .*key"), timeout=WAIT_MS)


async def join_token(morgan: RunningServer) -> str:
    """A token for one guest."""
    bearer = {"Authorization": f"Bearer {KEY}"}
    async with (
        aiohttp.ClientSession(morgan.url, headers=bearer) as http,
        http.post("/api/tokens", json={"user_id": "guest"}) as answer,
    ):
        return str((await answer.json())["token"])


async def test_the_element_calls_with_a_join_token_under_a_strict_policy(
    browser: Browser, pages: str, morgan: RunningServer
) -> None:
    async with visit(browser, f"{pages}/element?token={await join_token(morgan)}") as page:
        button = page.get_by_role("button")
        await expect(button).to_have_text("Ask us")
        await button.click()
        await expect(page.get_by_text("Morgan: Hello from the shop.")).to_be_visible(timeout=WAIT_MS)
        await expect(button).to_have_text("Hang up")
        await button.click()
        await expect(button).to_have_text("Ask us")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_the_element_and_a_press_brings_blocked_sound_back(
    browser: Browser, pages: str, morgan: RunningServer, scheme: str, tmp_path: Path
) -> None:
    axe = axe_source()
    seen = pictures.folder(f"element, {scheme}", tmp_path)
    found: dict[str, list[str]] = {}
    url = f"{pages}/element?token={await join_token(morgan)}&scheme={scheme}"
    async with visit(browser, url, width=360) as page:
        button, status = page.get_by_role("button"), page.get_by_role("status")

        async def look(state: str) -> None:
            found[state] = await violations(page, axe)
            if await page.evaluate("() => document.documentElement.scrollWidth") > 360:
                found[state].append("wider than the screen")
            await page.screenshot(path=seen / f"{state}.png")

        await look("idle")
        await button.click()
        await expect(page.get_by_text("Morgan: Hello from the shop.")).to_be_visible(timeout=WAIT_MS)
        await look("call")
        element = "document.querySelector('morgan-call')"
        trouble = "new CustomEvent('NAME', { detail: { code: 'audio_blocked' } })"
        await page.evaluate(f"() => {element}.call.dispatchEvent({trouble.replace('NAME', 'trouble')})")
        await page.evaluate(f"() => {element}.call.dispatchEvent(new CustomEvent('state', {{ detail: {{}} }}))")
        await expect(status).to_have_text("The browser waits for a press.")
        await look("blocked")
        await button.click()
        assert await page.evaluate(f"() => {element}.call !== null"), "the press was for the sound"
        await page.evaluate(f"() => {element}.call.dispatchEvent({trouble.replace('NAME', 'troubleover')})")
        await expect(button).to_have_text("Hang up")
        await button.click()
        await expect(button).to_have_text("Ask us")
        await look("over")
    assert {state: problems for state, problems in found.items() if problems} == {}


async def test_the_element_is_refused_without_a_token(browser: Browser, pages: str) -> None:
    async with visit(browser, f"{pages}/element") as page:
        await page.get_by_role("button").click()
        await expect(page.get_by_role("status")).to_contain_text("key", timeout=WAIT_MS)


async def test_a_join_link_opens_the_page_for_its_guest_once(browser: Browser, morgan: RunningServer) -> None:
    link = f"{morgan.url}/?token={await join_token(morgan)}"
    async with visit(browser, link) as page:
        await page.click("#call")
        await expect(page.locator("#transcript")).to_contain_text("Hello from the shop.", timeout=WAIT_MS)
        assert page.url == f"{morgan.url}/"
        await page.click("#hang-up")
        await page.click("#open-history")
        await expect(page.locator("#conversations .card").first).to_be_visible(timeout=WAIT_MS)
    async with visit(browser, link) as page:
        await expect(page.locator("#notice-text")).to_contain_text("Ask for a new one", timeout=WAIT_MS)


async def test_the_types_name_what_the_module_exports(browser: Browser) -> None:
    types = (STATIC / "morgan.d.ts").read_text()
    told = set(re.findall(r"^export (?:class|function|const) (\w+)", types, re.MULTILINE))
    async with PageServer() as server, visit(browser, server.url) as page:
        assert set(await page.evaluate("async () => Object.keys(await import('/static/morgan.js'))")) == told
        members = "async () => Object.getOwnPropertyNames((await import('/static/morgan.js')).Call.prototype)"
        of_call = set(await page.evaluate(members)) - {"constructor", "start"}
    body = re.search(r"^export class Call .*?^}", types, re.MULTILINE | re.DOTALL)
    assert body is not None
    assert of_call <= set(re.findall(r"^  (?:readonly )?(\w+)[(:]", body[0], re.MULTILINE))
