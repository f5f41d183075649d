"""Two hundred clients send the worst of each kind at once while two calls talk: what does it cost, and does it stay?

    python -m bench.abuse [--clients 200] [--seconds 30] [--calls 2]

Starts a server of ours, whose language model is a quick one on loopback. The calls talk alone for a while, then beside
the clients, each from an address of loopback of its own, then the clients are gone. Prints a table: memory of the
server and its processes, ticks of the 20 ms clock that came more than 20 ms late, turns answered, what the clients were
answered. Ends with 1 if memory grew by more than `MOST_GROWN_MB`, a turn was not answered, or more than
`MOST_KEPT_MB` were kept. (Ticks mean little on a machine that does something else.)
"""

import argparse
import asyncio
import base64
import contextlib
import gzip
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from aioice import stun
from rich.console import Console
from rich.table import Table

from bench.broken_upstream import BrokenUpstream
from bench.chaos import ANSWER_S, START_S, Talk, call_to
from bench.own_server import OwnServer
from media.rtp import RtpPacket
from media.upstream.stock import send_past_diversion
from server.client.caller import Caller, CallFailedError

MOST_GROWN_MB = 150.0
MOST_KEPT_MB = 50.0
REST_S = 20.0
"""After which all that was taken is to have been given back."""

MEGABYTE = 1 << 20
BOMB = gzip.compress(b" " * (512 * MEGABYTE), 9)
FLAC_AT_1_HZ = (
    b"fLaC\x80\0\0\x22" + struct.pack(">HH", 4096, 4096) + bytes(6) + (1 << 44 | 15 << 36 | 60).to_bytes(8) + bytes(16)
)
NESTED = b'{"type":"audio","data":' + b"[" * 500_000
WORST_TEXTS = ("a_", "1a", "http://a)", "1-800-", "<a =", "Henry I ", "[ ", "=\n")
ATTACKS_S = 0.05
"""Between two requests of a client."""


@dataclass
class Client:
    """Somebody who means no good.

    Attributes:
        http: from an address of their own.
        address: which.
        port: first of the server's.
        media_port: of its UDP socket.
        dice: of their own.
        answers: what they were answered, all together.
    """

    http: aiohttp.ClientSession
    address: str
    port: int
    media_port: int
    dice: random.Random
    answers: Counter[str]

    def url(self, path: str, offset: int = 0) -> str:
        """Of a route of one of the server's ports."""
        return f"http://127.0.0.1:{self.port + offset}{path}"

    async def post(self, path: str, data: object, offset: int = 0, encoding: str | None = None) -> None:
        """Send a form, or a body that says that it is JSON, and read what is answered."""
        headers = {} if isinstance(data, aiohttp.FormData) else {"Content-Type": "application/json"}
        if encoding:
            headers["Content-Encoding"] = encoding
        async with self.http.post(self.url(path, offset), data=data, headers=headers) as response:
            await response.read()
            self.answers[str(response.status)] += 1


Attack = Callable[[Client], Awaitable[None]]


async def bombs(client: Client) -> None:
    """Compressed bodies that are a thousand times as long, and a sound file at one sample a second."""
    if client.dice.random() < 0.5:
        await client.post("/api/text", BOMB, encoding="gzip")
    form = aiohttp.FormData()
    form.add_field("model", "whisper-1")
    form.add_field("file", FLAC_AT_1_HZ, filename="a.flac")
    await client.post("/v1/audio/transcriptions", form)


