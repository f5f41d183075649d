"""Stock Python clients in an environment of their own: the packages of tests/clients/python.txt."""

import asyncio
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from tests.conftest import lacking

ROOT = Path(__file__).parents[2]


@cache
def interpreter() -> str:
    """The Python that has the packages; skips the test where they cannot be had, except in CI."""
    command = [str(ROOT / ".ci" / "python-clients"), sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode != 0:
        lacking(done.stderr.strip())
    return done.stdout.strip()


async def run_client(name: str, *arguments: str) -> Any:
    """Run a program of tests/clients; gives what it prints last, as JSON."""
    python = await asyncio.to_thread(interpreter)
    process = await asyncio.create_subprocess_exec(
        python,
        str(ROOT / "tests" / "clients" / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, complaints = await asyncio.wait_for(process.communicate(), 240)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, complaints.decode()[-4000:]
    return json.loads(output.splitlines()[-1])
