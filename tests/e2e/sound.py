"""A sound card for browsers: a PulseAudio of its own with microphones that say what a test says, plugged in and out.

What a browser does with its devices is then its own doing: it lists them, opens them, loses them when they go, follows
the system's default, and plays into a loudspeaker that the test listens to.
"""

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.conftest import lacking

RATE = 48_000
START_S = 60.0


class SoundCard:
    """A running sound server.

    Attributes:
        address: what a program's `PULSE_SERVER` is to be.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._modules: dict[str, list[str]] = {}

    async def plug_in(self, name: str) -> None:
        """A microphone of this name; the first one is the default."""
        feed = await self._load("module-null-sink", f"sink_name={name}-feed", f"rate={RATE}", "channels=1")
        mouth = await self._load(
            "module-remap-source",
            f"master={name}-feed.monitor",
            f"source_name={name}",
            f"source_properties=device.description={name}",
        )
        self._modules[name] = [mouth, feed]
        if len(self._modules) == 1:
            await self.make_default(name)

    async def unplug(self, name: str) -> None:
        for module in self._modules.pop(name):
            await self._control("unload-module", module)

    async def make_default(self, name: str) -> None:
        await self._control("set-default-source", name)

    async def switch(self, name: str, on: bool) -> None:
        """Its own switch: off, it gives zeros."""
        await self._control("set-source-mute", name, "0" if on else "1")

    async def speak(self, name: str, clip: Path) -> None:
        """Say a WAV file into a microphone, to its end."""
        await run("paplay", f"--device={name}-feed", str(clip), environment=self._environment())

    async def listen(self, seconds: float) -> NDArray[np.int16]:
        """What comes out of the loudspeaker from now on, mono, 48 kHz."""
        program = "parec", "--device=loudspeaker.monitor", f"--rate={RATE}", "--channels=1", "--format=s16le", "--raw"
        process = await asyncio.create_subprocess_exec(
            *program, stdout=asyncio.subprocess.PIPE, env={**os.environ, **self._environment()}
        )
        assert process.stdout is not None
        try:
            return np.frombuffer(await process.stdout.readexactly(2 * round(RATE * seconds)), np.int16)
        finally:
            process.kill()
            await process.wait()

    async def _load(self, *module: str) -> str:
        return (await self._control("load-module", *module)).strip()

    async def _control(self, *command: str) -> str:
        return await run("pactl", *command, environment=self._environment())

    def _environment(self) -> Mapping[str, str]:
        return {"PULSE_SERVER": self.address}


async def run(program: str, *arguments: str, environment: Mapping[str, str]) -> str:
    """What a program prints; fails with its words where it fails."""
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, f"{program} {arguments}: {printed.decode(errors='replace')}"
    return printed.decode()


@asynccontextmanager
async def sound_card(folder: Path) -> AsyncIterator[SoundCard]:
    """A sound server with a loudspeaker and no microphone; its socket and log lie in `folder`."""
    program = shutil.which("pulseaudio")
    if program is None:
        lacking("no pulseaudio: apt-get install pulseaudio")
    address = folder / "pulse"
    modules = (
        "module-null-sink sink_name=loudspeaker",
        f"module-native-protocol-unix socket={address} auth-anonymous=1",
    )
    command = [str(program), "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm"]
    for module in modules:
        command += ["-L", module]
    log = folder / "pulse.log"
    async with running(*command, log=log, env={**os.environ, "HOME": str(folder)}):
        async with asyncio.timeout(START_S):
            while not address.exists():  # noqa: ASYNC110 - the program tells nobody else
                await asyncio.sleep(0.05)
        yield SoundCard(f"unix:{address}")


@asynccontextmanager
async def running(*command: str, log: Path, env: Mapping[str, str]) -> AsyncIterator[None]:
    """A program and its children until the end of the block; what it says goes to a file."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=output, stderr=asyncio.subprocess.STDOUT, start_new_session=True, env=env
        )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
