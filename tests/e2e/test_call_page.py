"""The call page in a real browser against the real server: somebody calls, asks, and is answered."""

import re
from pathlib import Path

from playwright.async_api import expect

from tests.e2e.chromium import chromium, reach, visit


async def test_a_spoken_question_is_written_down_and_answered_aloud(server_url: str, shared_audio: Path) -> None:
    async with chromium(microphone=shared_audio / "weather.wav") as browser, visit(browser, server_url) as page:
        await page.click("#call")
        question = page.locator(".line[data-role=user][data-status=final] .line-text").first
        await expect(question).to_contain_text(re.compile("weather.*paris", re.IGNORECASE), timeout=60_000)
        await reach(page, "speaking", timeout=30)
        assert await page.evaluate("() => !document.getElementById('voice').paused")
        await expect(page.locator(".line[data-role=assistant] .line-text").first).to_have_text(
            re.compile(r"\w+"), timeout=60_000
        )
        await page.wait_for_function("() => Number(document.getElementById('voice-level').ariaValueNow) > 10")
        await expect(page.locator("[data-role=latency]").first).to_contain_text(re.compile(r"\d+ ms"), timeout=60_000)


async def test_hanging_up_ends_the_call_on_the_server(server_url: str) -> None:
    async with chromium() as browser, visit(browser, server_url) as page:
        async with page.expect_response(lambda answer: answer.request.method == "POST") as placed:
            await page.click("#call")
        call_id = (await (await placed.value).json())["call_id"]
        await reach(page, "listening", "user_speaking")
        async with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
            await page.click("#hang-up")
        assert (await ended.value).status == 204
        await reach(page, "ended")
        state = await page.evaluate(
            "async id => { const r = await fetch('api/calls/' + id); return [r.status, await r.text()] }", call_id
        )
        assert state[0] == 404 or "ended" in state[1]


async def test_a_call_goes_on_over_a_new_connection_when_the_network_comes_back(server_url: str) -> None:
    async with chromium() as browser, visit(browser, server_url) as page:
        await page.click("#call")
        await reach(page, "listening", "user_speaking")
        async with page.expect_response(
            lambda answer: answer.request.method == "PATCH" and "resume_token" in (answer.request.post_data or "")
        ) as resumed:
            await page.context.set_offline(True)
            await page.context.set_offline(False)
        assert (await resumed.value).status == 200
        await reach(page, "listening", "user_speaking", "thinking", "speaking")
