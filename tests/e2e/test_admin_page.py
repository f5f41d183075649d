"""The operator's page on a real server with keys: locked to others, and showing calls, lanes, stores and faults."""

import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from server.cli.call import RATE, read_audio
from server.client.caller import Caller
from tests.e2e import pictures
from tests.e2e.axe import axe_source, violations
from tests.e2e.chromium import chromium, visit
from tests.e2e.test_call_page_talk import tab_to
from tests.serving import RunningServer, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "the-key-of-an-operator-long-enough"
USER = "alice"
NOWHERE = {
    "MORGAN_WEBHOOK_URLS": "http://127.0.0.1:1/nobody",
    "MORGAN_WEBHOOK_SECRET": f"whsec_{base64.b64encode(bytes(24)).decode()}",
}
"""A receiver of webhooks that is not there: a fault with each call."""
BEARER = {"Authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def keyed(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(models_dir, tmp_path_factory.mktemp("admin"), MORGAN_API_KEYS=KEY, **NOWHERE) as running:
        yield running


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(loop_scope="module")
async def caller(keyed: RunningServer) -> AsyncIterator[Caller]:
    """`USER`, in a call, who says nothing unless a test lets them."""
    async with Caller() as caller, aiohttp.ClientSession(keyed.url, headers=BEARER) as http:
        body = {"sdp": await caller.offer(), "type": "offer", "user_id": USER}
        async with http.post("/api/calls", json=body) as response:
            assert response.status == 201
            opened = await response.json()
        await caller.accept(opened["sdp"], timeout=60)
        yield caller
        async with http.delete(f"/api/calls/{opened['call_id']}"):
            pass


async def unlock(page: Page) -> None:
    await page.fill("#key", KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("#admin")).to_have_attribute("data-state", "open", timeout=60_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.timeout(300)
async def test_axe_finds_nothing_and_nothing_is_cut_off(
    browser: Browser, keyed: RunningServer, caller: Caller, axe: str, width: int, scheme: str, tmp_path: Path
) -> None:
    found: dict[str, list[str]] = {}
    seen = pictures.folder(f"admin, {width}, {scheme}", tmp_path)
    async with visit(browser, f"{keyed.url}/admin", width=width) as page:
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")

        async def look(state: str) -> None:
            found[state] = await violations(page, axe)
            if await page.evaluate("() => document.documentElement.scrollWidth") > width:
                found[state].append("wider than the screen")
            await page.screenshot(path=seen / f"{state}.png", full_page=True)

        await expect(page.locator("#gate")).to_be_visible()
        await look("locked")
        await page.fill("#key", "not-a-key-of-this-server-at-all")
        await page.keyboard.press("Enter")
        await expect(page.locator("#gate-words")).to_have_text("This key is not known.")
        await look("wrong key")
        await unlock(page)
        await expect(page.locator("#calls tbody th")).to_have_text(USER)
        await look("open")
    assert {state: problems for state, problems in found.items() if problems} == {}


@pytest.mark.timeout(300)
async def test_a_call_is_seen_and_hung_up_by_keyboard(browser: Browser, keyed: RunningServer, caller: Caller) -> None:
    async with visit(browser, f"{keyed.url}/admin") as page:
        await unlock(page)
        row = page.locator("#calls tbody tr", has_text=USER)
        await expect(row).to_contain_text("WebRTC")
        await expect(page.locator(".tile", has_text="Calls")).to_contain_text("1 of 16")
        for role in ("stt", "llm", "tts", "postgres", "redis", "qdrant"):
            await expect(page.locator(f"#parts tr[data-key={role}] td").first).to_have_text("ok")
        await expect(page.locator("#lanes tr[data-key=stt]")).to_be_visible()
        await expect(page.locator("#load-plot .area")).to_have_count(1)
        page.on("dialog", lambda dialog: dialog.accept())
        await tab_to(page, "#calls button")
        await page.keyboard.press("Enter")
        await expect(row).to_have_count(0)
        await expect(page.locator("#calls")).to_contain_text("No calls now.")


@pytest.mark.timeout(300)
async def test_answers_and_faults_are_shown_as_they_come(
    browser: Browser, keyed: RunningServer, caller: Caller, repository: Path
) -> None:
    async with visit(browser, f"{keyed.url}/admin") as page:
        await unlock(page)
        fault = page.locator("#faults .fault[data-level=warning]").first
        await expect(fault).to_contain_text("webhook not taken")
        await expect(fault).to_contain_text(NOWHERE["MORGAN_WEBHOOK_URLS"])
        await expect(page.locator("#no-faults")).to_be_hidden()
        before = await page.locator("#latency-plot .dot").count()
        await caller.say(read_audio(repository / "tests" / "clips" / "question.wav"), RATE)
        await expect(page.locator("#latency-plot .dot")).to_have_count(before + 1)
        await expect(page.locator("#latency-words")).to_contain_text(f"{before + 1} in the last half hour")
        stages = await page.locator("#stages .strip-part").evaluate_all(
            "parts => parts.map(each => each.dataset.stage)"
        )
        assert "tts_first_audio" in stages
        await expect(page.locator("#calls tr", has_text=USER).locator("td").nth(3)).to_have_text("1")


async def test_the_state_is_for_the_scope_admin_and_tells_only_what_is_new(
    keyed: RunningServer, caller: Caller
) -> None:
    async with aiohttp.ClientSession(keyed.url) as http:
        async with http.get("/api/admin/state") as refused:
            assert refused.status == 401
        body = {"scopes": ["calls", "read"], "user_id": USER}
        async with http.post("/api/tokens", json=body, headers=BEARER) as minted:
            token = (await minted.json())["token"]
        async with http.get("/api/admin/state", headers={"Authorization": f"Bearer {token}"}) as beyond:
            assert beyond.status == 403
        async with http.get("/api/admin/state", headers=BEARER) as whole:
            state = await whole.json()
        assert [call["user_id"] for call in state["calls"]] == [USER]
        assert state["loads"]
        assert {"stt", "llm", "tts"} <= {lane["lane"] for lane in state["lanes"]}
        async with http.get(f"/api/admin/state?after_s={state['now_s'] + 100}", headers=BEARER) as newer:
            later = await newer.json()
        assert (later["loads"], later["turns"]) == ([], [])
