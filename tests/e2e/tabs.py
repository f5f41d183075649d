"""A page in either browser, by what both of them can do: for tests that are the same in Chromium and in Firefox."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page

from tests.e2e.chromium import chromium, visit
from tests.e2e.firefox import FAKE_MICROPHONE, FirefoxPage, firefox
from tests.e2e.sound import SoundCard

NAMES = ("chromium", "firefox")

GRANTED = {"media.navigator.permission.disabled": True}
"""Firefox opens the microphones that there are without asking."""


class Tab(Protocol):
    """What a page of either browser can do."""

    async def evaluate(self, expression: str) -> Any: ...
    async def click(self, selector: str) -> None: ...
    async def goto(self, url: str) -> Any: ...
    async def screenshot(self) -> bytes: ...


@asynccontextmanager
async def opened(
    browser: str,
    url: str,
    *,
    microphone: bool = True,
    card: SoundCard | None = None,
    preferences: Mapping[str, Any] | None = None,
    signed: bool = True,
    size: tuple[int, int] = (1280, 800),
    dark: bool | None = None,
) -> AsyncIterator[Tab]:
    """The page at `url`, which the browser takes for a secure one, as if it had come by TLS.

    Args:
        browser: "chromium" or "firefox".
        url: of the page.
        microphone: whether one is granted; a Chromium that would grant one does not hide its addresses.
        card: what it hears and plays by; None for a tone of the browser's own.
        preferences: of Firefox, beside those.
        signed: whether certificates have to be, by an authority.
        size: width and height of what is seen, in CSS pixels.
        dark: whether the system is; then nothing moves either. None leaves both as they are.
    """
    where = urlsplit(url)
    async with contextlib.AsyncExitStack() as stack:
        if browser == "chromium":
            extra = [] if signed else ["--ignore-certificate-errors"]
            if where.scheme == "http":
                extra.append(f"--unsafely-treat-insecure-origin-as-secure=http://{where.netloc}")
            started = await stack.enter_async_context(chromium(allow=microphone, card=card, extra=tuple(extra)))
            tab = await stack.enter_async_context(visit(started, url, width=size[0], height=size[1]))
            if dark is not None:
                await tab.emulate_media(color_scheme="dark" if dark else "light", reduced_motion="reduce")
            yield tab
        else:
            wanted = {**(GRANTED if card else FAKE_MICROPHONE), **(preferences or {})}
            if where.scheme == "http":
                wanted["dom.securecontext.allowlist"] = where.hostname
            if dark is not None:
                wanted |= {"layout.css.prefers-color-scheme.content-override": 0 if dark else 1}
                wanted["ui.prefersReducedMotion"] = 1
            page = await stack.enter_async_context(firefox(url, wanted, card, signed=signed))
            await page.resize(*size)
            yield page
            assert page.faults() == []


async def until(tab: Tab, expression: str, timeout: float = 60.0) -> Any:
    """The expression's first value that is true."""
    try:
        async with asyncio.timeout(timeout):
            while not (value := await tab.evaluate(expression)):  # noqa: ASYNC110 - the page tells nobody
                await asyncio.sleep(0.05)
    except TimeoutError:
        shown = await tab.evaluate("[app.dataset.state, notice.innerText, transcript.innerText]")
        pytest.fail(f"{expression} never came true; the page shows {shown}")
    return value


async def write(tab: Tab, selector: str, words: str) -> None:
    """Type words into a field, and press Enter."""
    await tab.click(selector)
    if isinstance(tab, FirefoxPage):
        await tab.press(f"{words}\ue007")
    else:
        assert isinstance(tab, Page)
        await tab.keyboard.type(words)
        await tab.keyboard.press("Enter")


async def escape(tab: Tab) -> None:
    """Press the Escape key."""
    if isinstance(tab, FirefoxPage):
        await tab.press("\ue00c")
    else:
        assert isinstance(tab, Page)
        await tab.keyboard.press("Escape")


async def run(tab: Tab, script: str) -> None:
    """Run statements of JavaScript, whatever the page's policy says."""
    if isinstance(tab, FirefoxPage):
        await tab.run(script)
    else:
        await tab.evaluate(script)
