"""Places real WebRTC calls to any of the compared servers and measures what the caller hears.

Voice to voice = wall time from sending the last sample of the caller's speech to the arrival of the first RTP packet
whose decoded audio is louder than -45 dBFS. Packets are stamped on arrival, before any jitter buffer of the caller.

It shares no code with Morgan: stock aiortc, and ffmpeg to read files. Prints one JSON line.

    python -m bench.peers.caller PEER URL WAV... [--calls N] [--rounds K] [--barge] [--loss P] [--pid PID]

PEER is morgan (POST /api/calls), realtime (POST /v1/realtime/calls), pipecat or fastrtc. Call number i says clip
number i; for several clips from one caller, run it once for each.
"""

import argparse
import asyncio
import contextlib
import fractions
import json
import os
import random
import subprocess
import time
import uuid
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

RATE, STEP = 48000, 960
AUDIBLE_DBFS = -45
PEERS = ("morgan", "pipecat", "fastrtc", "realtime")
PATHS = {"morgan": "/api/calls", "pipecat": "/api/offer", "fastrtc": "/webrtc/offer"}

Pcm = NDArray[np.int16]


class Clip(NamedTuple):
    """48 kHz mono, and the samples where its speech begins and ends."""

    pcm: Pcm
    first: int
    last: int


class Packet(NamedTuple):
    """An RTP packet as it arrived, `time.perf_counter()` seconds."""

    at: float
    sequence: int
    timestamp: int
    payload: bytes


class Sound(NamedTuple):
    """A decoded packet: arrival, level, seconds of audio."""

    at: float
    dbfs: float
    seconds: float


