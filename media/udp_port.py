"""The UDP port that all peers of a process share: a socket of each IP version under one number."""

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable

from media.addresses import WILDCARDS, announced_addresses
from media.demux import Address, Demux
from media.values import MediaError, PortInUseError

READ_BATCH = 64
"""Datagrams read per wake-up of the event loop, so that a flood cannot starve the timers."""

MAX_DATAGRAM = 2048
"""Bytes; whatever is longer is cut and then fails its authentication."""

SOCKET_BUFFER = 1 << 20
"""Bytes asked of the kernel in each direction: about 250 ms of 500 calls."""

PAIRING_TRIES = 32
"""How often a free port is looked for that both IP versions have."""

FAILURE_LOG_S = 1.0
"""Shortest pause between two log records of datagrams that failed: a sender of one can send thousands."""

logger = logging.getLogger(__name__)

STAMPED = 35 if sys.platform == "linux" else None
"""SO_TIMESTAMPNS, which Python does not name: the kernel says when each datagram came."""

_STAMP = struct.Struct("@qq")
_STAMP_SPACE = socket.CMSG_SPACE(_STAMP.size)


class UdpPort:
    """Reads and writes datagrams; `demux` decides whose they are.

    Reading is done straight on the socket in batches: asyncio's own transport reads one datagram per turn of the loop.
    Each is stamped with the time at which the kernel took it, so that a busy loop is not taken for a slow network.
    Nothing that is sent is ever queued here: when the kernel's buffer is full the datagram is dropped and counted.
    Each datagram is handled on its own: an exception from the peer that it belongs to is logged and counted, and the
    datagrams behind it, of all other peers, are handled as if nothing had been.

    Attributes:
        demux: the routing tables.
        port: the bound UDP port.
        send_failures: datagrams that the kernel did not take.
        read_failures: datagrams whose handling raised.
    """

    def __init__(
        self,
        sockets: list[socket.socket],
        public_addresses: tuple[str, ...] = (),
        on_read: Callable[[float], None] | None = None,
    ) -> None:
        self.demux = Demux()
        self.port: int = sockets[0].getsockname()[1]
        self.send_failures = 0
        self.read_failures = 0
        self._sockets = sockets
        self._to_v4 = next((sock for sock in sockets if sock.family == socket.AF_INET), sockets[0])
        self._to_v6 = next((sock for sock in sockets if sock.family == socket.AF_INET6), sockets[0])
        self._hosts: tuple[str, ...] = tuple(sock.getsockname()[0] for sock in sockets)
        self._public_addresses = public_addresses
        self._on_read = on_read
        self._loop = asyncio.get_running_loop()
        self._watch()
        self._read_at = 0.0
        self._held = False
        self._closed = False
        self._failure_logged_at = float("-inf")

    @classmethod
    def open(
        cls,
        host: str,
        port: int,
        public_addresses: tuple[str, ...] = (),
        on_read: Callable[[float], None] | None = None,
    ) -> "UdpPort":
        """Bind the sockets; needs a running event loop.

        Args:
            host: local IP address, "0.0.0.0" or "::" for all of a family, "" for all of both.
            port: UDP port, 0 for a free one.
            public_addresses: addresses to announce instead of the local ones.
            on_read: called with `time.monotonic()` after each batch of datagrams.

        Raises:
            PortInUseError: the port is taken.
            MediaError: the address cannot be bound.
        """
        if host:
            return cls([_bound(host, port)], public_addresses, on_read)
        for tries in reversed(range(PAIRING_TRIES)):
            sockets = [_bound(WILDCARDS[4], port)]
            try:
                sockets.append(_bound(WILDCARDS[6], sockets[0].getsockname()[1]))
            except PortInUseError:
                sockets[0].close()
                if port or not tries:
                    raise
                continue  # the free port that IPv4 was given is another program's for IPv6
            except MediaError as error:
                logger.info("calls over IPv4 only", extra={"reason": str(error)})
            return cls(sockets, public_addresses, on_read)
        raise AssertionError("the last try raises or returns")

    @property
    def versions(self) -> tuple[int, ...]:
        """IP versions of the port, 4 first."""
        return tuple(4 if sock.family == socket.AF_INET else 6 for sock in self._sockets)

    @property
    def addresses(self) -> tuple[str, ...]:
        """IP addresses under which peers may reach the port, best first; asked anew, for networks come and go."""
        return announced_addresses(self._hosts, self._public_addresses)

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram now or drop it."""
        try:
            (self._to_v6 if ":" in address[0] else self._to_v4).sendto(data, address)
        except OSError:
            # Full buffer, no route, an ICMP error of an earlier datagram: to a peer all of these are packet loss.
            self.send_failures += 1

    def hold(self, held: bool) -> None:
        """Leave datagrams with the kernel until `read`, or again wake the loop for each."""
        if self._closed or held is self._held:
            return
        self._held = held
        if held:
            self._unwatch()
        else:
            self._watch()

    def close(self) -> None:
        """Give the port back. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            if not self._held:
                self._unwatch()
            for sock in self._sockets:
                sock.close()

    def read(self) -> None:
        """Take what has come. Does not raise, whatever a peer does with a datagram."""
        if self._closed:
            return
        since, now = self._read_at, time.monotonic()
        counts = [self._read_batch(sock, since, now) for sock in self._sockets]
        if max(counts) < READ_BATCH:
            self._read_at = now
        elif self._held:
            self._loop.call_soon(self.read)
        if self._on_read is not None and any(counts) and not self._closed:
            self._on_read(now)

    def _read_batch(self, sock: socket.socket, since: float, now: float) -> int:
        """How many there were, at most `READ_BATCH`."""
        receive = sock.recvmsg
        wall = time.time() - now
        count = 0
        while count < READ_BATCH and not self._closed:
            try:
                data, stamps, _, address = receive(MAX_DATAGRAM, _STAMP_SPACE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                count += 1
                continue  # an ICMP error that belongs to some earlier datagram
            count += 1
            self._route(data, address[:2], _arrival(stamps, wall, since, now))
        return count

    def _watch(self) -> None:
        for sock in self._sockets:
            self._loop.add_reader(sock.fileno(), self.read)

    def _unwatch(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())

    def _route(self, data: bytes, address: Address, at: float) -> None:
        try:
            self.demux.datagram_received(data, address, at)
        except Exception:
            self.read_failures += 1
            if at - self._failure_logged_at >= FAILURE_LOG_S:
                self._failure_logged_at = at
                logger.exception("a datagram could not be handled", extra={"failures": self.read_failures})


def _arrival(stamps: list[tuple[int, int, bytes]], wall: float, since: float, now: float) -> float:
    """When a datagram came, monotonic s.

    Args:
        stamps: what the kernel says beside it.
        wall: what the wall clock, by which the kernel stamps, is ahead of the monotonic one now; a step of it between
            stamp and reading must not get through.
        since: when there was nothing left to read.
        now: when reading began.
    """
    for level, kind, data in stamps:
        if (level, kind) == (socket.SOL_SOCKET, STAMPED):
            seconds, nanoseconds = _STAMP.unpack(data[: _STAMP.size])
            at: float = seconds + nanoseconds * 1e-9 - wall
            return min(max(at, since), now)
    return now


def _bound(host: str, port: int) -> socket.socket:
    """A socket for `UdpPort.open`, which says what it raises."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    except ValueError as error:
        raise MediaError(f"MORGAN_MEDIA_HOST must be an IP address, not {host!r}") from error
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        raise MediaError(f"this machine has no {family.name}: {error}") from error
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if STAMPED is not None:
            sock.setsockopt(socket.SOL_SOCKET, STAMPED, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(
                f"UDP port {port} on {host} is taken by another program; set MORGAN_MEDIA_PORT to a free one"
            ) from error
        raise MediaError(f"cannot bind UDP {host}:{port} (MORGAN_MEDIA_HOST, MORGAN_MEDIA_PORT): {error}") from error
    return sock
