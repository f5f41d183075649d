"""A real Chromium for the tests of the call page, with a microphone made of a file or of Chromium's own beeps."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.sound import SoundCard

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


# Playwright waits five seconds for what it expects: a busy machine takes longer for a page.
expect.set_options(timeout=60_000)


def missing(what: str) -> None:
    """Skip the test for want of something, or fail it where nothing may be left out."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


def executable(own: str) -> str:
    """Chromium: `MORGAN_CHROMIUM`, else the one that Playwright installed, else one on the path."""
    named = os.environ.get("MORGAN_CHROMIUM")
    found = named or (own if Path(own).exists() else next(filter(None, map(shutil.which, NAMES)), None))
    if found is None:
        missing("no Chromium: run `playwright install chromium`, or set MORGAN_CHROMIUM")
    return str(found)


@asynccontextmanager
async def chromium(
    *,
    microphone: Path | None = None,
    allow: bool = True,
    card: SoundCard | None = None,
    extra: tuple[str, ...] = (),
) -> AsyncIterator[Browser]:
    """A headless Chromium.

    Args:
        microphone: WAV file that is spoken once; None for a beep every second.
        allow: grant the microphone without asking; else Chromium refuses it, as there is nobody to ask.
        card: a sound card that it hears and plays by, in place of devices of its own.
        extra: further command line arguments.
    """
    arguments = ["--no-sandbox", "--disable-background-networking", *extra]
    if card is None:
        arguments.append("--use-fake-device-for-media-stream")
    if allow:
        arguments.append("--use-fake-ui-for-media-stream")
    if microphone is not None:
        arguments.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    async with async_playwright() as playwright:
        path = executable(playwright.chromium.executable_path)
        environment = {**os.environ, "PULSE_SERVER": card.address} if card else None
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=arguments,
            env=environment,  # type: ignore[arg-type, unused-ignore]
            ignore_default_args=["--mute-audio"] if card else None,
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def visit(browser: Browser, url: str, *, width: int = 1280, height: int = 800) -> AsyncIterator[Page]:
    """The page at `url` in a context of its own; fails if a script threw or the content security policy was broken."""
    faults: list[str] = []
    context = await browser.new_context(viewport={"width": width, "height": height})
    page = await context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        await page.goto(url)
        yield page
        assert faults == []
    finally:
        await context.close()


async def reach(page: Page, *states: str, timeout: float = 60.0) -> None:
    """Wait until the page shows one of the states (`data-state`)."""
    wanted = ", ".join(f"#app[data-state={state}]" for state in states)
    await page.locator(wanted).wait_for(timeout=timeout * 1000)