def load(path: str) -> Clip:
    """Read any audio file."""
    command = ["ffmpeg", "-loglevel", "error", "-i", path, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    pcm = np.frombuffer(raw, np.int16).copy()
    frames = pcm[: len(pcm) // 480 * 480].reshape(-1, 480).astype(np.float32)
    rms = np.sqrt((frames**2).mean(1))
    speech = np.nonzero(rms > max(float(rms.max()) * 0.03, 60.0))[0]
    return Clip(pcm, int(speech[0]) * 480, (int(speech[-1]) + 1) * 480)


class Say(MediaStreamTrack):
    """20 ms frames of faint room noise with the clip mixed in at each of the given instants (seconds since start)."""

    kind = "audio"

    def __init__(self, pcm: Pcm) -> None:
        super().__init__()
        self.pcm = pcm
        self.plays: list[int] = []
        self.frames = 0
        self.start: float | None = None
        self.sent: dict[int, float] = {}

    def now(self) -> float:
        """Seconds of sound that were sent."""
        return self.frames * STEP / RATE

    def play(self, delay: float = 0.04) -> int:
        """Say the clip; the sample at which it begins."""
        at = int((self.now() + delay) * RATE)
        self.plays.append(at)
        return at

    async def recv(self) -> av.AudioFrame:
        """The next frame, on time."""
        if self.start is None:
            self.start = time.perf_counter()
        wait = self.start + self.frames * 0.02 - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        sample = self.frames * STEP
        out = (np.random.randn(STEP) * 10).astype(np.int16)
        for at in self.plays:
            offset = sample - at
            if -STEP < offset < len(self.pcm):
                begin, end = max(offset, 0), min(offset + STEP, len(self.pcm))
                out[begin - offset : end - offset] += self.pcm[begin:end]
        self.sent[sample] = time.perf_counter()
        frame = av.AudioFrame.from_ndarray(out[None, :], layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, sample, fractions.Fraction(1, RATE)
        self.frames += 1
        return frame

    def wall(self, sample: int) -> float:
        """When a sample was sent."""
        assert self.start is not None
        frame = sample // STEP * STEP
        return self.start + frame / RATE if frame not in self.sent else self.sent[frame]


arrivals: dict[int, list[Packet]] = {}
original = RTCRtpReceiver._handle_rtp_packet


async def handle(self: RTCRtpReceiver, packet: RtpPacket, arrival_time_ms: int) -> None:
    """Stamp a packet in front of aiortc's own jitter buffer."""
    log = arrivals.get(id(self))
    if log is not None and packet.payload:
        log.append(Packet(time.perf_counter(), packet.sequence_number, packet.timestamp, packet.payload))
    await original(self, packet, arrival_time_ms)


def loudness(log: list[Packet]) -> list[Sound]:
    """The sound of each packet, decoded in the order of arrival."""
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = RATE, "stereo"
    heard = []
    for packet in log:
        with contextlib.suppress(Exception):
            for frame in decoder.decode(av.Packet(packet.payload)):
                audio: NDArray[Any] = frame.to_ndarray().astype(np.float32)
                if frame.format.name.startswith("s16"):
                    audio = audio / 32768
                level = 20 * np.log10(np.sqrt((audio**2).mean()) + 1e-9)
                heard.append(Sound(packet.at, float(level), frame.samples / RATE))
    return heard


class Call:
    """One caller, who asks the same question again and again."""

    def __init__(self, options: argparse.Namespace, clip: Clip) -> None:
        self.options, self.clip = options, clip
        self.track = Say(clip.pcm)
        self.events: list[tuple[float, Any]] = []
        self.log: list[Packet] = []
        self.connect_s = 0.0
        self.drains: list[asyncio.Task[None]] = []
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def connect(self, http: aiohttp.ClientSession) -> None:
        """Place the call and wait until the connection stands."""
        label = "oai-events" if self.options.peer in ("morgan", "realtime") else "chat"
        channel = self.pc.createDataChannel(label)
        channel.on("message", lambda message: self.events.append((time.perf_counter(), message)))
        sender = self.pc.addTransceiver("audio", "sendrecv").sender
        sender.replaceTrack(self.track)
        began = time.perf_counter()
        await self.pc.setLocalDescription(await self.pc.createOffer())
        answer = await self.signal(http, self.pc.localDescription.sdp)
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        receiver = self.pc.getTransceivers()[0].receiver
        self.log = arrivals.setdefault(id(receiver), [])
        self.drains.append(asyncio.ensure_future(self.drain(receiver.track)))
        while self.pc.connectionState != "connected":
            if time.perf_counter() - began > 20:
                raise TimeoutError("no connection in 20 s")
            await asyncio.sleep(0.005)
        self.connect_s = time.perf_counter() - began
        if self.options.loss:
            self.lose(sender.transport)

    async def signal(self, http: aiohttp.ClientSession, offer: str) -> str:
        """Hand the offer over as this peer wants it; its answer."""
        peer, url = self.options.peer, self.options.url
        headers = {"Authorization": f"Bearer {self.options.token}"} if self.options.token else {}
        if peer == "realtime":
            headers["Content-Type"] = "application/sdp"
            async with http.post(url + "/v1/realtime/calls", data=offer, headers=headers) as response:
                assert response.status == 201, (response.status, await response.text())
                return await response.text()
        body = {"sdp": offer, "type": "offer"}
        if peer == "fastrtc":
            body["webrtc_id"] = uuid.uuid4().hex
        if peer == "morgan":
            body["user_id"] = "bench"
        async with http.post(url + PATHS[peer], json=body, headers=headers) as response:
            assert response.status in (200, 201), (response.status, await response.text())
            return str((await response.json())["sdp"])

    def lose(self, dtls: Any) -> None:
        """Lose a share of the packets that are sent from now on."""
        send = dtls._send_rtp

        async def lossy(data: bytes) -> None:
            if random.random() >= self.options.loss:
                await send(data)

        dtls._send_rtp = lossy

    async def drain(self, track: MediaStreamTrack) -> None:
        """Take what comes, as a player would."""
        with contextlib.suppress(Exception):
            while True:
                await track.recv()

    async def run(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        """The whole call; its rounds, and what was heard."""
        options, rounds = self.options, []
        await self.connect(http)
        await asyncio.sleep(options.settle + random.random() * options.onset)
        for _ in range(options.rounds):
            rounds.append(await self.ask())
            await asyncio.sleep(0.5 + random.random() * options.onset)
        heard = loudness(self.log)
        gaps = sum(1 for one, other in pairwise(heard) if other.at - one.at > 0.06)
        await self.pc.close()
        audible = sum(sound.seconds for sound in heard if sound.dbfs > AUDIBLE_DBFS)
        return {"connect": self.connect_s, "rounds": rounds, "heard_s": audible, "late_gaps": gaps}

    async def ask(self) -> dict[str, float | None]:
        """One question, and its answer to the end or interrupted."""
        at = self.track.play()
        await asyncio.sleep(len(self.clip.pcm) / RATE + 0.1)
        end = self.track.wall(at + self.clip.last)
        first = await self.wait_audio(end, self.options.timeout)
        record: dict[str, float | None] = {"v2v": first - end if first else None}
        if self.options.barge and first:
            record["barge_stop"] = await self.interrupt()
        else:
            await self.wait_quiet(self.options.timeout)
        return record

    async def interrupt(self) -> float:
        """Speak over the answer; seconds from the first sample of it to the answer's last sound."""
        await asyncio.sleep(0.6)
        at = self.track.play()
        await asyncio.sleep(0.06)
        begin = self.track.wall(at + self.clip.first)
        await asyncio.sleep(3.0)
        loud = [sound for sound in loudness(self.log) if sound.at > begin - 0.3 and sound.dbfs > AUDIBLE_DBFS]
        silent = begin
        for sound in loud:
            if sound.at - silent > 0.35 and sound.at > begin:
                break
            silent = max(silent, sound.at + sound.seconds)
        return silent - begin

    async def wait_audio(self, since: float, timeout: float) -> float | None:
        """Arrival of the first audible packet after an instant; None when none comes in time."""
        while time.perf_counter() - since < timeout:
            await asyncio.sleep(0.1)
            for sound in loudness(self.log[-600:]):
                if sound.at > since and sound.dbfs > AUDIBLE_DBFS:
                    return sound.at
        return None

    async def wait_quiet(self, timeout: float) -> None:
        """Wait until nothing was heard for 1.5 s."""
        began = time.perf_counter()
        while time.perf_counter() - began < timeout:
            await asyncio.sleep(0.3)
            now = time.perf_counter()
            if not any(s.dbfs > AUDIBLE_DBFS and s.at > now - 1.5 for s in loudness(self.log[-200:])):
                return


def tree(pid: int) -> list[int]:
    """A process and all that it started."""
    found, todo = [], [pid]
    while todo:
        pid = todo.pop()
        found.append(pid)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and all that it started (Linux)."""
    total = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def rss_mb(pid: int) -> float:
    """Resident memory of a process and all that it started (Linux)."""
    total = 0.0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * 4096 / 2**20
    return total


def milliseconds(values: list[float], percent: float) -> int | None:
    """A percentile; None of nothing."""
    return round(1000 * float(np.percentile(values, percent))) if values else None


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("url")
    parser.add_argument("wav", nargs="+")
    parser.add_argument("--calls", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--barge", action="store_true", help="speak over every answer")
    parser.add_argument("--loss", type=float, default=0, help="share of packets that are lost on the way there")
    parser.add_argument("--onset", type=float, default=0.6, help="questions come up to this many seconds late")
    parser.add_argument("--settle", type=float, default=2.5, help="seconds before the first question")
    parser.add_argument("--timeout", type=float, default=15, help="seconds after which no answer is expected")
    parser.add_argument("--pid", type=int, help="of the server, for its processor time and memory")
    parser.add_argument("--token", default=os.environ.get("MORGAN_TOKEN"))
    parser.add_argument("--json", action="store_true", help="as it is printed anyway")
    return parser.parse_args()


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All calls at once; what the JSON line says."""
    clips = [load(path) for path in options.wav]
    cpu, began = cpu_seconds(options.pid) if options.pid else 0.0, time.perf_counter()
    async with aiohttp.ClientSession() as http:
        calls = [Call(options, clips[number % len(clips)]).run(http) for number in range(options.calls)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    done = [result for result in results if isinstance(result, dict)]
    gaps = [each["v2v"] for call in done for each in call["rounds"] if each["v2v"]]
    report = {
        "peer": options.peer,
        "calls": options.calls,
        "failed": [repr(result) for result in results if not isinstance(result, dict)],
        "asked": sum(len(call["rounds"]) for call in done),
        "answered": len(gaps),
        "v2v_p50_ms": milliseconds(gaps, 50),
        "v2v_p95_ms": milliseconds(gaps, 95),
        "v2v_ms": [round(1000 * gap) for gap in gaps],
        "connect_p50_ms": milliseconds([call["connect"] for call in done], 50),
        "late_gaps": sum(call["late_gaps"] for call in done),
    }
    stops = [r["barge_stop"] for call in done for r in call["rounds"] if r.get("barge_stop") is not None]
    if stops:
        report |= {"barge_p50_ms": milliseconds(stops, 50), "barge_max_ms": milliseconds(stops, 100)}
    if options.pid:
        report["cpu_s"] = round(cpu_seconds(options.pid) - cpu, 1)
        report["wall_s"] = round(time.perf_counter() - began, 1)
        report["rss_mb"] = round(rss_mb(options.pid))
    return report


def main() -> None:
    """Command line."""
    RTCRtpReceiver._handle_rtp_packet = handle  # type: ignore[method-assign]
    print(json.dumps(asyncio.run(measure(parse()))))


if __name__ == "__main__":
    main()
