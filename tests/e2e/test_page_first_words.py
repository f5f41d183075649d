"""Callers who speak at once, who have no microphone, and who want Morgan to be quiet."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e import page_fixtures
from tests.e2e.chromium import chromium, reach, visit
from tests.e2e.page_server import PageServer, eventually
from tests.e2e.test_browsers import WATCH
from tests.e2e.test_call_page_talk import place

browser, page, server = page_fixtures.browser, page_fixtures.page, page_fixtures.server

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPENED = """(() => {
  const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => (window.opened = await open(wanted));
})()"""


async def test_what_is_said_before_the_call_stands_is_heard_once_it_does(server: PageServer, repository: Path) -> None:
    server.placing.clear()
    async with (
        chromium(microphone=repository / "tests" / "clips" / "question.wav") as eager,
        visit(eager, server.url) as page,
    ):
        await page.evaluate(WATCH)
        await page.evaluate(OPENED)
        await page.click("#call")
        await expect(page.locator("#hint")).to_contain_text("not lost")
        await asyncio.sleep(3.0)  # the question has been asked, and is asked only once
        await reach(page, "connecting")
        server.placing.set()
        call = await server.call()
        await eventually(lambda: call.heard_peak > 3000, timeout=60)
        # And then nothing is late any more.
        await page.wait_for_function("() => opened.getAudioTracks()[0] === pc.getSenders()[0].track")


async def test_a_press_or_the_escape_key_makes_morgan_stop(page: Page, server: PageServer) -> None:
    call = await place(page, server)
    await expect(page.locator("#stop")).to_be_hidden()
    call.send({"type": "morgan.state", "state": "speaking"})
    await page.click("#stop")
    await eventually(lambda: call.said)
    assert [event["type"] for event in call.said] == ["response.cancel"]
    await page.keyboard.press("Escape")
    await eventually(lambda: len(call.said) == 2)
    await page.locator("#stop").focus()
    call.send({"type": "morgan.state", "state": "listening"})
    await expect(page.locator("#stop")).to_be_hidden()
    await expect(page.locator("#hang-up")).to_be_focused()
    await page.keyboard.press("Escape")
    assert len(call.said) == 2


async def test_without_a_microphone_morgan_is_written_to(server: PageServer) -> None:
    async with chromium(allow=False) as strict, visit(strict, server.url) as page:
        await page.click("#call")
        await expect(page.locator("#notice")).to_have_attribute("data-code", "microphone_refused")
        await page.click("#notice-write")
        call = await server.call()
        await reach(page, "listening")
        await expect(page.locator("#status")).to_have_text("Ready")
        await expect(page.locator("#mute")).to_be_hidden()
        # To send nothing at all is to be gone, for the server.
        await eventually(lambda: call.heard_frames > 50, timeout=60)
        await page.fill("#typed", "Good evening.")
        await page.keyboard.press("Enter")
        await eventually(lambda: call.said)
        assert call.said[0]["item"]["content"][0]["text"] == "Good evening."
