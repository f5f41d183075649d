"""ICE in SDP (RFC 8839): the credentials of an offer, and candidates, in it or trickled."""

import ipaddress
import re
from collections.abc import Iterable
from itertools import islice

from aiortc.rtcicetransport import RTCIceCandidate
from aiortc.sdp import MediaDescription, candidate_from_sdp

from media.values import InvalidOfferError

MAX_CANDIDATES = 20
"""Different remote candidates taken, in the offer and trickled together; the rest is left out. We send checks to each
of them, whatever address it names, so a browser's dozen has to do."""

_ICE_UFRAG = re.compile(r"[!-9;-~]{4,256}")
_ICE_PASSWORD = re.compile(r"[!-~]{22,256}")


def parse_candidate(line: str) -> RTCIceCandidate | None:
    """Read "candidate:..." (RFC 8839 section 5.1), with or without that prefix and "a=".

    Returns:
        None for what cannot be used: mDNS names (the far end's checks reach us anyway), TCP, RTCP components, and what
        is malformed.
    """
    try:
        candidate = candidate_from_sdp(line.strip().removeprefix("a=").removeprefix("candidate:"))
        address = ipaddress.ip_address(candidate.ip)
    except (ValueError, AssertionError, IndexError):
        return None
    usable = (
        candidate.protocol.lower() == "udp"
        and candidate.component == 1
        and 0 < candidate.port < 65536
        and 0 < candidate.priority < 1 << 32
        and candidate.type in ("host", "srflx", "relay")
        and not (address.is_multicast or address.is_unspecified)
    )
    return candidate if usable else None


def check_ice_credentials(ufrag: str, password: str) -> None:
    """Raise InvalidOfferError for what is no a=ice-ufrag or a=ice-pwd (RFC 8839 section 5.4)."""
    if not _ICE_UFRAG.fullmatch(ufrag):
        raise InvalidOfferError("malformed a=ice-ufrag: 4 to 256 characters are needed")
    if not _ICE_PASSWORD.fullmatch(password):
        raise InvalidOfferError("malformed a=ice-pwd: 22 to 256 characters are needed")


def ice_credentials(transports: list[MediaDescription]) -> tuple[str, str]:
    """The offerer's username fragment and password, from the first m-line of a transport that has them."""
    for media in transports:
        ice = media.ice
        if ice is not None and ice.usernameFragment and ice.password:
            check_ice_credentials(ice.usernameFragment, ice.password)
            return ice.usernameFragment, ice.password
    raise InvalidOfferError("the offer has no ICE credentials: a=ice-ufrag and a=ice-pwd are needed")


def candidates_in(groups: Iterable[list[str]]) -> tuple[RTCIceCandidate, ...]:
    """The candidates in the lines of m-sections, each once, at most `MAX_CANDIDATES`."""
    lines = (line for group in groups for line in group if line.startswith("a=candidate:"))
    usable = (candidate for line in lines if (candidate := parse_candidate(line)) is not None)
    # Some browsers repeat them in each of the bundled m-lines.
    different: dict[tuple[str, int], RTCIceCandidate] = {}
    for candidate in usable:
        different.setdefault((candidate.ip, candidate.port), candidate)
    return tuple(islice(different.values(), MAX_CANDIDATES))
