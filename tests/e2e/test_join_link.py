"""A link in place of the server's key: whoever opens it calls as somebody, once, and never sees a key."""

import os
import subprocess
import sys
from pathlib import Path

from playwright.async_api import expect

from tests.e2e.chromium import chromium, reach, visit
from tests.serving import serving

KEY = "a-key-that-is-long-enough-to-be-one"


def link(folder: Path, url: str) -> str:
    command = [sys.executable, "-m", "server.cli.main", "join", "--user", "alice", "--data-dir", str(folder)]
    command += ["--base-url", url]
    environ = {**os.environ, "MORGAN_API_KEYS": KEY}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True).stdout.strip()


async def test_a_join_link_signs_one_page_in(models_dir: Path, tmp_path: Path) -> None:
    with serving(models_dir, tmp_path, MORGAN_API_KEYS=KEY, MORGAN_MEMORY="off") as server:
        address = link(tmp_path, server.url)
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