async def slow_bodies(client: Client) -> None:
    """A byte now and then."""
    _, writer = await asyncio.open_connection("127.0.0.1", client.port, local_addr=(client.address, 0))
    try:
        writer.write(b"POST /api/text HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(600):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.5)
    finally:
        writer.transport.abort()


async def nested(client: Client) -> None:
    """JSON that nests without end, on every kind of socket, and in bodies."""
    await client.post("/api/text", NESTED[:60_000])
    await client.post("/v1/chat/completions", NESTED)
    for path in ("/ws/audio", "/v1/realtime?model=m"):
        async with client.http.ws_connect(client.url(path)) as socket:
            for _ in range(20):
                await socket.send_bytes(bytes(3)) if client.dice.random() < 0.3 else await socket.send_str(
                    NESTED.decode()
                )
                with contextlib.suppress(TimeoutError):
                    message = await socket.receive(timeout=0.2)
                    client.answers[f"socket {message.type.name.lower()}"] += 1


async def long_texts(client: Client) -> None:
    """Texts that take the longest to read, to be said and to be answered."""
    text = (client.dice.choice(WORST_TEXTS) * 16_000)[:16_000]
    body = json.dumps({"model": "tts-1", "input": text, "voice": "alloy"}).encode()
    await client.post("/v1/audio/speech", body)
    await client.post("/api/text", json.dumps({"text": text, "user_id": client.address}))


async def silence(client: Client) -> None:
    """Sockets that say nothing."""
    held = [
        await asyncio.open_connection(
            "127.0.0.1", client.port + client.dice.randrange(4), local_addr=(client.address, 0)
        )
        for _ in range(4)
    ]
    try:
        await asyncio.sleep(10)
    finally:
        for _, writer in held:
            writer.transport.abort()


async def half_open_calls(client: Client) -> None:
    """Offers that nobody means."""
    async with Caller() as caller:
        offer = json.dumps({"sdp": await caller.offer(), "type": "offer", "user_id": client.address})
    for _ in range(20):
        await client.post("/api/calls", offer)
        await asyncio.sleep(ATTACKS_S)


async def datagrams(client: Client) -> None:
    """STUN, DTLS and RTP that nobody waits for."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=(client.address, 0), remote_addr=("127.0.0.1", client.media_port)
    )
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    request.attributes["USERNAME"] = "nobody:abcd"
    request.add_message_integrity(b"not the password")
    try:
        for _ in range(100):
            transport.sendto(bytes(request))
            transport.sendto(b"\x80\x60" + client.dice.randbytes(200))
            transport.sendto(b"\x16\xfe\xff" + client.dice.randbytes(200))
            await asyncio.sleep(0.01)
    finally:
        transport.close()


async def foreign_streams(client: Client) -> None:
    """A call whose packets are of a thousand streams, and whose data channel tells of a thousand items."""
    async with Caller() as caller:
        offer = {"sdp": await caller.offer(), "type": "offer", "user_id": client.address}
        async with client.http.post(client.url("/api/calls"), json=offer) as response:
            client.answers[str(response.status)] += 1
            if response.status != 201:
                return
            opened = await response.json()
        await caller.accept(opened["sdp"])
        await caller.channel_open()
        item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x" * 15_000}]}
        told = json.dumps({"type": "conversation.item.create", "item": item})
        for ssrc in range(1000):
            packet = RtpPacket(96, False, 1, 960, 0x10_0000 + ssrc, b"x" * 40).serialize()
            await send_past_diversion(caller._sender().transport, packet)
            with contextlib.suppress(CallFailedError):
                caller.send(told)
            await asyncio.sleep(0.005)


async def sounds(client: Client) -> None:
    """Long silences in base64, to be transcribed as streams that are left alone."""
    async with client.http.post(client.url("/stream/start", 3), json={"language": "en"}) as response:
        client.answers[str(response.status)] += 1
        if response.status != 200:
            return
        session = (await response.json())["session_id"]
    body = json.dumps({"audio_data": base64.b64encode(bytes(960_000)).decode()})
    for _ in range(5):
        await client.post(f"/stream/{session}/chunk", body, 3)


ATTACKS: tuple[Attack, ...] = (
    *(bombs, slow_bodies, nested, long_texts, silence, half_open_calls, datagrams, foreign_streams, sounds),
)


@dataclass
class Phase:
    """What was seen in one part of the run.

    Attributes:
        name: of it.
        memory_mb: the most that the server and its processes held.
        late: ticks more than 20 ms late.
        turns_s: seconds to the first sound of an answer, of each turn.
    """

    name: str
    memory_mb: float = 0.0
    late: int = 0
    turns_s: list[float] = field(default_factory=list)


class Watch:
    """Memory and lateness of a server."""

    def __init__(self, server: OwnServer, http: aiohttp.ClientSession) -> None:
        self._process = psutil.Process(server.pid)
        self._url = server.url
        self._http = http

    def memory_mb(self) -> float:
        """Of the server and the processes that decode for it; what they share counts once."""
        held = 0
        for process in [self._process, *self._process.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                if "python" in process.name():
                    held += process.memory_full_info().pss
        return held / MEGABYTE

    async def late_ticks(self) -> int:
        """Since the start."""
        async with self._http.get(f"{self._url}/metrics") as response:
            found = re.search(r"^morgan_media_late_ticks_total (\S+)", await response.text(), re.MULTILINE)
        return int(float(found[1])) if found else 0

    async def phase(self, name: str, talks: Sequence[Talk], seconds: float) -> Phase:
        """Let the calls talk for a while."""
        phase, late, until = Phase(name), await self.late_ticks(), time.monotonic() + seconds

        async def talk(one: Talk) -> None:
            while time.monotonic() < until:
                phase.turns_s.append(await one.turn(aloud=len(phase.turns_s) % 3 == 2))

        async def look() -> None:
            while True:
                phase.memory_mb = max(phase.memory_mb, await asyncio.to_thread(self.memory_mb))
                await asyncio.sleep(0.5)

        looking = asyncio.create_task(look())
        try:
            await asyncio.gather(*map(talk, talks))
        finally:
            looking.cancel()
        phase.late = await self.late_ticks() - late
        return phase


async def attacking(client: Client, attack: Attack) -> None:
    """Do it again and again."""
    while True:
        try:
            async with asyncio.timeout(60):
                await attack(client)
        except (aiohttp.ClientError, CallFailedError, OSError, TimeoutError, KeyError) as error:
            client.answers[type(error).__name__] += 1
        await asyncio.sleep(ATTACKS_S)


async def attack_all(port: int, media_port: int, clients: int) -> Counter[str]:
    """Every client in this process, until it is told to end; what they were answered."""
    # They are elsewhere in truth, and take no processor time from the server and the calls.
    os.nice(19)
    answers, over = Counter[str](), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    async with contextlib.AsyncExitStack() as stack:
        tasks = []
        for number in range(clients):
            address = f"127.0.{1 + number // 250}.{1 + number % 250}"
            connector = aiohttp.TCPConnector(local_addr=(address, 0))
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            client = Client(session, address, port, media_port, random.Random(number), answers)
            tasks.append(asyncio.create_task(attacking(client, ATTACKS[number % len(ATTACKS)])))
        await over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return answers


async def run(folder: Path, clients: int, seconds: float, calls: int) -> tuple[list[Phase], Counter[str]]:
    """Before, during, after; and what the clients were answered."""
    upstream, answers = BrokenUpstream(), Counter[str]()
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(upstream.serving())
        server = OwnServer(folder, MORGAN_LLM_BASE_URL=upstream.url, MORGAN_LLM_MODEL="m", MORGAN_LLM_ENGINE="openai")
        await server.start(START_S)
        stack.push_async_callback(server.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with http.get(f"{server.url}/health") as response:
            media_port = (await response.json())["media"]["port"]
        talks = []
        for number in range(calls):
            caller, _ = await stack.enter_async_context(
                call_to(http, server.url, f"talker-{number}", str(uuid.uuid4()))
            )
            talks.append(Talk(caller, random.Random(number)))
        watch = Watch(server, http)
        await watch.phase("warm-up", talks, 5)
        phases = [await watch.phase("before", talks, seconds / 2)]
        attack = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.abuse", "--clients", str(clients)),
            *("--attack", f"{server.port}:{media_port}"),
            stdout=subprocess.PIPE,
        )
        try:
            phases.append(await watch.phase("during", talks, seconds))
        finally:
            attack.terminate()
        told, _ = await attack.communicate()
        answers.update(json.loads(told or b"{}"))
        await asyncio.sleep(REST_S)
        phases.append(await watch.phase("after", talks, seconds / 2))
    return phases, answers


def table(phases: Sequence[Phase]) -> Table:
    """The phases, for people."""
    shown = Table("", "memory, MiB", "late ticks", "turns", "answered", "longest s")
    for phase in phases:
        answered = sum(s < float("inf") for s in phase.turns_s)
        longest = max((s for s in phase.turns_s if s < float("inf")), default=0.0)
        turns = str(len(phase.turns_s))
        shown.add_row(phase.name, f"{phase.memory_mb:.0f}", str(phase.late), turns, str(answered), f"{longest:.2f}")
    return shown


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--calls", type=int, default=2)
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        port, media_port = map(int, options.attack.split(":"))
        print(json.dumps(asyncio.run(attack_all(port, media_port, options.clients))))
        return
    with tempfile.TemporaryDirectory() as folder:
        phases, answers = asyncio.run(run(Path(folder), options.clients, options.seconds, options.calls))
    console = Console()
    console.print(table(phases))
    console.print("the clients were answered: " + ", ".join(f"{n} x {what}" for what, n in answers.most_common()))
    before, during, after = phases
    turns = [seconds for phase in phases for seconds in phase.turns_s]
    good = (
        during.memory_mb - before.memory_mb <= MOST_GROWN_MB
        and after.memory_mb - before.memory_mb <= MOST_KEPT_MB
        and max(turns, default=ANSWER_S) < float("inf")
    )
    sys.exit(not good)


if __name__ == "__main__":
    main()
