"""`morgan call`: a real WebRTC call from an audio file, with what was said, what was heard, and where the time went."""

import asyncio
import contextlib
import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import av
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from media.values import Pcm
from server.client.caller import Caller, CallFailedError

RATE = 48_000
QUIET_S = 1.2
"""Silence after a reply that counts as its end where the server does not say so."""

console = Console(stderr=True)


@dataclass(slots=True)
class CallReport:
    """What one call gave.

    Attributes:
        transcript: what Morgan understood.
        reply: what Morgan said.
        voice_to_voice_ms: from the last sample sent to the first audible packet, as measured here.
        server_ms: the same gap by the server's own account.
        stages: its parts by the server's account.
        connect_ms: from the offer to the connection.
        call_id: of the call.
        conversation_id: of the conversation.
    """

    transcript: str = ""
    reply: str = ""
    voice_to_voice_ms: float | None = None
    server_ms: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    connect_ms: float = 0.0
    call_id: str = ""
    conversation_id: str = ""


class CallError(Exception):
    """The call could not be placed or was not answered; the message is for people."""


def call(
    file: Annotated[Path, typer.Argument(help="Audio to speak: wav, flac, mp3, ogg, ...")],
    url: Annotated[str, typer.Option(envvar="MORGAN_URL", help="Where Morgan is.")] = "http://localhost:8000",
    out: Annotated[Path | None, typer.Option(help="Write what was heard to this WAV file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    user_id: Annotated[str, typer.Option(help="Who calls.")] = "morgan-call",
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the reply.")] = 30.0,
    record_inputs: Annotated[
        Path | None,
        typer.Option(
            help="Write what the server's call was told to this file, for `morgan replay`; it holds all words."
        ),
    ] = None,
) -> None:
    """Place a call, speak a file, wait for the reply."""
    try:
        speech = read_audio(file)
        placing = place_call(speech, url.rstrip("/"), user_id=user_id, timeout=timeout, inputs=record_inputs)
        report, heard = asyncio.run(placing)
    except (CallError, CallFailedError) as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    if out is not None:
        try:
            write_wav(out, heard)
        except OSError as error:
            console.print(f"{out} cannot be written: {error.strerror}", style="red", markup=False, soft_wrap=True)
            raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(asdict(report)))
    else:
        _show(report)


def read_audio(path: Path) -> Pcm:
    """Any audio file as 48 kHz mono, shape (n,).

    Raises:
        CallError: it is not there, or not audio.
    """
    if not path.is_file():
        raise CallError(f"{path}: there is no such file")
    parts: list[Pcm] = []
    resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(audio=0):
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise CallError(f"{path} cannot be read as audio: {getattr(error, 'strerror', error)}") from None
    if not parts or not sum(len(part) for part in parts):
        raise CallError(f"{path} holds no audio")
    return np.concatenate(parts).astype(np.int16)


def write_wav(path: Path, pcm: Pcm) -> None:
    """Write 48 kHz mono."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())


async def place_call(
    speech: Pcm, url: str, *, user_id: str = "morgan-call", timeout: float = 30.0, inputs: Path | None = None
) -> tuple[CallReport, Pcm]:
    """Call, speak, listen until the reply is over.

    Args:
        speech: 48 kHz mono.
        url: of the server.
        user_id: who calls.
        timeout: seconds to wait for the reply to begin, and for its end.
        inputs: where to write what the server's call was told; None for nowhere.

    Returns:
        The report, and what was heard at 48 kHz.

    Raises:
        CallError, server.client.caller.CallFailedError: it did not work; the message says at which point.
    """
    token = os.environ.get("MORGAN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    report = CallReport()
    async with aiohttp.ClientSession(headers=headers) as http, Caller() as caller:
        began = time.monotonic()
        opened = await _open(http, url, await caller.offer(), user_id, record_inputs=inputs is not None)
        report.call_id, report.conversation_id = opened["call_id"], opened["conversation_id"]
        try:
            await caller.accept(opened["sdp"])
            report.connect_ms = (time.monotonic() - began) * 1000
            await caller.channel_open()
            await asyncio.sleep(0.5)
            spoken = await caller.say(speech, RATE)
            first = await caller.wait_for_sound(spoken.last - speech_tail_s(speech), timeout)
            report.voice_to_voice_ms = (first - spoken.last + speech_tail_s(speech)) * 1000
            await _until_quiet(caller, timeout)
            _read_events(caller, report)
        finally:
            with contextlib.suppress(aiohttp.ClientError):
                await http.delete(f"{url}/api/calls/{report.call_id}")
        if inputs is not None:
            await _fetch_inputs(http, url, report, user_id, inputs)
        return report, caller.heard_pcm(RATE)


def speech_tail_s(speech: Pcm) -> float:
    """Seconds of silence behind the last sound of a clip: what the caller hears as the gap begins there."""
    frames = speech[: len(speech) // 480 * 480].reshape(-1, 480).astype(np.float32)
    if not len(frames):
        return 0.0
    rms = np.sqrt((frames**2).mean(1))
    loud = np.flatnonzero(rms > max(float(rms.max()) * 0.03, 60.0))
    return (len(speech) - (int(loud[-1]) + 1) * 480) / RATE if len(loud) else 0.0


async def _fetch_inputs(http: aiohttp.ClientSession, url: str, report: CallReport, user_id: str, path: Path) -> None:
    """Write down what the call was told."""
    address = f"{url}/api/conversations/{report.conversation_id}/inputs/{report.call_id}"
    try:
        async with http.get(address, params={"user_id": user_id}) as response:
            if response.status != 200:
                raise CallError(f"{url} has no inputs of the call ({response.status})")
            with path.open("wb") as file:
                async for piece in response.content.iter_any():
                    file.write(piece)
    except aiohttp.ClientError as error:
        raise CallError(f"The inputs of the call could not be fetched: {error}") from None
    except OSError as error:
        raise CallError(f"{path} cannot be written: {error.strerror}") from None


async def _open(
    http: aiohttp.ClientSession, url: str, offer: str, user_id: str, *, record_inputs: bool
) -> dict[str, Any]:
    body: dict[str, Any] = {"sdp": offer, "type": "offer", "user_id": user_id}
    if record_inputs:
        body["record_inputs"] = True
    try:
        async with http.post(f"{url}/api/calls", json=body) as response:
            answer: dict[str, Any] = await response.json(content_type=None)
            if response.status != 201:
                message = answer.get("error", {}).get("message", response.reason)
                raise CallError(f"{url} refused the call ({response.status}): {message}")
            return answer
    except aiohttp.ClientConnectorError:
        raise CallError(f"Nothing answers at {url}. Is `morgan serve` running?") from None
    except (aiohttp.ClientError, ValueError) as error:
        raise CallError(f"{url} does not answer like Morgan: {error}") from None


async def _until_quiet(caller: Caller, timeout: float) -> None:
    """Wait for the end of the reply: what the server says, or a while without sound."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        await asyncio.sleep(0.1)
        stopped = any(json.loads(text)["type"] == "output_audio_buffer.stopped" for _, text in caller.messages)
        last = caller.silent_since()
        if last is not None and time.monotonic() - last > (0.3 if stopped else QUIET_S):
            return


def _read_events(caller: Caller, report: CallReport) -> None:
    said: dict[str, str] = {}
    replies: dict[str, str] = defaultdict(str)
    for _, text in caller.messages:
        event = json.loads(text)
        match event["type"]:
            case "conversation.item.input_audio_transcription.completed":
                said[event["item_id"]] = event["transcript"]
            case "response.output_audio_transcript.delta":
                # Of a reply that is longer than was waited for, these are all.
                replies[event["item_id"]] += event["delta"]
            case "response.output_audio_transcript.done":
                replies[event["item_id"]] = event["transcript"]
            case "morgan.latency" if report.server_ms is None:
                report.server_ms, report.stages = event["voice_to_voice_ms"], event["stages"]
    report.transcript = " ".join(said.values())
    report.reply = " ".join(replies.values())


def _show(report: CallReport) -> None:
    output = Console()
    output.print(f"[bold]You[/bold]     {report.transcript or '(nothing was understood)'}", highlight=False)
    output.print(f"[bold]Morgan[/bold]  {report.reply or '(no words)'}", highlight=False)
    table = Table(title="Where the time went", title_justify="left", show_edge=False)
    table.add_column("stage")
    table.add_column("ms", justify="right")
    for name, ms in report.stages.items():
        table.add_row(name.replace("_", " "), f"{ms:.0f}")
    if report.server_ms is not None:
        table.add_row("sum, on the server", f"{report.server_ms:.0f}", style="bold")
    if report.voice_to_voice_ms is not None:
        table.add_row("voice to voice, heard here", f"{report.voice_to_voice_ms:.0f}", style="bold")
    table.add_row("connecting", f"{report.connect_ms:.0f}", style="dim")
    output.print(table)
