"""Messages between a server and the processes that decode for it, over a stream socket.

To the decoder: one `Job`, then the file. Back: `Kind.READY` once there is a process, then `OPENED`, any number of
`PCM`, and `ENDED` or `FAILED`. A process that is gone without one of the last two was over a limit, or broke.
"""

import enum
import struct
from typing import NamedTuple

HEAD = struct.Struct("<BI")
"""Of what comes back: kind, and bytes that follow."""

SECONDS = struct.Struct("<d")
"""Payload of `Kind.OPENED`: the length as the file tells it, not a number where it does not."""

PID = struct.Struct("<I")
"""Payload of `Kind.READY`."""

PIECE = 32_000
"""Samples of one `Kind.PCM` at most: 2 s."""


class Kind(enum.IntEnum):
    """What comes back."""

    READY = 1
    OPENED = 2
    PCM = 3
    ENDED = 4
    FAILED = 5


class Job(NamedTuple):
    """A file to decode.

    Attributes:
        size: of the file, bytes.
        pcm_rate: Hz, where it is plain samples (s16le, mono); 0 for a file.
        rate: wanted, Hz.
        cpu_s: processor time for all of it, seconds.
    """

    size: int
    pcm_rate: int
    rate: int
    cpu_s: int


JOB = struct.Struct("<QIII")
