"""SDP fragments of trickle ICE (RFC 8840 section 9), and of the ICE restarts of WHIP (RFC 9725 section 4.3)."""

from collections.abc import Iterable
from dataclasses import dataclass

from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import candidate_to_sdp

from media.sdp_ice import check_ice_credentials
from media.values import IceCandidate, InvalidOfferError

MAX_FRAGMENT_CANDIDATES = 64
"""Candidates that are read of one fragment; those behind are left out."""


@dataclass(frozen=True, slots=True)
class IceFragment:
    """What the far end says of its ICE.

    Attributes:
        ufrag: username fragment; None where it is not told. Another one than before begins ICE anew.
        password: of it.
        candidates: an empty one ends those of an m-line.
    """

    ufrag: str | None
    password: str | None
    candidates: tuple[IceCandidate, ...]


def parse_fragment(text: str) -> IceFragment:
    """Read a fragment.

    Raises:
        InvalidOfferError: its credentials are none.
    """
    mid: str | None = None
    told: dict[str, str] = {}
    found: list[IceCandidate] = []
    for line in text.splitlines():
        name, _, value = line.strip().partition(":")
        if name in ("a=ice-ufrag", "a=ice-pwd"):
            told.setdefault(name, value)
        elif name == "a=mid":
            mid = value.strip()
        elif name == "a=candidate":
            found.append(IceCandidate(f"candidate:{value}", mid))
        elif name == "a=end-of-candidates":
            found.append(IceCandidate("", mid))
    ufrag, password = told.get("a=ice-ufrag"), told.get("a=ice-pwd")
    if (ufrag is None) != (password is None):
        raise InvalidOfferError("the fragment has a=ice-ufrag or a=ice-pwd without the other")
    if ufrag is not None and password is not None:
        check_ice_credentials(ufrag, password)
    return IceFragment(ufrag, password, tuple(found[:MAX_FRAGMENT_CANDIDATES]))


def build_fragment(ufrag: str, password: str, mid: str | None, candidates: Iterable[RTCIceCandidate]) -> str:
    """Write what we say of our ICE.

    Args:
        ufrag: ours.
        password: ours.
        mid: of the audio, the one m-line whose candidates count.
        candidates: ours, all that there will ever be.
    """
    lines = [f"a=ice-ufrag:{ufrag}", f"a=ice-pwd:{password}", "m=audio 9 UDP/TLS/RTP/SAVPF 0"]
    if mid:
        lines.append(f"a=mid:{mid}")
    told = [f"a=candidate:{candidate_to_sdp(candidate)}" for candidate in candidates]
    # The JavaScript library of WHIP's author (whip-whep 1.2) finds candidates by their CRLF and joins them with commas,
    # which is no SDP where there are two. A line may end with LF alone (RFC 8866 section 5), so it finds the first.
    return "\r\n".join([*lines, "\n".join([*told, "a=end-of-candidates"]).replace("\n", "\r\n", 1), ""])
