"""A voice agent of LiveKit on its openai plugin, with no room: it uses its tool, is interrupted, and asked in writing.

Runs in the environment of .ci/python-clients: livekit_session.py URL QUESTION INTERRUPTION, the last two being files
with PCM16 at 24 kHz. Prints what came of it as JSON.
"""

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import Agent, AgentSession, RunContext, function_tool
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities
from livekit.plugins import openai

RATE = 24_000
FRAME_S = 0.02
PATIENCE_S = 90.0
FRAME_BYTES = round(RATE * FRAME_S) * 2

cities: list[str] = []


class Microphone(AudioInput):
    """A microphone that is on: what it is given it says in real time, and silence for the rest."""

    def __init__(self) -> None:
        super().__init__(label="microphone")
        self._to_say = bytearray()
        self._began = 0.0
        self._frames = 0

    def say(self, sound: bytes) -> None:
        """Say something."""
        self._to_say += sound

    async def __anext__(self) -> rtc.AudioFrame:
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._frames * FRAME_S - time.monotonic()))
        self._frames += 1
        data = bytes(self._to_say[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        del self._to_say[:FRAME_BYTES]
        return rtc.AudioFrame(data, RATE, 1, FRAME_BYTES // 2)


class Loudspeaker(AudioOutput):
    """Plays in real time what it is given, and says how far it has got."""

    def __init__(self) -> None:
        super().__init__(label="loudspeaker", capabilities=AudioOutputCapabilities(pause=False), sample_rate=RATE)
        self.played: list[float] = []
        self._began: float | None = None
        self._got_s = 0.0
        self._end: asyncio.TimerHandle | None = None

    @property
    def played_s(self) -> float:
        """Of what is being played."""
        return 0.0 if self._began is None else min(self._got_s, time.monotonic() - self._began)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        """More to play."""
        await super().capture_frame(frame)
        if self._began is None:
            self._began = time.monotonic()
            self.on_playback_started(created_at=time.time())
        self._got_s += frame.duration

    def flush(self) -> None:
        """That was all of it."""
        super().flush()
        if self._began is not None:
            left = self._got_s - (time.monotonic() - self._began)
            self._end = asyncio.get_running_loop().call_later(max(0.0, left), self._stop, False)

    def clear_buffer(self) -> None:
        """Be silent."""
        if self._began is not None:
            self._stop(True)

    def _stop(self, interrupted: bool) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        played, self._began, self._got_s = self.played_s, None, 0.0
        self.played.append(played)
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class Complaints(logging.Handler):
    """What the packages of LiveKit warn of, where that is about what they are told by the server."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One more."""
        if record.levelno >= logging.ERROR or "_realtime" in record.pathname:
            self.told.append(self.format(record))


class Forecaster(Agent):
    """Has a tool."""

    def __init__(self) -> None:
        super().__init__(instructions="Be brief.")

    @function_tool
    async def weather(self, context: RunContext[Any], city: str) -> str:
        """The weather of a city, now.

        Args:
            city: which.
        """
        cities.append(city)
        return "it is 21 degrees"


async def until(condition: Callable[[], Any]) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain"
        await asyncio.sleep(0.02)


async def main(url: str, question: bytes, interruption: bytes) -> dict[str, Any]:
    """Talk."""
    complaints = Complaints()
    logging.getLogger("livekit").addHandler(complaints)
    microphone, loudspeaker, errors = Microphone(), Loudspeaker(), []
    model = openai.realtime.RealtimeModel(base_url=url, api_key="none", model="x")
    session: AgentSession[None] = AgentSession(llm=model, vad=None)
    session.input.audio, session.output.audio = microphone, loudspeaker
    session.on("error", lambda event: errors.append(str(event.error)))
    await session.start(Forecaster())
    microphone.say(question)
    await until(lambda: cities and loudspeaker.played_s > 1)
    microphone.say(interruption)
    # Whether its own interruption or the end of what Morgan sends comes first is a race, and no matter.
    await until(lambda: loudspeaker.played)
    # The interruption is answered in its turn.
    await until(lambda: loudspeaker.played_s > 0.5)
    await session.interrupt()
    await session.generate_reply(user_input="And in writing?")
    items = [item.model_dump(mode="json", exclude_none=True) for item in session.history.items]
    await session.aclose()
    await model.aclose()
    told = {"cities": cities, "played_s": loudspeaker.played, "errors": errors}
    return {**told, "complaints": complaints.told, "items": items}


if __name__ == "__main__":
    told = asyncio.run(main(sys.argv[1], *(Path(name).read_bytes() for name in sys.argv[2:4])))
    print(json.dumps(told))
