"""A whole talk through the page with a real Morgan, in Chromium and in Firefox: spoken into a sound card's microphone,
heard at its loudspeaker, interrupted, typed, found again, heard again, taken away, deleted."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.e2e.sound import SoundCard, sound_card
from tests.e2e.tabs import NAMES, Tab, opened, until, write
from tests.serving import RunningServer, serving

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(900)]

GREETING = (
    "Good evening, and thank you for your call. I would like to tell you a story about the sea. Once there was a "
    "captain who sailed around the whole world, from the cold north to the warm south, and in every harbour he bought "
    "a clock. "
    "When he came home he had a hundred of them, and each one told another time."
)
"""Long enough to be interrupted on any machine."""

WAIT_S = 120.0
AUDIBLE = 1000
SILENT = 50


@dataclass
class Visit:
    """One visit: what a test says, the next ones find."""

    tab: Tab
    card: SoundCard
    downloads: Path
    clips: Path

    async def loudest(self, seconds: float = 1.0) -> int:
        """Of what comes out of the loudspeaker from now on."""
        return int(np.abs((await self.card.listen(seconds)).astype(np.int32)).max())

    async def until_loud(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.loudest() < AUDIBLE:
                pass

    async def until_silent(self) -> None:
        async with asyncio.timeout(WAIT_S):
            while await self.loudest() > SILENT:
                pass

    async def taken(self, kind: str) -> str:
        """What a press on an export saves as a file."""
        button = f"[data-format={kind}]"
        if isinstance(self.tab, Page):
            async with self.tab.expect_download() as begun:
                await self.tab.click(button)
            return (await (await begun.value).path()).read_text()
        await self.tab.click(button)
        async with asyncio.timeout(WAIT_S):
            while not (text := "".join(map(written, self.downloads.glob(f"*.{kind}")))):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return text


def written(path: Path) -> str:
    """What a file holds; nothing where it is gone: Firefox gives a download a name for the time that it takes."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    return ""


