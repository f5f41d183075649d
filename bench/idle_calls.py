"""What a connected, silent call costs the server, and what many calls leave behind.

    python -m bench.idle_calls [--calls 8] [--seconds 10] [--profile]
    python -m bench.idle_calls --churn 200

The server's media endpoint runs in this process, the callers (stock aiortc) in a child process: what is printed is the
server's alone. Everything is real: ICE, DTLS, SRTP, Opus and RTCP in both directions.
"""

import argparse
import asyncio
import cProfile
import gc
import json
import os
import pstats
import sys
import time

import psutil  # type: ignore[import-untyped]

from media.endpoint import MediaEndpoint
from media.values import MediaConfig, Pcm, PlayoutEvent


class Listener:
    """Counts frames."""

    def __init__(self) -> None:
        self.frames = 0
        self.connected = asyncio.Event()

    def on_connected(self) -> None:
        self.connected.set()

    def on_audio(self, pcm: Pcm, at: float) -> None:
        self.frames += 1

    def on_channel_open(self) -> None: ...

    def on_message(self, text: str) -> None: ...

    def on_playout(self, event: PlayoutEvent) -> None: ...

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
    from media.caller import Caller

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


async def measure_idle(calls: int, seconds: float, profile: bool) -> None:
    """Print the CPU time of silent calls, in % of a core per call."""
    endpoint = await MediaEndpoint.open(MediaConfig())
    callers = await Callers.start()
    listeners = [Listener() for _ in range(calls)]
    await callers.ask(do="nothing")
    before = time.process_time()
    for listener in listeners:
        peer = await endpoint.answer(await callers.ask(do="offer"), listener)
        await callers.ask(do="accept", answer=peer.answer)
        await asyncio.wait_for(listener.connected.wait(), 10)
    set_up = (time.process_time() - before) / calls
    await asyncio.sleep(1)
    for listener in listeners:
        listener.frames = 0
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    cpu, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(seconds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    frames = sum(listener.frames for listener in listeners) / wall / calls
    print(
        f"{calls} silent calls, {wall:.1f} s: {100 * cpu / wall / calls:.2f} % of a core per call, "
        f"{frames:.1f} frames/s received, set-up {1000 * set_up:.1f} ms CPU per call, "
        f"{psutil.Process().num_threads()} threads"
    )
    await endpoint.close()
    await callers.stop()


async def measure_churn(calls: int) -> None:
    """Print memory, tasks, threads and files before and after many short calls, one after the other."""
    endpoint = await MediaEndpoint.open(MediaConfig())
    callers = await Callers.start()

    async def call() -> None:
        listener = Listener()
        peer = await endpoint.answer(await callers.ask(do="offer"), listener)
        await callers.ask(do="accept", answer=peer.answer)
        await asyncio.sleep(0.1)
        await peer.close()
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
    await endpoint.close()
    await callers.stop()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--profile", action="store_true", help="print where the time goes (and spend more of it)")
    parser.add_argument("--churn", type=int, metavar="N", help="open and close N calls instead")
    parser.add_argument("--callers", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.callers:
        os.nice(5)
        asyncio.run(run_callers())
    elif arguments.churn:
        asyncio.run(measure_churn(arguments.churn))
    else:
        asyncio.run(measure_idle(arguments.calls, arguments.seconds, arguments.profile))


if __name__ == "__main__":
    main()
