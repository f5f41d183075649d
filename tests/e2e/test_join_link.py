"""A link in place of the server's key: whoever opens it calls as somebody, once, and never sees a key."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import expect

from server.app import Server
from server.engines.factory import build_engines
from server.settings import Settings
from tests.e2e.chromium import chromium, reach, visit
from tests.serving import free_port

KEY = "a-key-that-is-long-enough-to-be-one"


@asynccontextmanager
async def serving(models_dir: Path, folder: Path) -> AsyncIterator[Server]:
    """In this process and without a self-check: what is tried is who gets in."""
    settings = Settings(
        port=free_port(),
        api_keys=KEY,
        memory="off",
        models_dir=models_dir,
        data_dir=folder,
        stt_model="whisper-tiny.en",
        embedder_engine="none",
        connect_timeout_s=60.0,
        max_calls=4,
    )
    engines = build_engines(settings)
    server = await Server.start(settings, engines)
    try:
        yield server
    finally:
        await server.stop()
        for engine in engines.all().values():
            await engine.close()


def link(folder: Path, url: str) -> str:
    command = [sys.executable, "-m", "server.cli.main", "join", "--user", "alice", "--data-dir", str(folder)]
    command += ["--base-url", url]
    environ = {**os.environ, "MORGAN_API_KEYS": KEY}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


async def test_a_join_link_signs_one_page_in(models_dir: Path, tmp_path: Path) -> None:
    async with serving(models_dir, tmp_path) as server:
        address = await asyncio.to_thread(link, tmp_path, server.url)
        async with chromium() as browser:
            async with visit(browser, address) as page:
                async with page.expect_response(lambda answer: answer.url.endswith("/api/calls")) as placed:
                    await page.click("#call")
                response = await placed.value
                assert response.status == 201
                assert '"user_id":"alice"' in (response.request.post_data or "")
                assert (response.request.headers["authorization"]).startswith("Bearer ms_")
                assert "token" not in page.url
                await reach(page, "listening", "user_speaking")
                async with page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
                    await page.click("#hang-up")
                assert (await ended.value).status == 204
            # Somebody to whom the link was passed on, too late.
            async with visit(browser, address) as page:
                await expect(page.locator("#notice")).to_contain_text("used")
