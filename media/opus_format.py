"""The format of our Opus: what the far end would like to be sent, and what we want (RFC 7587 section 6)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

PACKET_MS = (20, 40, 60)
"""Lengths of packets that we send: whole Opus frames (RFC 6716 section 2.1.4) of our 20 ms clock."""

LEAST_BITRATE = 6_000
"""bit/s that an Opus encoder can be asked for (RFC 7587 section 6.1)."""

Dtx: TypeAlias = Literal["asked", "always", "never"]
"""Whether silence is sent: "asked" leaves that to the far end."""

_FMTP = re.compile(r"a=fmtp:(\d{1,3}) (.*)", re.ASCII)
_NUMBER = re.compile(r"\d{1,7}", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpusWish:
    """What the far end says that it would like to receive; the values of RFC 7587 where it says nothing.

    Attributes:
        max_bitrate: bit/s on average; None for any.
        fec: it makes use of in-band redundancy.
        dtx: it prefers that silence is not sent.
        cbr: it wants a constant bitrate.
        playback_rate: Hz, it plays nothing above half of that.
        ptime_ms: length of a packet that it likes; None for any.
        max_ptime_ms: longest packet that it takes.
    """

    max_bitrate: int | None = None
    fec: bool = False
    dtx: bool = False
    cbr: bool = False
    playback_rate: int = 48_000
    ptime_ms: int | None = None
    max_ptime_ms: int = 120


@dataclass(frozen=True, slots=True)
class OpusFormat:
    """How one stream is sent.

    Attributes:
        bitrate: bit/s of speech.
        packet_ms: 20, 40 or 60.
        fec: redundancy is sent while the far end reports loss.
        dtx: silence is not sent, but for a packet every 400 ms.
        cbr: every packet of speech has the same size.
        playback_rate: Hz, see `OpusWish`.
    """

    bitrate: int = 28_000
    packet_ms: int = 20
    fec: bool = True
    dtx: bool = False
    cbr: bool = False
    playback_rate: int = 48_000


def read_wish(lines: Iterable[str], payload_type: int) -> OpusWish:
    """Read the lines of an m-section; what is malformed is as if it were not there.

    Args:
        lines: of the audio, "a=..." without line ends.
        payload_type: of Opus.
    """
    told: dict[str, str] = {}
    for line in lines:
        if (found := _FMTP.match(line)) and int(found[1]) == payload_type:
            for parameter in found[2].split(";"):
                name, _, value = parameter.partition("=")
                told[name.strip().lower()] = value.strip()
        elif line.startswith(("a=ptime:", "a=maxptime:")):
            name, _, value = line[2:].partition(":")
            told[name] = value.strip()
    max_bitrate = _number(told, "maxaveragebitrate")
    return OpusWish(
        max_bitrate=None if max_bitrate is None else max(max_bitrate, LEAST_BITRATE),
        fec=told.get("useinbandfec") == "1",
        dtx=told.get("usedtx") == "1",
        cbr=told.get("cbr") == "1",
        playback_rate=_number(told, "maxplaybackrate") or 48_000,
        ptime_ms=_number(told, "ptime"),
        max_ptime_ms=_number(told, "maxptime") or 120,
    )


def agreed(wish: OpusWish, bitrate: int, packet_ms: int, dtx: Dtx) -> OpusFormat:
    """How to send to a far end: packets as long as either side likes, bits as few as either says.

    Args:
        wish: of the far end.
        bitrate: bit/s, of the settings.
        packet_ms: shortest packets, of the settings.
        dtx: of the settings.
    """
    wanted = max(packet_ms, wish.ptime_ms or 0)
    lengths = [length for length in PACKET_MS if length <= wish.max_ptime_ms] or [PACKET_MS[0]]
    return OpusFormat(
        bitrate=bitrate if wish.max_bitrate is None else min(bitrate, wish.max_bitrate),
        packet_ms=max((length for length in lengths if length <= wanted), default=lengths[0]),
        fec=wish.fec,
        dtx=dtx == "always" or (dtx == "asked" and wish.dtx),
        cbr=wish.cbr,
        playback_rate=wish.playback_rate,
    )


def _number(told: dict[str, str], name: str) -> int | None:
    value = told.get(name, "")
    return int(value) if _NUMBER.fullmatch(value) else None
