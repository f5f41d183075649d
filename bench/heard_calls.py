"""Each clip said in a WebRTC call of its own: what the server understood, and whether and when it answered.

Opus, jitter and turn-taking lie between the clip and the engine, and some faults show over them alone.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import aiohttp

from bench.hearing_figures import errors_of
from bench.real_clips import RealClip
from bench.voice_to_voice import percentile
from bench.word_errors import BY_CHARACTER, is_doubled, total
from server.cli.call import RATE, read_audio, speech_tail_s
from server.client.caller import Caller, CallFailedError

SETTLE_S: Final = 0.6
"""Quiet before a clip: a caller does not speak into the click of the connection."""

ANSWER_S: Final = 15.0
"""A turn that is not answered after so long is not answered."""

QUIET_S: Final = 5.0
"""As long a noise is waited for: there is to be no answer."""

WORDS_S: Final = 3.0
"""The transcript may come so much later than the first sound of the answer."""

Json = dict[str, Any]


@dataclass(slots=True)
class HeardInCall:
    """A clip and what came of it.

    Attributes:
        clip: this one.
        text: what was understood, all turns together.
        gap_s: from the last sound of the clip to the first one heard; None where nothing was heard.
        failed: why there was no call; empty where there was.
    """

    clip: RealClip
    text: str = ""
    gap_s: float | None = None
    failed: str = ""


async def call_with(http: aiohttp.ClientSession, url: str, clip: RealClip) -> HeardInCall:
    """Place a call, say the clip, wait for the answer, hang up."""
    heard = HeardInCall(clip)
    pcm = read_audio(clip.path)
    async with Caller() as caller:
        body = {"sdp": await caller.offer(), "type": "offer", "user_id": "bench"}
        async with http.post(f"{url}/api/calls", json=body) as response:
            if response.status != 201:
                heard.failed = f"refused: {response.status}"
                return heard
            opened = await response.json()
        try:
            await caller.accept(opened["sdp"])
            await caller.channel_open()
            await asyncio.sleep(SETTLE_S)
            spoken = await caller.say(pcm, RATE)
            end = spoken.last - speech_tail_s(pcm)
            with contextlib.suppress(CallFailedError):
                first = await caller.wait_for_sound(end, QUIET_S if clip.noise else ANSWER_S)
                heard.gap_s = first - end
            if heard.gap_s is not None and not transcript_of(caller.messages):
                with contextlib.suppress(CallFailedError):
                    await caller.wait_for_message(lambda text: bool(transcript_of([(0.0, text)])), WORDS_S)
            heard.text = transcript_of(caller.messages)
        except CallFailedError as error:
            heard.failed = str(error)
        finally:
            with contextlib.suppress(aiohttp.ClientError):
                await http.delete(f"{url}/api/calls/{opened['call_id']}")
    return heard


def transcript_of(messages: Sequence[tuple[float, str]] | Any) -> str:
    """What the server says was said: the last word on each turn, in order."""
    said: dict[str, str] = {}
    for _, text in messages:
        event = json.loads(text)
        if event["type"] == "conversation.item.input_audio_transcription.completed":
            said[event["item_id"]] = event["transcript"].strip()
    return " ".join(text for text in said.values() if text)


async def call_with_all(
    clips: Sequence[RealClip],
    url: str,
    headers: Mapping[str, str],
    told: Callable[[int, RealClip], None] = lambda _number, _clip: None,
) -> list[HeardInCall]:
    """All clips, one call after the other."""
    heard = []
    async with aiohttp.ClientSession(headers=headers) as http:
        for number, clip in enumerate(clips):
            told(number, clip)
            heard.append(await call_with(http, url, clip))
    return heard


def call_figures(heard: Sequence[HeardInCall]) -> Json:
    """Everything that is counted, as JSON."""
    spoken = [each for each in heard if each.clip.spoken]
    gaps = [1000 * each.gap_s for each in spoken if each.gap_s is not None]
    kinds = {
        "english": [each for each in spoken if each.clip.language == "en"],
        "others": [each for each in spoken if each.clip.language not in BY_CHARACTER | {"en"}],
        "characters": [each for each in spoken if each.clip.language in BY_CHARACTER],
    }
    return {
        "clips": len(heard),
        "with_words": len(spoken),
        "answered": len(gaps),
        "unanswered": {each.clip.name: each.failed or each.text or "-" for each in spoken if each.gap_s is None},
        "empty": [each.clip.name for each in spoken if not each.text],
        "doubled": [one.clip.name for one in spoken if is_doubled(one.clip.transcript, one.text, one.clip.language)],
        "errors": {kind: total(errors_of(one.clip, one.text) for one in group).rate for kind, group in kinds.items()},
        "p50_ms": round(percentile(gaps, 0.5)) if gaps else None,
        "p95_ms": round(percentile(gaps, 0.95)) if gaps else None,
        "invented": {each.clip.name: each.text for each in heard if each.clip.noise and each.text},
        "noises": sum(each.clip.noise for each in heard),
    }


def call_details(heard: Sequence[HeardInCall]) -> list[Json]:
    """Clip by clip, for the JSON file."""
    return [
        {**asdict(each), "clip": each.clip.name, "transcript": each.clip.transcript, "tags": sorted(each.clip.tags)}
        for each in heard
    ]


def broken_in_calls(found: Mapping[str, Any]) -> list[str]:
    """What of the figures is out of bounds, in words: every clip with words is heard once, and answered."""
    kinds = {"unanswered": "not answered", "empty": "empty", "doubled": "doubled"}
    return [f"{len(found[kind])} {word}: {', '.join(found[kind])}" for kind, word in kinds.items() if found[kind]]
