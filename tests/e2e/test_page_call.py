"""A person's way in: Chromium opens the page, presses the button, speaks, sees both sides, hears, hangs up."""

import asyncio
import time
import wave
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Page, expect

from pipeline.text.normalise import normalise
from tests.e2e.chromium import chromium, reach, visit
from tests.e2e.conftest import RunningServer
from tests.spoken import spoken

LOUDNESS = """() => new Promise((resolve) => {
  const audio = document.querySelector('audio');
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(audio.srcObject).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  let loudest = 0, frames = 0;
  const look = () => {
    analyser.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    loudest = Math.max(loudest, rms);
    if (loudest <= 0.01 && ++frames < 1500) setTimeout(look, 20); else resolve(loudest);
  };
  look();
})"""


async def calls_open(url: str) -> int:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/api/calls") as response:
        return len((await response.json())["calls"])


async def hang_up(page: Page, url: str) -> float:
    """Press the button; seconds until the server knows no call any more."""
    began = time.monotonic()
    await page.click("#hang-up")
    while await calls_open(url):
        assert time.monotonic() - began < 10
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def after_silence(clip: Path, folder: Path, seconds: float = 2.5) -> Path:
    """The clip behind a while of silence: Chromium plays it from when the page asks for the microphone."""
    delayed = folder / clip.name
    with wave.open(str(clip)) as file, wave.open(str(delayed), "wb") as out:
        out.setparams(file.getparams())
        out.writeframes(bytes(int(seconds * file.getframerate()) * file.getsampwidth() * file.getnchannels()))
        out.writeframes(file.readframes(file.getnframes()))
    return delayed


async def check_page(clip: Path, words: str, server: RunningServer, picture: Path) -> None:
    """Call through the page with a clip as the microphone."""
    async with chromium(microphone=clip) as browser, visit(browser, server.url) as page:
        await page.click("#call")
        await reach(page, "listening")
        loudest = asyncio.ensure_future(page.evaluate(LOUDNESS))
        user = page.locator('[data-role="user"]').first
        await expect(user).to_contain_text(normalise(words).split()[-1], ignore_case=True, timeout=60_000)
        shown = normalise(await user.inner_text()).split()
        assert " ".join(shown[-len(words.split()) :]) == spoken(words), shown
        await expect(page.locator('[data-role="assistant"]').first).to_contain_text(" ", timeout=60_000)
        assert await loudest > 0.01
        await page.screenshot(path=picture)
        assert await hang_up(page, server.url) < 2.0


@pytest.mark.timeout(90)
async def test_a_call_through_the_page_in_morgans_own_voice(
    server: RunningServer, repository: Path, tmp_path: Path
) -> None:
    clip = after_silence(repository / "tests" / "clips" / "question.wav", tmp_path)
    await check_page(clip, "How are you today?", server, tmp_path / "page.png")


@pytest.mark.timeout(90)
async def test_a_call_through_the_page_with_real_speech(
    server: RunningServer, shared_audio: Path, tmp_path: Path
) -> None:
    clip = after_silence(shared_audio / "weather.wav", tmp_path)
    await check_page(clip, "What is the weather in Paris?", server, tmp_path / "page.png")
