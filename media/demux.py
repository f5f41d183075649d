"""Routing of datagrams to peers: the tables behind the one UDP port of a process, without the socket.

Everybody may send to the port, so nothing a stranger sends may cost memory or an answer: STUN has to name a known
ufrag (a request) or an open transaction (a response), and everything else has to come from an address that an ICE
check with the right password has validated. The rest is counted and forgotten.
"""

import enum
import struct
from collections import Counter, OrderedDict
from typing import Protocol, TypeAlias

from aioice import stun

Address: TypeAlias = tuple[str, int]
"""IP address and port."""

MAX_ADDRESSES_PER_PEER = 16
"""Validated addresses kept per peer; the one unused for longest makes room."""

STUN_COOKIE = stun.COOKIE.to_bytes(4, "big")


class PacketKind(enum.Enum):
    """What a datagram is by its first byte (RFC 7983 section 7)."""

    STUN = "stun"
    DTLS = "dtls"
    RTP = "rtp"
    OTHER = "other"


_KINDS: tuple[PacketKind, ...] = tuple(
    PacketKind.STUN
    if byte <= 3
    else PacketKind.DTLS
    if 20 <= byte <= 63
    else PacketKind.RTP
    if 128 <= byte <= 191
    else PacketKind.OTHER
    for byte in range(256)
)


class Route(Protocol):
    """One peer as the port sees it."""

    def check_received(self, message: stun.Message, address: Address) -> bool:
        """Handle an ICE check for this peer's ufrag; False when it does not carry the peer's password."""

    def dtls_received(self, data: bytes) -> None:
        """Take a DTLS record from a validated address."""

    def rtp_received(self, data: bytes, now: float) -> None:
        """Take an SRTP or SRTCP packet from a validated address."""


class Demux:
    """Routes datagrams to peers.

    Attributes:
        transactions: STUN transactions that wait for a response, of all peers.
        dropped: datagrams that belonged to no peer, by kind.
    """

    def __init__(self) -> None:
        self.transactions: dict[bytes, stun.Transaction] = {}
        self.dropped: Counter[str] = Counter()
        self._by_ufrag: dict[str, Route] = {}
        self._by_address: dict[Address, Route] = {}
        self._addresses: dict[Route, OrderedDict[Address, None]] = {}

    def register(self, ufrag: str, route: Route) -> None:
        """Send checks for a ufrag to a peer.

        Raises:
            KeyError: the ufrag is taken.
        """
        if ufrag in self._by_ufrag:
            raise KeyError(ufrag)
        self._by_ufrag[ufrag] = route
        self._addresses[route] = OrderedDict()

    def release(self, ufrag: str) -> None:
        """Forget a peer and its addresses; what still comes from them is dropped."""
        route = self._by_ufrag.pop(ufrag, None)
        if route is not None:
            for address in self._addresses.pop(route):
                self._by_address.pop(address, None)

    def claim(self, address: Address, route: Route, *, proven: bool) -> None:
        """Note that an ICE check validated an address for a peer.

        Args:
            address: where the check came from or was answered from.
            route: the peer; ignored when it is no longer registered.
            proven: the address answered a check of ours. One that only sent us a check (its source may be forged)
                does not take an address away from another peer.
        """
        mine = self._addresses.get(route)
        if mine is None:
            return
        owner = self._by_address.get(address)
        if owner is route:
            mine.move_to_end(address)
            return
        if owner is not None:
            if not proven:
                return
            self._addresses[owner].pop(address, None)
        if len(mine) >= MAX_ADDRESSES_PER_PEER:
            oldest, _ = mine.popitem(last=False)
            self._by_address.pop(oldest, None)
        mine[address] = None
        self._by_address[address] = route

    @property
    def addresses(self) -> int:
        """Validated addresses of all peers."""
        return len(self._by_address)

    def datagram_received(self, data: bytes, address: Address, now: float) -> None:
        """Route one datagram.

        Args:
            data: the payload of the datagram.
            address: where it came from.
            now: `time.monotonic()` of its arrival.
        """
        kind = _KINDS[data[0]] if data else PacketKind.OTHER
        if kind is PacketKind.STUN:
            if not self._stun_received(data, address):
                self.dropped[kind.value] += 1
            return
        route = self._by_address.get(address)
        if route is None or kind is PacketKind.OTHER:
            self.dropped[kind.value] += 1
        elif kind is PacketKind.RTP:
            route.rtp_received(data, now)
        else:
            route.dtls_received(data)

    def _stun_received(self, data: bytes, address: Address) -> bool:
        # Most of what strangers send ends here, before anything is parsed.
        if len(data) < stun.HEADER_LENGTH or data[4:8] != STUN_COOKIE:
            return False
        transaction = self.transactions.get(data[8:20])
        try:
            message = stun.parse_message(data)
        except (ValueError, struct.error):
            return False
        if message.message_class is stun.Class.REQUEST:
            ufrag = str(message.attributes.get("USERNAME", "")).partition(":")[0]
            route = self._by_ufrag.get(ufrag)
            return route is not None and route.check_received(message, address)
        if transaction is not None and message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            # The transaction itself discards what is not signed with its password.
            transaction.response_received(message, address)
            return True
        return False
