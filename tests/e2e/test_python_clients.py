"""Stock Python clients with nothing changed but where they call, against the server of `tests.server.attentive`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.python_clients import run_client
from tests.e2e.realtime_client import sound
from tests.media.calls import until
from tests.server.attentive import HEARD, attentive_server

if TYPE_CHECKING:
    from agents.realtime import RealtimeSession

CLIPS = Path(__file__).parent.parent / "clips"

pytestmark = pytest.mark.timeout(300)

cities: list[str] = []


def weather(city: str) -> str:
    """The weather of a city, now."""
    cities.append(city)
    return "it is 21 degrees"


@contextlib.asynccontextmanager
async def microphone(session: "RealtimeSession") -> AsyncIterator[Callable[[bytes], None]]:
    """A microphone that is on: what it is given it says in real time, and silence for the rest."""
    waiting = bytearray()

    async def speak() -> None:
        while True:
            piece = bytes(waiting[:4800])
            del waiting[:4800]
            await session.send_audio(piece.ljust(4800, b"\0"))
            await asyncio.sleep(0.1)

    task = asyncio.create_task(speak())
    try:
        yield waiting.extend
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_openai_agents_over_a_websocket(tmp_path: Path) -> None:
    """It validates every event with openai-python's types, and tells of what does not pass as an error."""
    # Not above: it takes seconds to load, also for those who collect this file for other tests.
    from agents import function_tool
    from agents.realtime import RealtimeAgent, RealtimeRunner

    question, more = (sound(CLIPS / f"{name}.wav").tobytes() for name in ("question", "interruption"))
    told: list[Any] = []
    async with attentive_server(tmp_path) as server:
        agent = RealtimeAgent(name="Test", instructions="Be brief.", tools=[function_tool(weather)])
        url = server.url.replace("http", "ws") + "/v1/realtime?model=x"
        session = await RealtimeRunner(agent).run(model_config={"url": url, "api_key": "none"})
        async with session, microphone(session) as say:

            async def listen() -> None:
                async for event in session:
                    told.append(event)  # noqa: PERF401 - it is looked at while it grows

            listening = asyncio.create_task(listen())

            def kinds() -> list[str]:
                return [event.type for event in told]

            say(question)
            await until(lambda: cities == ["Paris"])
            await until(lambda: kinds().count("audio") > 5)
            say(more)
            await until(lambda: "audio_interrupted" in kinds())
            await until(lambda: HEARD in str(told))
            assert "error" not in kinds(), [event for event in told if event.type == "error"]
            listening.cancel()
        await until(lambda: not server.registry.active)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A question and an interruption as PCM16 at 24 kHz."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("question", "interruption"):
        (folder / name).write_bytes(sound(CLIPS / f"{name}.wav").tobytes())
    return str(folder / "question"), str(folder / "interruption")


async def test_livekits_openai_plugin(clips: tuple[str, str], tmp_path: Path) -> None:
    async with attentive_server(tmp_path) as server:
        told = await run_client("livekit_session.py", f"{server.url}/v1", *clips)
    assert told["cities"] == ["Paris"]
    assert (told["errors"], told["complaints"]) == ([], [])
    kinds = [item.get("role", item["type"]) for item in told["items"]]
    # Asked, it calls its function, learns what came of it, and says so; then it is spoken over, and asked in writing.
    first = [kinds.index(kind) for kind in ("user", "function_call", "function_call_output", "assistant")]
    assert first == sorted(first)
    assert HEARD in told["items"][first[0]]["content"][0]
    assert "The tool says it is 21 degrees" in told["items"][first[3]]["content"][0]
    assert kinds.count("assistant") > 2
    # Of some twenty seconds it played what there was until somebody spoke.
    assert told["played_s"][0] < 15


async def test_pipecats_openai_realtime_service(clips: tuple[str, str], tmp_path: Path) -> None:
    async with attentive_server(tmp_path) as server:
        told = await run_client("pipecat_session.py", server.url.replace("http", "ws") + "/v1/realtime", *clips)
    assert told["cities"] == ["Paris"]
    assert (told["errors"], told["complaints"]) == ([], [])
    # To it this is a race; after any error that it does not know it listens no more.
    assert told["gone"].startswith("Error retrieving item")
    assert told["items"][2]["content"] == '"it is 21 degrees"'
    assert "The tool says" in told["items"][3]["content"]
    assert HEARD in str(told["items"][4:])
