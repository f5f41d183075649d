"""A real Firefox for the tests, driven by the protocol that it speaks itself: WebDriver BiDi over a WebSocket.

https://w3c.github.io/webdriver-bidi/ says what the commands are. Every browser has a fresh profile with the settings
that Firefox comes with; only its microphone is a tone (440 Hz and 1 kHz), which is granted without asking.
"""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from tests.conftest import lacking
from tests.e2e.sound import SoundCard, running, sound_card

T = TypeVar("T")

NAMES = ("firefox-esr", "firefox")
START_S = 60.0
POLL_S = 0.05

FAKE_MICROPHONE = {"media.navigator.streams.fake": True, "media.navigator.permission.disabled": True}
QUIET = {
    # Traffic of its own that the tests have no use for.
    "app.normandy.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    # A headless browser has nobody to click before there may be sound.
    "media.autoplay.default": 0,
}


class BiDi:
    """One WebSocket to a browser: commands out, answers and events in."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[Mapping[str, Any]] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    async def command(self, method: str, **params: Any) -> Any:
        """Its result; RuntimeError with the browser's words where there is none."""
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        return await answer

    async def close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            waiting = self._waiting.pop(told.get("id"), None)
            if waiting is None:
                self.events.append(told)
            elif told["type"] == "success":
                waiting.set_result(told["result"])
            else:
                waiting.set_exception(RuntimeError(f"{told['error']}: {told['message']}"))
        for waiting in self._waiting.values():
            waiting.set_exception(RuntimeError("Firefox is gone"))


class FirefoxPage:
    """A tab."""

    def __init__(self, bidi: BiDi, context: str) -> None:
        self._bidi = bidi
        self._context = context

    async def goto(self, url: str) -> None:
        await self._bidi.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression comes to, awaited, by way of JSON; as if somebody had just clicked."""
        wrapped = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        told = await self._bidi.command(
            "script.evaluate",
            expression=wrapped,
            target={"context": self._context},
            awaitPromise=True,
            userActivation=True,
        )
        if told["type"] == "exception":
            raise RuntimeError(told["exceptionDetails"]["text"])
        return json.loads(told["result"]["value"])

    async def run(self, script: str) -> None:
        """Run statements of JavaScript."""
        target = {"context": self._context}
        told = await self._bidi.command("script.evaluate", expression=script, target=target, awaitPromise=False)
        if told["type"] == "exception":
            raise RuntimeError(told["exceptionDetails"]["text"])

    async def resize(self, width: int, height: int) -> None:
        """Give the page so many CSS pixels."""
        viewport = {"width": width, "height": height}
        await self._bidi.command("browsingContext.setViewport", context=self._context, viewport=viewport)

    async def click(self, selector: str) -> None:
        """Move the mouse there and press its button; what is out of sight is scrolled to first."""
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView({{ block: 'nearest' }})")
        found = await self._bidi.command(
            "browsingContext.locateNodes", context=self._context, locator={"type": "css", "value": selector}
        )
        origin = {"type": "element", "element": {"sharedId": found["nodes"][0]["sharedId"]}}
        await self._perform(
            {
                "type": "pointer",
                "id": "mouse",
                "actions": [
                    {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
                    {"type": "pointerDown", "button": 0},
                    {"type": "pointerUp", "button": 0},
                ],
            }
        )

    async def press(self, keys: str) -> None:
        """Type on the keyboard."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self._perform({"type": "key", "id": "keyboard", "actions": strokes})

    @asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        """A key is down until the end of the block."""
        await self._perform({"type": "key", "id": "keyboard", "actions": [{"type": "keyDown", "value": key}]})
        try:
            yield
        finally:
            await self._perform({"type": "key", "id": "keyboard", "actions": [{"type": "keyUp", "value": key}]})

    async def screenshot(self) -> bytes:
        """A PNG of what is to be seen."""
        shot = await self._bidi.command("browsingContext.captureScreenshot", context=self._context)
        return base64.b64decode(shot["data"])

    def faults(self) -> list[str]:
        """Errors of scripts, and what the content security policy stopped."""
        entries = (event["params"] for event in self._bidi.events if event.get("method") == "log.entryAdded")
        return [str(e["text"]) for e in entries if e["level"] == "error" or "Content-Security-Policy" in str(e["text"])]

    async def _perform(self, source: Mapping[str, Any]) -> None:
        await self._bidi.command("input.performActions", context=self._context, actions=[source])


@asynccontextmanager
async def firefox(
    url: str,
    preferences: Mapping[str, Any] = FAKE_MICROPHONE,
    card: SoundCard | None = None,
    *,
    signed: bool = True,
) -> AsyncIterator[FirefoxPage]:
    """A headless Firefox with the page at `url` open.

    Args:
        url: where it goes first.
        preferences: beside those that Firefox comes with.
        card: what it hears and plays by, else one of its own, which plays to nobody: without any Firefox lets no
            AudioContext run.
        signed: whether certificates have to be, by an authority.
    """
    program = os.environ.get("MORGAN_FIREFOX") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        lacking("no Firefox: apt-get install firefox-esr, or set MORGAN_FIREFOX")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in {**QUIET, **preferences}.items()]
        (Path(folder) / "user.js").write_text("\n".join(lines))
        environment = {**os.environ, "HOME": folder, "MOZ_HEADLESS_WIDTH": "1280", "MOZ_HEADLESS_HEIGHT": "900"}
        log = Path(folder) / "log"
        async with AsyncExitStack() as stack:
            card = card or await stack.enter_async_context(sound_card(Path(folder)))
            environment["PULSE_SERVER"] = card.address
            start = running(
                str(program), "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", folder,
                log=log, env=environment,
            )  # fmt: skip
            await stack.enter_async_context(start)
            address = await until(lambda: _announced(log), log)
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{address}/session", max_msg_size=0) as socket:
                bidi = BiDi(socket)
                try:
                    wanted = {"alwaysMatch": {"acceptInsecureCerts": not signed}}
                    await bidi.command("session.new", capabilities=wanted)
                    await bidi.command("session.subscribe", events=["log.entryAdded"])
                    tree = await bidi.command("browsingContext.getTree")
                    page = FirefoxPage(bidi, tree["contexts"][0]["context"])
                    await page.goto(url)
                    yield page
                finally:
                    await bidi.close()


def _announced(log: Path) -> str | None:
    """Where Firefox listens, once it does."""
    found = re.search(r"WebDriver BiDi listening on (ws://\S+)\s", log.read_text(errors="replace"))
    return found[1] if found else None


async def until(condition: Callable[[], T], log: Path) -> T:
    """The first value that is true, of something that shows that a program has started; its log where none came."""
    deadline = time.monotonic() + START_S
    while not (value := condition()):
        assert time.monotonic() < deadline, _last_words(log)
        await asyncio.sleep(POLL_S)
    return value


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]
