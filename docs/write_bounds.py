"""Writes bounds.md beside this file from server/bounds.py: `python docs/write_bounds.py [--check]`."""

import ast
import itertools
import sys
from pathlib import Path

import server.bounds
from media import audio_file, data_channel, decoder_pool, decoder_process, demux, dtls, ice, sdp, sdp_ice
from media.upstream import sctp

PAGE = Path(__file__).with_name("bounds.md")
SOURCE = Path(server.bounds.__file__)

HEAD = """# Bounds

Written from `server/bounds.py` by `python docs/write_bounds.py`; a test fails when this page is stale.

How much of everything a client may send, and how much of what clients send is held. Bodies count as what they are once
unpacked, not as what their headers say. JSON is read by the form that is expected, and nests 200 levels at most; what
it nests deeper is no JSON (400, or an `error` over a WebSocket).
"""

TAIL = f"""
## Calls on the wire

| bound | |
|---|---|
| lines of an offer | {sdp.MAX_LINES:,} |
| addresses that a connection names, in the offer and trickled | {sdp_ice.MAX_CANDIDATES} |
| with those learned from checks with its password | {ice.MAX_REMOTE_CANDIDATES} |
| validated addresses of a connection | {demux.MAX_ADDRESSES_PER_PEER} |
| SSRCs of a connection that are remembered | {dtls.MAX_SSRCS} |
| connections of a call | 2 |
| SCTP streams that the far end may use | {sctp.MAX_STREAMS} |
| its chunks that wait for those before them | {sctp.MAX_HELD_CHUNKS:,}, of 1 MiB together |
| data channels that it may open | {data_channel.MAX_CHANNELS} |
| calls of a client that are not connected yet | `MORGAN_HALF_OPEN_CALLS` |

## Decoders

Files of clients are decoded by FFmpeg in processes of their own (`media/decoder_process.py`): one file each, forked
from one that has loaded what it takes, without the server's environment, files, sockets and connections, and stopped by
the kernel. What breaks one costs that one file.

| bound | |
|---|---|
| containers | {audio_file.FORMATS}; told from the first bytes |
| decoders | {", ".join(sorted(audio_file.CODECS))} |
| sample rate that a file may claim | {audio_file.MIN_RATE:,} to {audio_file.MAX_RATE:,} Hz |
| channels | {audio_file.MAX_CHANNELS} |
| memory of a process, beyond what it begins with | {decoder_process.MEMORY // 1024 // 1024} MiB |
| time to open a file, and for each piece of 2 s | {decoder_process.WALL_S:g} s |
| processor time of a file | {decoder_pool.CPU_S} s, and 1 s for each {decoder_pool.CPU_SHARE} s of audio taken |
| files at the same time | {decoder_pool.PLACES}; {decoder_pool.MAX_WAITING} wait, {decoder_pool.WAIT_S:g} s at most |
| open files, files to write, processes to start | 0 |
"""


def page() -> str:
    """The page."""
    parts = [HEAD]
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    headings = {number: line.strip("# -") for number, line in enumerate(lines, 1) if line.startswith("# ")}
    body = ast.parse(SOURCE.read_text(encoding="utf-8")).body
    for assigned, described in itertools.pairwise(body):
        if not isinstance(assigned, ast.Assign) or not isinstance(described, ast.Expr):
            continue
        above = [number for number in headings if number < assigned.lineno]
        parts += [f"\n## {headings.pop(number)}\n\n| | bound | |\n|---|---|---|\n" for number in above]
        names = [name.id for name in ast.walk(assigned.targets[0]) if isinstance(name, ast.Name)]
        unit, _, about = " ".join(str(ast.literal_eval(described.value)).split()).removeprefix("[").partition("] ")
        values = " to ".join(_shown(getattr(server.bounds, name), unit) for name in names)
        parts.append(f"| {', '.join(f'`{name}`' for name in names)} | {values} | {about} |\n")
    return "".join([*parts, TAIL])


def _shown(value: int, unit: str) -> str:
    if unit == "bytes":
        return f"{value // 1024 // 1024} MiB" if value % (1024 * 1024) == 0 else f"{value // 1024} KiB"
    return f"{value:,} {unit}"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"{PAGE} is stale: run python docs/write_bounds.py")
