"""Each example does what its first lines say."""

import json
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import httpx2
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from examples import weather_tool
from pipeline.engines.protocols import ToolCall
from pipeline.text.normalise import normalise
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox
from tests.conftest import lacking
from tests.e2e.chromium import chromium, visit
from tests.serving import RunningServer, free_port, serving

QUESTION = "How are you today?"


def run(example: Path, *arguments: str, **environ: str) -> str:
    """What an example prints; it must end well."""
    command = [sys.executable, str(example), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(example.parents[1]), **environ}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def seconds_of(file: Path) -> float:
    with wave.open(str(file)) as opened:
        return opened.getnframes() / opened.getframerate()


def test_every_example_is_in_the_readme(repository: Path) -> None:
    told = (repository / "examples" / "README.md").read_text()
    there = [path for path in (repository / "examples").iterdir() if not path.name.startswith(("_", "README"))]
    assert len(there) >= 6
    assert [path.name for path in there if f"]({path.name})" not in told] == []


def test_a_call_from_python(server: RunningServer, repository: Path, tmp_path: Path) -> None:
    clip, answer = repository / "tests" / "clips" / "question.wav", tmp_path / "answer.wav"
    shown = run(repository / "examples" / "call_from_python.py", str(clip), str(answer), MORGAN_URL=server.url)
    heard, replied, took = shown.splitlines()
    assert normalise(heard).endswith(normalise(QUESTION))
    assert replied.removeprefix("Morgan:").strip()
    assert took.endswith(" ms")
    assert seconds_of(answer) > 1


def test_the_openai_sdk(server: RunningServer, repository: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.wav"
    question = "What is the capital of France?"
    shown = run(repository / "examples" / "openai_sdk.py", question, str(answer), MORGAN_URL=server.url)
    # The voice says it otherwise each time, and Whisper mishears one word in fifty of it, on windows of any length.
    assert len({"what", "capital", "france"} & set(normalise(shown.splitlines()[0]).split())) >= 2
    assert shown.splitlines()[1].removeprefix("Morgan:").strip()
    assert seconds_of(answer) > 0.5


@pytest.mark.timeout(90)
async def test_a_page_in_thirty_lines(server: RunningServer, repository: Path, tmp_path: Path) -> None:
    source = (repository / "examples" / "minimal_page.html").read_text()
    assert len(source.splitlines()) <= 30
    clip = tmp_path / "question.wav"
    with wave.open(str(repository / "tests" / "clips" / "question.wav")) as file, wave.open(str(clip), "wb") as out:
        out.setparams(file.getparams())
        # Chromium speaks it from when the page asks for the microphone, which is before the call stands.
        out.writeframes(bytes(int(2.5 * file.getframerate()) * file.getsampwidth() * file.getnchannels()))
        out.writeframes(file.readframes(file.getnframes()))
    async with chromium(microphone=clip) as browser, visit(browser, f"{server.url}/health/live") as page:
        # As if it were served from where Morgan is.
        await page.route("**/minimal.html", lambda route: route.fulfill(body=source, content_type="text/html"))
        await page.goto(f"{server.url}/minimal.html")
        await page.click("#call")
        words = page.locator("#words")
        await expect(words).to_contain_text(re.compile(r"You: \w+"), timeout=60_000)
        await expect(words).to_contain_text(re.compile(r"Morgan: \w+"), timeout=60_000)


# A tool --------------------------------------------------------------------------------------------------------------


@pytest_asyncio.fixture
async def weather_api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[dict[str, str]]]:
    """An API in the form of Open-Meteo that knows one city; what it was asked."""
    asked: list[dict[str, str]] = []

    async def places(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        paris = {"name": "Paris", "latitude": 48.85, "longitude": 2.35}
        return web.json_response({"results": [paris]} if request.query["name"] == "Paris" else {})

    async def forecast(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.json_response({"current": {"temperature_2m": 21.4, "wind_speed_10m": 7.9}})

    app = web.Application()
    app.add_routes([web.get("/search", places), web.get("/forecast", forecast)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    monkeypatch.setenv("PLACES_URL", f"{url}/search")
    monkeypatch.setenv("FORECAST_URL", f"{url}/forecast")
    yield asked
    await runner.cleanup()


async def test_a_weather_tool(weather_api: list[dict[str, str]]) -> None:
    parameters: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = ToolDeclaration(
        name="weather",
        description="The weather of a city, now.",
        parameters=parameters,
        function=f"{weather_tool.__name__}:weather",
    )
    box = Toolbox([tool])
    told = await box.run(ToolCall("1", "weather", json.dumps({"city": "Paris"})))
    unknown = await box.run(ToolCall("2", "weather", json.dumps({"city": "Nowhere"})))
    await box.close()
    assert told.content == "In Paris it is 21 degrees, with a wind of 8 km/h."
    assert weather_api[1]["latitude"] == "48.85"
    assert unknown.failed


# An engine of another package ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed_voice(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed examples/own_voice and nothing else."""
    pytest.importorskip("hatchling", reason="make dev installs it")
    target = tmp_path_factory.mktemp("site")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    source = str(repository / "examples" / "own_voice")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), source]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if done.returncode != 0:
        lacking(f"pip could not install {source}: {done.stderr[-1000:]}")
    return target


@pytest.fixture(scope="module")
def chiming(
    installed_voice: Path, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Morgan with that engine as its voice, chosen by settings alone."""
    path = os.pathsep.join(filter(None, (str(installed_voice), os.environ.get("PYTHONPATH"))))
    environ = {"MORGAN_TTS_ENGINE": "chime", "MORGAN_ENGINE_OPTIONS": '{"chime": {"pitch_hz": 330}}'}
    with serving(models_dir, tmp_path_factory.mktemp("chiming"), PYTHONPATH=path, **environ) as running:
        yield running


def test_an_engine_of_another_package_speaks(chiming: RunningServer, tmp_path: Path) -> None:
    host, _, port = chiming.url.rpartition(":")
    tts = f"{host}:{int(port) + 2}"
    assert [voice["id"] for voice in httpx2.get(f"{tts}/voices").json()["voices"]] == ["chime"]
    spoken = httpx2.post(f"{tts}/generate/audio", json={"text": "Four words, two commas.", "format": "wav"}, timeout=30)
    (tmp_path / "spoken.wav").write_bytes(spoken.content)
    # Twenty letters, four word ends, 60 ms each.
    assert 1.0 < seconds_of(tmp_path / "spoken.wav") < 2.5
    assert httpx2.get(f"{chiming.url}/health").json()["components"]["tts"]["status"] == "ok"


# Embedding -----------------------------------------------------------------------------------------------------------


@contextmanager
def embedded(repository: Path, models_dir: Path, folder: Path, port: int) -> Iterator["subprocess.Popen[str]"]:
    environ = {"MORGAN_MODELS_DIR": str(models_dir), "MORGAN_DATA_DIR": str(folder), "MORGAN_PORT": str(free_port())}
    command = [sys.executable, str(repository / "examples" / "embedded.py"), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(repository), **environ}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def test_morgan_inside_an_application(repository: Path, models_dir: Path, tmp_path: Path) -> None:
    port = free_port()
    with embedded(repository, models_dir, tmp_path, port) as process:
        assert process.stdout is not None
        assert any(line.startswith("The application is on port") for line in process.stdout)
        with urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            status = json.load(answer)
        assert status["calls"] == 0
        body = {"text": "Hello", "user_id": "application"}
        assert httpx2.post(f"{status['morgan']}/api/text", json=body, timeout=30).json()["text"]
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(30) == 0