@pytest.fixture(scope="module")
def morgan(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = {"MORGAN_RECORD_CALLS": "true", "MORGAN_GREETING": GREETING}
    with serving(models_dir, tmp_path_factory.mktemp("talk"), **settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=NAMES)
async def visit(
    request: pytest.FixtureRequest, morgan: RunningServer, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Visit]:
    """The page in one of the browsers, with a microphone that is silent until a clip is played into it."""
    folder = tmp_path_factory.mktemp(request.param)
    saving = {"browser.download.folderList": 2, "browser.download.dir": str(folder)}
    async with contextlib.AsyncExitStack() as stack:
        card = await stack.enter_async_context(sound_card(folder))
        await card.plug_in("Desk")
        tab = await stack.enter_async_context(opened(request.param, morgan.url, card=card, preferences=saving))
        yield Visit(tab, card, folder, repository / "tests" / "clips")


def lines(role: str, condition: str = "true") -> str:
    """JavaScript: how many lines of one side fulfil a condition on `line`."""
    return f"[...document.querySelectorAll('.line[data-role={role}]')].filter(line => {condition}).length"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def greeted(visit: Visit) -> Visit:
    """From a first visit to hearing Morgan takes one press."""
    await visit.tab.click("#call")
    await until(visit.tab, "app.dataset.state === 'speaking'", WAIT_S)
    await visit.until_loud()
    return visit


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def interrupted(greeted: Visit) -> Visit:
    """Somebody speaks up in the middle of the greeting, and is answered."""
    tab = greeted.tab
    cut = lines("assistant", "line.dataset.status === 'interrupted'")
    # A microphone that was just opened gives silence for a while in Firefox.
    async with asyncio.timeout(WAIT_S):
        while not await tab.evaluate(cut):
            await greeted.card.speak("Desk", greeted.clips / "interruption.wav")
    await until(tab, lines("user", "line.dataset.status === 'final'"), WAIT_S)
    await until(
        tab, f"{lines('assistant', 'line.dataset.status === `final`')} && app.dataset.state === 'listening'", WAIT_S
    )
    return greeted


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talked(interrupted: Visit) -> str:
    """A sentence is written, answered, and the call is over; the id of the conversation."""
    tab = interrupted.tab
    answered = await tab.evaluate(lines("assistant"))
    await write(tab, "#typed", "My parrot is called Sinbad.")
    await until(tab, lines("user", "line.innerText.includes('Sinbad')"), WAIT_S)
    await until(tab, f"{lines('assistant')} > {answered} && app.dataset.state === 'listening'", WAIT_S)
    await tab.click("#hang-up")
    await until(tab, "app.dataset.state === 'ended'", WAIT_S)
    return str(await tab.evaluate("localStorage.getItem('morgan.conversation')"))


async def test_an_interruption_cuts_the_reply_and_strikes_out_what_nobody_heard(interrupted: Visit) -> None:
    cut = "document.querySelector('.line[data-status=interrupted]')"
    heard = await interrupted.tab.evaluate(f"{cut}.querySelector('.heard').textContent")
    unheard = await interrupted.tab.evaluate(f"{cut}.querySelector('.unheard').textContent")
    assert heard.strip()
    assert unheard.strip()
    assert (heard + unheard).split() == GREETING.split()
    shown = await interrupted.tab.evaluate(f"getComputedStyle({cut}.querySelector('.unheard')).textDecorationLine")
    assert "line-through" in shown
    # Of "Wait, stop. Tell me about Rome instead." a browser that has just opened its microphone may lose the beginning,
    # and one processor hears other words of the rest than the next.
    assert await interrupted.tab.evaluate(lines("user", "/wait|stop|tell|rome|room|instead/i.test(line.innerText)"))
    await interrupted.until_silent()


async def test_what_is_written_is_answered_in_the_same_conversation(visit: Visit, talked: str) -> None:
    assert await visit.tab.evaluate(lines("user", "line.innerText.includes('My parrot is called Sinbad.')")) == 1
    kept = f"fetch('api/conversations/{talked}/messages').then(answer => answer.text())"
    assert "Sinbad" in await visit.tab.evaluate(kept)


async def test_it_is_in_the_history_and_heard_again_in_step_with_its_words(visit: Visit, talked: str) -> None:
    tab = visit.tab
    await tab.click("#open-history")
    card = f"[data-conversation='{talked}']"
    await until(tab, f"document.querySelector({json.dumps(card)}) !== null", WAIT_S)
    await tab.click(card)
    await until(tab, "document.querySelector('[data-recording]') !== null", WAIT_S)
    await visit.until_silent()
    await tab.click("[data-recording]")
    await visit.until_loud()
    marked = "document.querySelector('.past .line[aria-current]')"
    await until(tab, f"{marked}?.dataset.role === 'assistant'", WAIT_S)  # the greeting is what it begins with
    await tab.evaluate("document.querySelector('.past .line[data-role=user]').click()")
    await until(tab, f"{marked}?.dataset.role === 'user'", WAIT_S)


async def test_it_is_taken_away_as_text_subtitles_and_json(visit: Visit, talked: str) -> None:
    assert "User: My parrot is called Sinbad." in await visit.taken("txt")
    assert (await visit.taken("vtt")).startswith("WEBVTT")
    assert json.loads(await visit.taken("json"))["id"] == talked


async def test_it_is_found_by_what_was_meant(visit: Visit, talked: str) -> None:
    await visit.tab.click("#history-back")
    await write(visit.tab, "#search", "the name of my bird")
    best = "document.querySelector('#conversations .card')"
    await until(visit.tab, f"{best}?.innerText.includes('Sinbad')", WAIT_S)
    await visit.tab.click("#conversations .card")
    await until(visit.tab, "document.getElementById('go-on') !== null", WAIT_S)


async def test_what_is_deleted_is_gone(visit: Visit, talked: str) -> None:
    await visit.tab.click("#delete")
    await visit.tab.click("#delete-for-good")
    await until(visit.tab, "document.getElementById('history-words').innerText !== 'One moment…'", WAIT_S)
    assert await visit.tab.evaluate(f"fetch('api/conversations/{talked}').then(answer => answer.status)") == 404
    assert not await visit.tab.evaluate(f"document.querySelector(\"[data-conversation='{talked}']\")")
