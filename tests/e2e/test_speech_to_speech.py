"""huggingface/speech-to-speech's own tests of OpenAI's Agents SDK, run from outside against Morgan's `/v1/realtime`.

They are not ours to copy: `MORGAN_SPEECH_TO_SPEECH` names a checkout, of which `demo/tests` is run as it is, with this
machine's packages in place of its `node_modules`, and `tests.e2e.speech_to_speech_server` in place of its server.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import playwright
import pytest
from playwright.async_api import async_playwright

from tests.e2e.chromium import executable
from tests.e2e.npm_clients import ROOT, node, packages

pytestmark = pytest.mark.timeout(600)

CHROMIUM = """
import { chromium as stock } from %(driver)r;
const executablePath = %(path)r;
export const chromium = {
  launch: (options) => stock.launch({ ...options, executablePath, args: ["--no-sandbox", ...(options.args ?? [])] }),
};
"""


async def browser() -> str:
    """The Chromium of the other tests."""
    async with async_playwright() as stock:
        return executable(stock.chromium.executable_path)


@pytest.fixture
def checkout() -> Path:
    """The folder of the checkout; the test is left out where there is none."""
    named = os.environ.get("MORGAN_SPEECH_TO_SPEECH")
    if not named:
        pytest.skip("MORGAN_SPEECH_TO_SPEECH names no checkout of huggingface/speech-to-speech")
    return Path(named)


def module(folder: Path, name: str, exports: str, code: str) -> None:
    """A package of one module."""
    made = folder / "node_modules" / name
    made.mkdir(parents=True)
    (made / "package.json").write_text(f'{{"name": "{name}", "type": "module", "exports": {{"{exports}": "./it.js"}}}}')
    (made / "it.js").write_text(code)


def rehearsed(folder: Path, checkout: Path, chromium: str) -> Path:
    """Its tests, with what they import and the program that they start; the folder that they are in."""
    tests = folder / "demo" / "tests"
    tests.mkdir(parents=True)
    for name in ("helpers.mjs", "agents-websocket.test.mjs", "agents-webrtc.test.mjs"):
        shutil.copy(checkout / "demo" / "tests" / name, tests)
    ours = packages() / "node_modules"
    driver = Path(playwright.__file__).parent / "driver" / "package" / "index.mjs"
    # The package that they name is the one below with more in it.
    module(folder, "@openai/agents", "./realtime", 'export * from "@openai/agents-realtime";')
    module(folder, "@playwright/test", ".", CHROMIUM % {"driver": str(driver), "path": chromium})
    for each in ours.iterdir():
        here = folder / "node_modules" / each.name
        if each.name != "@openai":
            here.symlink_to(each)
    (folder / "node_modules" / "@openai" / "agents-realtime").symlink_to(ours / "@openai" / "agents-realtime")
    started = folder / "python"
    program = ROOT / "tests" / "e2e" / "speech_to_speech_server.py"
    started.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" "{program}"\n')
    started.chmod(0o755)
    return tests


@pytest.mark.parametrize("name", ["agents-websocket", "agents-webrtc"])
async def test_their_test_of_the_agents_sdk_passes(name: str, checkout: Path, tmp_path: Path) -> None:
    tests = await asyncio.to_thread(rehearsed, tmp_path, checkout, await browser())
    environment = {**os.environ, "S2S_PYTHON": str(tmp_path / "python"), "S2S_PACKAGES": str(packages())}

    def run() -> subprocess.CompletedProcess[str]:
        command = [node(), "--test", f"{name}.test.mjs"]
        return subprocess.run(command, cwd=tests, capture_output=True, text=True, timeout=500, env=environment)

    done = await asyncio.to_thread(run)
    assert done.returncode == 0, done.stdout[-8_000:]
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
