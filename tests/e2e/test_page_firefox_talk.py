"""A conversation in a stock Firefox with a real Morgan: spoken, heard, interrupted, typed, found, replayed, gone."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.firefox import firefox
from tests.e2e.sound import SoundCard, sound_card
from tests.e2e.test_browsers import until
from tests.e2e.test_page_firefox import GRANTED, LISTENING
from tests.serving import serving

WAIT_S = 120.0
TAKEN = """(() => {
  const plain = URL.createObjectURL.bind(URL);
  URL.createObjectURL = (file) => plain((window.taken = file));
})()"""
"""Keeps hold of what is saved."""
STORY = "Tell me a long story about a ship that sails around the world."


async def heard_from(card: SoundCard) -> None:
    """Wait until something comes out of the loudspeaker."""
    async with asyncio.timeout(WAIT_S):
        while np.abs(await card.listen(1.0)).max() < 1000:
            pass


def lines(role: str, status: str = "final") -> str:
    return (
        f"[...document.querySelectorAll('.line[data-role={role}][data-status={status}] .heard')].map(x => x.innerText)"
    )


@pytest.mark.timeout(900)
async def test_a_visit_from_the_first_press_to_deleting_what_was_said(
    models_dir: Path, repository: Path, tmp_path: Path
) -> None:
    clips = repository / "tests" / "clips"
    with serving(models_dir, tmp_path / "data", MORGAN_RECORD_CALLS="true") as morgan:
        async with sound_card(tmp_path) as card:
            await card.plug_in("Desk")
            async with firefox(morgan.url.replace("127.0.0.1", "localhost"), GRANTED, card) as page:

                async def sees(expression: str) -> None:
                    await until(page, expression, WAIT_S)

                await page.click("#call")  # the first visit, and the one press that it takes
                await sees(LISTENING)
                await card.speak("Desk", clips / "question.wav")
                await sees(f"{lines('user')}.some(text => /how are you/i.test(text))")
                await heard_from(card)
                await sees(f"{lines('assistant')}.length > 0")
                await page.click("#typed")
                await page.press(f"{STORY}\ue007")
                await sees(f"{lines('user')}.includes({json.dumps(STORY)})")
                await sees("app.dataset.state === 'speaking'")
                await heard_from(card)
                await card.speak("Desk", clips / "interruption.wav")
                await sees(f"{lines('assistant', 'interrupted')}.length > 0")
                await page.click("#hang-up")
                await sees("app.dataset.state === 'ended'")
                await page.click("#open-history")
                await sees("document.querySelector('#conversations .card')")
                await page.click("#search")
                await page.press("a voyage at sea\ue007")
                await sees("/ship/.test(document.querySelector('#conversations .card')?.innerText)")
                await page.click("#conversations .card")
                await until(
                    page, "/how are you/i.test(document.querySelector('.past .line .heard')?.innerText)", WAIT_S
                )
                await sees("document.querySelector('[data-recording]')")
                await page.click("[data-recording]")
                await sees("document.querySelector('.player')?.currentTime > 0.2")
                await page.click(".past .line:nth-of-type(2)")
                await until(
                    page, "document.querySelector('.past .line[aria-current]')?.dataset.role === 'assistant'", WAIT_S
                )
                await page.evaluate(TAKEN)
                await page.click("[data-format=txt]")
                await sees(f"window.taken?.text().then(text => text.includes({json.dumps(STORY)}))")
                await page.click("#delete")
                await page.click("#delete-for-good")
                await sees("document.getElementById('history-back').hidden")
                await sees("document.querySelectorAll('#conversations .card').length === 0")
                assert page.faults() == []
