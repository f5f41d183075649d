"""A conversation through the page with a real server and real models: spoken, typed, found again, heard again, gone."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e.chromium import chromium, reach, visit
from tests.serving import RunningServer, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

WAIT_MS = 60_000


@pytest.fixture(scope="module")
def recorded(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A Morgan that records calls."""
    with serving(models_dir, tmp_path_factory.mktemp("recorded"), MORGAN_RECORD_CALLS="true") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(shared_audio: Path) -> AsyncIterator[Browser]:
    async with chromium(microphone=shared_audio / "weather.wav") as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(browser: Browser, recorded: RunningServer) -> AsyncIterator[Page]:
    """One visit: what a test says, the next ones find."""
    async with visit(browser, recorded.url) as page:
        page.set_default_timeout(WAIT_MS)
        yield page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talked(page: Page) -> str:
    """A spoken question and a written one, both answered; the id of their conversation."""
    async with page.expect_response(lambda answer: answer.request.method == "POST") as placed:
        await page.click("#call")
    conversation = str((await (await placed.value).json())["conversation_id"])
    spoken = page.locator(".line[data-role=user]:not([data-status=interim]) .heard").first
    await expect(spoken).to_contain_text(re.compile("paris", re.IGNORECASE), timeout=WAIT_MS)
    await reach(page, "speaking", timeout=60)
    await reach(page, "listening", timeout=60)
    await page.fill("#typed", "My parrot is called Sinbad.")
    await page.keyboard.press("Enter")
    written = page.locator(".line[data-role=user]").last
    await expect(written.locator(".heard")).to_have_text("My parrot is called Sinbad.", timeout=WAIT_MS)
    await reach(page, "speaking", timeout=60)
    await reach(page, "listening", timeout=60)
    return conversation


async def test_the_time_of_a_turn_is_shown_as_a_bar_of_its_stages(page: Page, talked: str) -> None:
    latency = page.locator("[data-role=latency]").first
    total = int(re.sub(r"\D", "", await latency.locator("summary").inner_text()))
    shares = await latency.locator(".strip-part").evaluate_all(
        "parts => parts.map(part => Number(part.style.flexGrow))"
    )
    assert len(shares) >= 5
    assert sum(shares) == pytest.approx(total, abs=len(shares))


async def test_the_connection_panel_tells_of_the_wire(page: Page, talked: str) -> None:
    await page.click("#open-connection")
    figures = page.locator("#figures > div")
    await expect(figures.filter(has_text="Codec")).to_contain_text("opus, 48 kHz", timeout=WAIT_MS)
    await expect(figures.filter(has_text="Round trip")).to_contain_text(re.compile(r"\d ms"), timeout=WAIT_MS)
    await expect(figures.filter(has_text="Jitter")).to_contain_text(re.compile(r"\d ms"), timeout=WAIT_MS)
    await expect(figures.filter(has_text="To").last).to_contain_text(re.compile(r"host udp .*:\d+"), timeout=WAIT_MS)
    await page.keyboard.press("Escape")


async def test_after_the_call_it_is_in_the_history_and_heard_again_in_step_with_its_words(
    page: Page, talked: str
) -> None:
    await page.click("#hang-up")
    await reach(page, "ended")
    await page.click("#open-history")
    await page.click(f"[data-conversation='{talked}']")
    lines = page.locator(".past .line")
    await expect(lines.first.locator(".heard")).to_contain_text(re.compile("paris", re.IGNORECASE), timeout=WAIT_MS)
    await page.click("[data-recording]")
    await page.wait_for_function("() => document.querySelector('.player')?.currentTime > 0.2")
    marked = page.locator(".past .line[aria-current]")
    await lines.nth(1).click()
    await expect(marked).to_have_attribute("data-role", "assistant", timeout=WAIT_MS)
    await lines.first.click()
    await expect(marked).to_have_attribute("data-role", "user", timeout=WAIT_MS)


async def test_a_conversation_is_taken_away_as_text(page: Page, talked: str, tmp_path: Path) -> None:
    async with page.expect_download() as begun:
        await page.click("[data-format=txt]")
    await (await begun.value).save_as(tmp_path / "taken.txt")
    assert "User: My parrot is called Sinbad." in (tmp_path / "taken.txt").read_text()
    async with page.expect_download() as begun:
        await page.click("[data-format=json]")
    await (await begun.value).save_as(tmp_path / "taken.json")
    assert json.loads((tmp_path / "taken.json").read_text())["id"] == talked


async def test_what_was_said_is_found_by_its_meaning(page: Page, talked: str) -> None:
    await page.click("#history-back")
    await page.fill("#search", "the name of my bird")
    await page.keyboard.press("Enter")
    best = page.locator("#conversations .card").first
    await expect(best).to_contain_text("Sinbad", timeout=WAIT_MS)
    await best.click()
    await expect(page.locator("#history-title")).to_contain_text(re.compile("paris", re.IGNORECASE))


async def test_an_earlier_conversation_goes_on_in_the_next_call(page: Page, talked: str) -> None:
    await page.click("#go-on")
    await expect(page.locator("#transcript")).to_contain_text("Sinbad")
    async with page.expect_request(lambda request: request.method == "POST") as placed:
        await page.click("#call")
    assert json.loads((await placed.value).post_data or "{}")["conversation_id"] == talked
    await reach(page, "listening", "user_speaking", timeout=60)
    await page.click("#hang-up")
    await page.reload()
    await page.click("#resume")
    await expect(page.locator("#transcript")).to_contain_text("Sinbad")


async def test_what_is_deleted_is_gone(page: Page, talked: str) -> None:
    await page.click("#open-history")
    await page.click(f"[data-conversation='{talked}']")
    await page.click("#delete")
    await page.get_by_role("button", name="Keep").click()
    await page.click("#delete")
    await page.click("#delete-for-good")
    await expect(page.locator("#history-back")).to_be_hidden()
    await expect(page.locator(f"[data-conversation='{talked}']")).to_have_count(0)
    gone = await page.evaluate("async id => (await fetch('api/conversations/' + id)).status", talked)
    assert gone == 404
    await page.keyboard.press("Escape")
    await expect(page.locator("#transcript")).not_to_contain_text("Sinbad")
    await expect(page.locator("#resume")).to_be_hidden()


async def test_language_voice_and_instructions_are_asked_for_with_the_call(page: Page, talked: str) -> None:
    await page.click("#open-settings")
    await page.select_option("#language", "de")
    voices = page.locator("#morgan-voice option")
    await expect(voices).not_to_have_count(1)
    voice = await voices.last.get_attribute("value")
    await page.select_option("#morgan-voice", voice)
    await page.fill("#instructions", "Answer in one sentence.")
    await page.keyboard.press("Escape")
    async with page.expect_response(lambda answer: answer.request.method == "POST") as placed:
        await page.click("#call")
    answer = await placed.value
    assert answer.status == 201
    asked = json.loads(answer.request.post_data or "{}")
    assert (asked["language"], asked["voice"], asked["instructions"]) == ("de", voice, "Answer in one sentence.")
    await reach(page, "listening", "user_speaking", "thinking", "speaking", timeout=60)
    await page.click("#hang-up")
