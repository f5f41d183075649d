"""The UDP socket that all peers of a process share."""

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable

import ifaddr

from media.demux import Address, Demux
from media.values import MediaError, PortInUseError

READ_BATCH = 64
"""Datagrams read per wake-up of the event loop, so that a flood cannot starve the timers."""

MAX_DATAGRAM = 2048
"""Bytes; whatever is longer is cut and then fails its authentication."""

SOCKET_BUFFER = 1 << 20
"""Bytes asked of the kernel in each direction: about 250 ms of 500 calls."""


FAILURE_LOG_S = 1.0
"""Shortest pause between two log records of datagrams that failed: whoever can send one can send thousands."""

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
        addresses: IP addresses under which peers may reach the port, best first.
        port: the bound UDP port.
        send_failures: datagrams that the kernel did not take.
        read_failures: datagrams whose handling raised.
        on_read: called with `time.monotonic()` after each batch of datagrams.
    """

    def __init__(self, sock: socket.socket, addresses: tuple[str, ...]) -> None:
        self.demux = Demux()
        self.addresses = addresses
        self.port: int = sock.getsockname()[1]
        self.send_failures = 0
        self.read_failures = 0
        self.on_read: Callable[[float], None] = lambda _: None
        self._socket = sock
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self.read)
        self._read_at = 0.0
        self._held = False
        self._closed = False
        self._failure_logged_at = float("-inf")

    @classmethod
    def open(cls, host: str, port: int, public_addresses: tuple[str, ...] = ()) -> "UdpPort":
        """Bind the socket; needs a running event loop.

        Args:
            host: local IP address, "0.0.0.0" (or "::") for all of a family.
            port: UDP port, 0 for a free one.
            public_addresses: addresses to announce instead of the local ones.

        Raises:
            PortInUseError: the port is taken.
            MediaError: the address cannot be bound.
        """
        try:
            family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        except ValueError as error:
            raise MediaError(f"MORGAN_MEDIA_HOST must be an IP address, not {host!r}") from error
        sock = socket.socket(family, socket.SOCK_DGRAM)
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
            raise MediaError(
                f"cannot bind UDP {host}:{port} (MORGAN_MEDIA_HOST, MORGAN_MEDIA_PORT): {error}"
            ) from error
        return cls(sock, announced_addresses(host, public_addresses))

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram now or drop it."""
        try:
            self._socket.sendto(data, address)
        except OSError:
            # Full buffer, no route, an ICMP error of an earlier datagram: to a peer all of these are packet loss.
            self.send_failures += 1

    def hold(self, held: bool) -> None:
        """Leave datagrams with the kernel until `read`, or again wake the loop for each."""
        if self._closed or held is self._held:
            return
        self._held = held
        if held:
            self._loop.remove_reader(self._socket.fileno())
        else:
            self._loop.add_reader(self._socket.fileno(), self.read)

    def close(self) -> None:
        """Give the port back. Calling it again does nothing."""
        if not self._closed:
            self._closed = True
            if not self._held:
                self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def read(self) -> None:
        """Take what has come. Does not raise, whatever a peer does with a datagram."""
        if self._closed:
            return
        receive = self._socket.recvmsg
        since, now = self._read_at, time.monotonic()
        wall = time.time() - now
        came = False
        for _ in range(READ_BATCH):
            try:
                data, stamps, _, address = receive(MAX_DATAGRAM, _STAMP_SPACE)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                continue  # an ICMP error that belongs to some earlier datagram
            came = True
            self._route(data, address[:2], _arrival(stamps, wall, since, now))
            if self._closed:
                return
        else:
            if self._held:
                self._loop.call_soon(self.read)
        self._read_at = now
        if came:
            self.on_read(now)

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


def announced_addresses(host: str, public_addresses: tuple[str, ...]) -> tuple[str, ...]:
    """The IP addresses that go into the candidates, best first.

    A socket bound to all addresses is also reachable on loopback, and announcing that, last, is what lets a browser
    on the same machine connect when there is no other network (or when only its public address was configured).
    """
    bound = ipaddress.ip_address(host)
    if not bound.is_unspecified:
        return public_addresses or (host,)
    loopback = "127.0.0.1" if bound.version == 4 else "::1"
    addresses = public_addresses or local_addresses(bound.version)
    return tuple(dict.fromkeys((*addresses, loopback)))


def local_addresses(version: int) -> tuple[str, ...]:
    """Addresses of this machine's interfaces, of one IP version, without loopback and link-local ones."""
    found: list[str] = []
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text)
            if address.version == version and not (address.is_loopback or address.is_link_local):
                found.append(text)
    return tuple(found)
