"""A recording spoken into a real call: which turns came out."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from server.cli.call import RATE, read_audio
from server.client.caller import Caller

LONGEST_WAIT_S = 3.0
"""Quiet after the recording behind which the last turn is surely over."""

ANSWERED_S = 30.0
"""Most that is waited for its answer to begin."""

LOOK_S = 0.1
"""Pause between two looks."""


@dataclass(frozen=True, slots=True)
class SpokenTurns:
    """The user's side of a call.

    Attributes:
        turns: final words of each turn, in order; what was taken up again is one turn.
        commits: how often a turn was taken as over.
    """

    turns: list[str]
    commits: int


async def speak(path: Path, url: str) -> SpokenTurns:
    """Call, speak the recording to its end, whatever is answered meanwhile.

    Args:
        path: of any audio file.
        url: of the server.

    Raises:
        CallError: the file is no audio.
        server.client.caller.CallFailedError: no connection.
        aiohttp.ClientError: nothing answers there.
    """
    speech = read_audio(path)
    async with aiohttp.ClientSession() as http, Caller() as caller:
        body = {"sdp": await caller.offer(), "type": "offer", "user_id": "bench-turns"}
        async with http.post(f"{url}/api/calls", json=body) as response:
            response.raise_for_status()
            opened = await response.json()
        try:
            await caller.accept(opened["sdp"])
            await caller.channel_open()
            await asyncio.sleep(0.5)
            await caller.say(speech, RATE)
            await _answered(caller)
        finally:
            await http.delete(f"{url}/api/calls/{opened['call_id']}")
        return _turns(caller)


async def _answered(caller: Caller) -> None:
    """Wait until the last turn is over and its answer has begun, or there is none to come."""
    await asyncio.sleep(LONGEST_WAIT_S)
    for _ in range(round(ANSWERED_S / LOOK_S)):
        if _state(caller) in ("speaking", "listening"):
            return
        await asyncio.sleep(LOOK_S)


def _state(caller: Caller) -> str:
    """What the call does, by the last that it told."""
    events = (json.loads(text) for _, text in reversed(caller.messages))
    return next((str(event["state"]) for event in events if event["type"] == "morgan.state"), "")


def _turns(caller: Caller) -> SpokenTurns:
    said: dict[str, str] = {}
    commits = 0
    for _, text in caller.messages:
        event = json.loads(text)
        if event["type"] == "conversation.item.input_audio_transcription.completed":
            said[event["item_id"]] = event["transcript"]
            commits += 1
    return SpokenTurns(list(said.values()), commits)
