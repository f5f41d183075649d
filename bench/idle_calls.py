"""What a connected, silent call costs the server, and what many calls leave behind.

    morgan bench idle [--calls 8] [--seconds 10] [--profile] [--media-only]
    morgan bench idle --churn 200

The server runs in this process, the callers (stock aiortc) in a child process: what is printed is the
server's alone. Everything is real: ICE, DTLS, SRTP, Opus and RTCP in both directions.
"""

import argparse
import asyncio
import cProfile
import functools
import gc
import json
import os
import pstats
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable

import psutil

from media.endpoint import MediaEndpoint
from media.upstream.event_loop import PunctualEventLoop
from media.values import AudioFrame, MediaConfig, PlayoutEvent
from pipeline.engines.protocols import Engines
from server.app import SWITCH_INTERVAL_S, Server
from server.calls.webrtc_line import open_webrtc
from server.engines.factory import build_engines
from server.observability.logs import configure_logs
from server.settings import load_settings

SETTLED_SHARE = 0.02
"""Of a core, below which a server without calls has settled,"""

SETTLE_LOOKS = 30
"""or after so many looks of 2 s."""


class Listener:
    """Does nothing with what it hears."""

    def on_connected(self) -> None: ...

    def on_audio(self, frame: AudioFrame) -> None: ...

    def on_channel_open(self) -> None: ...

    def on_message(self, text: str) -> None: ...

    def on_playout(self, event: PlayoutEvent) -> None: ...

    def on_key(self, key: str) -> None: ...

    def on_lost(self) -> None: ...

    def on_found(self) -> None: ...

    def on_closed(self, reason: str) -> None: ...


class Callers:
    """The child process: one JSON line per command and reply."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls) -> "Callers":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.idle_calls", "--callers", stdin=pipe, stdout=pipe, limit=1 << 20
        )
        return cls(process)

    async def ask(self, **command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        return str(json.loads(line))

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


async def run_callers() -> None:
    """The child: offers, accepts and hangs up as it is told on stdin."""
    from server.client.caller import Caller

    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    callers: list[Caller] = []
    while line := await reader.readline():
        command = json.loads(line)
        reply = "done"
        if command["do"] == "offer":
            callers.append(Caller())
            reply = await callers[-1].offer()
        elif command["do"] == "accept":
            await callers[-1].accept(command["answer"])
        elif command["do"] == "hangup":
            await callers.pop().close()
        print(json.dumps(reply), flush=True)
    await asyncio.gather(*(caller.close() for caller in callers))


class MediaOnly:
    """The media endpoint alone: what transport and codecs cost."""

    def __init__(self, endpoint: MediaEndpoint) -> None:
        self._endpoint = endpoint

    @classmethod
    async def start(cls) -> "MediaOnly":
        return cls(await MediaEndpoint.open(MediaConfig()))

    async def call(self, offer: str) -> tuple[str, Callable[[], Awaitable[object]]]:
        """Take a call; the answer, and how to end it."""
        peer = await self._endpoint.answer(offer, Listener())
        return peer.answer, peer.close

    async def stop(self) -> None:
        await self._endpoint.close()


class WholeServer:
    """Everything that `morgan serve` runs: voice activity, turn-taking, the actors of the calls, the doors."""

    def __init__(self, server: Server, engines: Engines, folder: tempfile.TemporaryDirectory[str]) -> None:
        self._server, self._engines, self._folder = server, engines, folder

    @classmethod
    async def start(cls) -> "WholeServer":
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        folder = tempfile.TemporaryDirectory(prefix="morgan-bench-")
        settings = load_settings({"port": port, "max_calls": 100, "log_level": "warning", "data_dir": folder.name})
        configure_logs(settings)
        engines = build_engines(settings)
        return cls(await Server.start(settings, engines), engines, folder)

    async def call(self, offer: str) -> tuple[str, Callable[[], Awaitable[object]]]:
        """Take a call; the answer, and how to end it."""
        call, answer = await open_webrtc(self._server.registry, offer)
        return answer, functools.partial(call.end, "hangup")

    async def stop(self) -> None:
        await self._server.stop()
        await asyncio.gather(*(engine.close() for engine in self._engines.all().values()))
        self._folder.cleanup()


async def settled_share() -> float:
    """CPU time of this process without calls, as a share of a core, once what a start leaves to do is done.

    Phrases are spoken ahead of time and instructions read, for some seconds: what they take is no idling.
    """
    share = await share_of(2)
    for _ in range(SETTLE_LOOKS):
        if share < SETTLED_SHARE:
            break
        share = await share_of(2)
    return share


async def share_of(seconds: float) -> float:
    """CPU time of this process in the next seconds, as a share of a core."""
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    return (time.process_time() - cpu) / (time.monotonic() - wall)


async def measure_idle(target: MediaOnly | WholeServer, calls: int, seconds: float, profile: bool) -> None:
    """Print the CPU time of silent calls, in % of a core per call."""
    callers = await Callers.start()
    await callers.ask(do="nothing")
    idle = await settled_share()
    before = time.process_time()
    for _ in range(calls):
        answer, _end = await target.call(await callers.ask(do="offer"))
        await callers.ask(do="accept", answer=answer)
    set_up = (time.process_time() - before) / calls
    await asyncio.sleep(2)
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    share = 100 * (cpu / wall - idle) / calls
    print(
        f"{calls} silent calls, {wall:.1f} s: {share:.2f} % of a core per call (without calls: {100 * idle:.2f} %), "
        f"set-up {1000 * set_up:.1f} ms CPU per call, {psutil.Process().num_threads()} threads"
    )
    await callers.stop()


async def measure_churn(target: MediaOnly | WholeServer, calls: int) -> None:
    """Print memory, tasks, threads and files before and after many short calls, one after the other."""
    callers = await Callers.start()

    async def call() -> None:
        answer, end = await target.call(await callers.ask(do="offer"))
        await callers.ask(do="accept", answer=answer)
        await asyncio.sleep(0.1)
        await end()
        await callers.ask(do="hangup")

    def state() -> str:
        process = psutil.Process()
        return (
            f"{process.memory_info().rss / 2**20:.1f} MiB, {len(asyncio.all_tasks())} tasks, "
            f"{process.num_threads()} threads, {process.num_fds()} files"
        )

    for _ in range(20):
        await call()
    gc.collect()
    print(f"after 20 calls: {state()}")
    began = time.monotonic()
    for _ in range(calls):
        await call()
    gc.collect()
    print(f"after {calls} more: {state()} ({(time.monotonic() - began) / calls * 1000:.0f} ms per call)")
    await callers.stop()


async def measure(arguments: argparse.Namespace) -> None:
    """Run what was asked for."""
    target = await (MediaOnly if arguments.media_only else WholeServer).start()
    if arguments.churn:
        await measure_churn(target, arguments.churn)
    else:
        await measure_idle(target, arguments.calls, arguments.seconds, arguments.profile)
    await target.stop()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--profile", action="store_true", help="print where the time goes (and spend more of it)")
    parser.add_argument("--media-only", action="store_true", help="the media endpoint without what listens to it")
    parser.add_argument("--churn", type=int, metavar="N", help="open and close N calls instead")
    parser.add_argument("--callers", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.callers:
        os.nice(5)
        asyncio.run(run_callers())
    else:
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        with asyncio.Runner(loop_factory=PunctualEventLoop) as runner:
            runner.run(measure(arguments))


if __name__ == "__main__":
    main()
