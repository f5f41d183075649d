"""Stock Python clients with nothing changed but where they call, against the server of `tests.server.attentive`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession

from tests.e2e.realtime_client import sound
from tests.media.calls import until
from tests.server.attentive import HEARD, attentive_server

CLIPS = Path(__file__).parent.parent / "clips"

pytestmark = pytest.mark.timeout(300)

cities: list[str] = []


@function_tool
def weather(city: str) -> str:
    """The weather of a city, now."""
    cities.append(city)
    return "it is 21 degrees"


@contextlib.asynccontextmanager
async def microphone(session: RealtimeSession) -> AsyncIterator[Callable[[bytes], None]]:
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
    question, more = (sound(CLIPS / f"{name}.wav").tobytes() for name in ("question", "interruption"))
    told: list[Any] = []
    async with attentive_server(tmp_path) as server:
        agent = RealtimeAgent(name="Test", instructions="Be brief.", tools=[weather])
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
