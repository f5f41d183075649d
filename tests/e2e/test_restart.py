"""A real server is restarted under four calls: none is cut off in a word, and all of them go on in the next process."""

import asyncio
import json
import os
import signal
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.async_api import expect

from server.client.caller import Caller
from tests.e2e.chromium import chromium, reach, visit
from tests.media.calls import until
from tests.server.scripted import ask, events, place
from tests.serving import free_port, serving_at

DRAIN_S = 12.0


def gone(pid: int) -> bool:
    """Whether a child has ended, to be waited for by whoever started it."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True


async def resumed(url: str, opened: dict[str, Any], caller: Caller) -> str:
    """Bring a call onto a connection to the server that is there now; which call that is."""
    offer = {"sdp": await caller.offer(), "type": "offer", "resume_token": opened["resume_token"]}
    async with aiohttp.ClientSession(url) as http, http.patch(f"/api/calls/{opened['call_id']}", json=offer) as answer:
        assert answer.status == 200, await answer.text()
        told = await answer.json()
    await caller.accept(told["sdp"], timeout=60)
    return str(told["call_id"])


@pytest.mark.timeout(600)
async def test_four_calls_survive_a_restart(models_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    settings = {"MORGAN_DRAIN_S": str(DRAIN_S), "MORGAN_LOST_GRACE_S": "60", "MORGAN_CONNECT_TIMEOUT_S": "60"}
    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(Caller()) for _ in range(3)]
        browser = await stack.enter_async_context(chromium())
        first = ExitStack()
        running = await asyncio.to_thread(first.enter_context, serving_at(port, models_dir, tmp_path, **settings))
        page = await stack.enter_async_context(visit(browser, f"http://localhost:{port}"))
        async with aiohttp.ClientSession(running.url) as http:
            opened = [await place(http, caller, user_id=f"user{n}") for n, caller in enumerate(callers)]
        await page.click("#call")
        await reach(page, "listening", "user_speaking", timeout=60)
        for caller in callers:
            ask(caller, "Tell me a long story about the sea.")
        await until(lambda: all(events(caller, "output_audio_buffer.started") for caller in callers), timeout=120)
        os.kill(running.pid, signal.SIGTERM)
        await until(lambda: gone(running.pid), timeout=120)
        await asyncio.to_thread(first.close)  # it has ended with 0
        for caller in callers:
            told = [json.loads(text) for _, text in list(caller.messages)]
            assert told[-1]["type"] == "morgan.call.ended"
            assert told[-1]["reason"] == "shutdown"
            assert "morgan.shutdown" in [event["type"] for event in told]
            (done,) = [event["response"] for event in told if event["type"] == "response.done"]
            # To its end, or to that of a clause, or at the very last to that of a word: what is kept is what was heard.
            assert done["status"] in ("completed", "cancelled")
            assert done["output"][0]["content"][0]["transcript"].strip()
        await reach(page, "reconnecting", timeout=60)
        second = await asyncio.to_thread(
            stack.enter_context, serving_at(port, models_dir, tmp_path, **settings | {"MORGAN_DRAIN_S": "0"})
        )
        await reach(page, "listening", "user_speaking", "thinking", "speaking", timeout=120)
        again = [await stack.enter_async_context(Caller()) for _ in callers]
        for each, caller in zip(opened, again, strict=True):
            assert await resumed(second.url, each, caller) == each["call_id"]
        async with aiohttp.ClientSession(second.url) as http, http.get("/api/calls") as answer:
            assert len((await answer.json())["calls"]) == 4
        # The conversation goes on, on the page and elsewhere.
        await again[0].channel_open(60)
        ask(again[0], "And then?")
        await again[0].wait_for_sound(time.monotonic(), timeout=120)
        before = await page.locator('[data-role="assistant"]').count()
        await page.fill("#typed", "Are you back?")
        await page.press("#typed", "Enter")
        await expect(page.locator('[data-role="assistant"]')).not_to_have_count(before, timeout=120_000)
        await page.click("#hang-up")
