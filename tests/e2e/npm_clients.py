"""Stock JavaScript clients, in a page of Chromium and in Node: the packages of tests/clients/package.json."""

import asyncio
import base64
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from playwright.async_api import Page

from tests.conftest import lacking
from tests.e2e.chromium import chromium

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "tests" / "clips"

WAIT_MS = 90_000


@cache
def packages() -> Path:
    """The folder that holds `node_modules`; skips the test where it cannot be had, except in CI."""
    done = subprocess.run([ROOT / ".ci" / "npm-clients"], capture_output=True, text=True, timeout=400, check=False)
    if done.returncode != 0:
        lacking(done.stderr.strip())
    return Path(done.stdout.strip())


def node() -> str:
    """The program; skips the test where it is not, except in CI."""
    found = shutil.which("node")
    if found is None:
        lacking("Node is not installed (Debian: nodejs).")
    return str(found)


def run_in_node(folder: Path, script: str, timeout_s: float = 120, **values: Any) -> Any:
    """Run the body of an async function that has `values` by their names; gives what it returns, as JSON.

    Args:
        folder: an empty one.
        script: it may import the packages; what it imports stands in lines of its own at its beginning.
        timeout_s: patience.
        values: JSON.
    """
    (folder / "node_modules").unlink(missing_ok=True)
    (folder / "node_modules").symlink_to(packages() / "node_modules")
    lines = script.strip().splitlines()
    imports = [line.strip() for line in lines if line.strip().startswith("import ")]
    body = "\n".join(line for line in lines if not line.strip().startswith("import "))
    given = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in values.items())
    program = folder / "program.mjs"
    program.write_text(
        "\n".join(imports)
        + f"\n{given}const told = await (async () => {{\n{body}\n}})();\n"
        + "process.stdout.write(JSON.stringify(told ?? null), () => process.exit(0));\n"
    )
    command = ["node", program.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@cache
def bundle() -> str:
    """tests/clients/browser.mjs with all that it imports, for a page."""
    command = [str(packages() / "node_modules" / ".bin" / "esbuild"), "tests/clients/browser.mjs", "--bundle"]
    environment = {**os.environ, "NODE_PATH": str(packages() / "node_modules")}
    done = subprocess.run(
        [*command, "--format=iife", "--log-level=error"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def clip(name: str) -> str:
    """A recording of tests/clips, base64."""
    return base64.b64encode((CLIPS / f"{name}.wav").read_bytes()).decode()


@asynccontextmanager
async def client_site() -> AsyncIterator[str]:
    """Serves a page with tests/clients/browser.mjs in it; its origin, which is another one than Morgan's."""
    script = await asyncio.to_thread(bundle)

    async def page(_: web.Request) -> web.Response:
        return web.Response(
            text='<!doctype html><title>client</title><script src="/b.js"></script>', content_type="text/html"
        )

    async def code(_: web.Request) -> web.Response:
        return web.Response(text=script, content_type="text/javascript")

    app = web.Application()
    app.add_routes([web.get("/", page), web.get("/b.js", code)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_page(origin: str) -> AsyncIterator[Page]:
    """The page of a `client_site` in Chromium; no script of it may throw."""
    faults: list[str] = []
    async with chromium(extra=("--autoplay-policy=no-user-gesture-required",)) as browser:
        page = await browser.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(f"{origin}/")
        yield page
        assert faults == []


async def so(page: Page, condition: str) -> None:
    """Wait until something is so in a page."""
    await page.wait_for_function(f"() => {condition}", timeout=WAIT_MS)
