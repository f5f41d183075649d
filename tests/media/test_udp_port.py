"""The shared UDP port: routing tables on their own, then the socket."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from aioice import stun

from media.addresses import announced_addresses
from media.demux import MAX_ADDRESSES_PER_PEER, Address, Demux
from media.udp_port import READ_BATCH, UdpPort
from media.values import MediaError, PortInUseError
from tests.media.calls import until

DTLS, RTP = b"\x16\xfe\xfd" + bytes(20), b"\x80\x60" + bytes(20)
HOME: Address = ("192.0.2.10", 5000)


class Recorder:
    """A route that notes what it gets and takes checks with its password only."""

    def __init__(self, password: bytes = b"p" * 22) -> None:
        self.password = password
        self.checks: list[Address] = []
        self.dtls: list[bytes] = []
        self.rtp: list[tuple[bytes, float]] = []

    def check_received(self, message: stun.Message, address: Address) -> bool:
        if not message.check_message_integrity(self.password):
            return False
        self.checks.append(address)
        return True

    def dtls_received(self, data: bytes) -> None:
        self.dtls.append(data)

    def rtp_received(self, data: bytes, now: float) -> None:
        self.rtp.append((data, now))


class Broken(Recorder):
    """A route that fails at everything it gets."""

    def check_received(self, message: stun.Message, address: Address) -> bool:
        raise RuntimeError("this call is broken")

    def dtls_received(self, data: bytes) -> None:
        raise RuntimeError("this call is broken")

    def rtp_received(self, data: bytes, now: float) -> None:
        raise RuntimeError("this call is broken")


def check(ufrag: str, password: bytes = b"p" * 22) -> bytes:
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{ufrag}:far"
    request.add_message_integrity(password)
    return bytes(request)


def demux_with(ufrag: str = "near") -> tuple[Demux, Recorder]:
    demux, route = Demux(), Recorder()
    demux.register(ufrag, route)
    return demux, route


def test_media_goes_to_the_peer_whose_address_was_validated() -> None:
    demux, route = demux_with()
    demux.claim(HOME, route, proven=False)
    demux.datagram_received(RTP, HOME, 1.5)
    demux.datagram_received(DTLS, HOME, 1.6)
    assert route.rtp == [(RTP, 1.5)]
    assert route.dtls == [DTLS]


def test_media_from_a_stranger_is_counted_by_kind_and_forgotten() -> None:
    demux, route = demux_with()
    for data in (RTP, RTP, DTLS, b"\x50turn", b"", b"\xff"):
        demux.datagram_received(data, HOME, 0.0)
    assert demux.dropped == {"rtp": 2, "dtls": 1, "other": 3}
    assert (route.rtp, route.dtls, demux.addresses) == ([], [], 0)


def test_a_check_finds_its_peer_by_ufrag_whatever_its_address() -> None:
    demux, route = demux_with("near")
    other = Recorder()
    demux.register("other", other)
    demux.datagram_received(check("near"), HOME, 0.0)
    assert route.checks == [HOME]
    assert other.checks == []


@pytest.mark.parametrize(
    "data",
    [
        check("nobody"),
        check("near", b"wrong" * 5),
        check("near")[:-4],
        b"\x00\x01\x00\x00" + bytes(16),
        bytes(20),
        b"\x00",
        b"\x01\x01\x00\x00\x21\x12\xa4\x42" + bytes(12),
        # PRIORITY with two bytes instead of four
        b"\x00\x01\x00\x08\x21\x12\xa4\x42" + bytes(12) + b"\x00\x24\x00\x02\x00\x00\x00\x00",
    ],
    ids=["stranger", "wrong password", "cut", "no cookie", "zeros", "one byte", "answer", "short priority"],
)
def test_stun_that_belongs_to_nobody_is_counted(data: bytes) -> None:
    demux, route = demux_with()
    demux.datagram_received(data, HOME, 0.0)
    assert demux.dropped == {"stun": 1}
    assert route.checks == []


def test_a_check_of_unproven_source_does_not_take_an_address_from_another_peer() -> None:
    demux, owner = demux_with()
    thief = Recorder()
    demux.register("thief", thief)
    demux.claim(HOME, owner, proven=True)
    demux.claim(HOME, thief, proven=False)
    demux.datagram_received(RTP, HOME, 0.0)
    assert (len(owner.rtp), len(thief.rtp)) == (1, 0)


def test_an_address_that_answers_our_check_goes_to_the_new_peer() -> None:
    demux, before = demux_with()
    after = Recorder()
    demux.register("after", after)
    demux.claim(HOME, before, proven=True)
    demux.claim(HOME, after, proven=True)
    demux.datagram_received(RTP, HOME, 0.0)
    assert (len(before.rtp), len(after.rtp)) == (0, 1)


def test_a_peer_keeps_a_bounded_number_of_addresses_the_used_ones() -> None:
    demux, route = demux_with()
    for port in range(1, 200):
        demux.claim(("192.0.2.10", port), route, proven=False)
        demux.claim(HOME, route, proven=True)
    assert demux.addresses == MAX_ADDRESSES_PER_PEER
    demux.datagram_received(RTP, HOME, 0.0)
    assert len(route.rtp) == 1


def test_a_released_peer_gets_nothing_more() -> None:
    demux, route = demux_with()
    demux.claim(HOME, route, proven=True)
    demux.release("near")
    demux.claim(HOME, route, proven=True)
    demux.datagram_received(RTP, HOME, 0.0)
    demux.datagram_received(check("near"), HOME, 0.0)
    assert (route.rtp, route.checks, demux.addresses) == ([], [], 0)


async def test_a_taken_port_is_reported_with_the_setting_to_change() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(PortInUseError, match="MORGAN_MEDIA_PORT"):
            UdpPort.open("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["localhost.example", "203.0.113.250"])
async def test_an_address_that_cannot_be_bound_is_reported(host: str) -> None:
    with pytest.raises(MediaError, match="MORGAN_MEDIA_HOST"):
        UdpPort.open(host, 0)


@contextmanager
def sending(
    on_read: Callable[[float], None] | None = None,
) -> Iterator[tuple[UdpPort, Recorder, Callable[[], object]]]:
    """An open port, the route behind it, and how to send that an RTP packet."""
    port, route = UdpPort.open("127.0.0.1", 0, on_read=on_read), Recorder()
    port.demux.register("near", route)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("127.0.0.1", 0))
        port.demux.claim(sender.getsockname(), route, proven=True)
        yield port, route, lambda: sender.sendto(RTP, ("127.0.0.1", port.port))
    port.close()


async def test_a_burst_is_read_completely() -> None:
    with sending() as (port, route, send):
        for _ in range(200):
            send()
        for _ in range(20):
            await asyncio.sleep(0.005)
        port.close()
    assert len(route.rtp) == 200
    times = [at for _, at in route.rtp]
    assert times == sorted(times)


@pytest.mark.parametrize("held", [False, True], ids=["read at once", "held"])
async def test_a_broken_peer_takes_no_datagram_from_the_others(held: bool, caplog: pytest.LogCaptureFixture) -> None:
    read: list[float] = []
    with sending(read.append) as (port, route, send), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as culprit:
        broken = Broken()
        port.demux.register("broken", broken)
        culprit.bind(("127.0.0.1", 0))
        port.demux.claim(culprit.getsockname(), broken, proven=True)
        port.hold(held)
        for _ in range(READ_BATCH):
            for bad in (RTP, DTLS, check("broken")):
                culprit.sendto(bad, ("127.0.0.1", port.port))
            send()
        if held:
            port.read()
        await until(lambda: len(route.rtp) == READ_BATCH)
    assert port.read_failures == 3 * READ_BATCH
    assert read
    # Whoever can send one such datagram can send thousands.
    assert len([record for record in caplog.records if "could not be handled" in record.message]) <= 5


async def test_what_is_held_waits_with_the_kernel_and_keeps_the_time_at_which_it_came() -> None:
    with sending() as (port, route, send):
        port.hold(True)
        sent = []
        for _ in range(READ_BATCH + 5):
            sent.append(time.monotonic())
            send()
            await asyncio.sleep(0.001)
        assert route.rtp == []
        port.read()
        await asyncio.sleep(0.01)
        assert len(route.rtp) == len(sent)
        assert [at for _, at in route.rtp] == pytest.approx(sent, abs=0.02)
        port.hold(False)
        send()
        await asyncio.sleep(0.05)
    assert len(route.rtp) == len(sent) + 1
    port.hold(False)


async def test_a_busy_loop_is_not_taken_for_a_slow_network() -> None:
    with sending() as (_, route, send):
        send()
        sent = time.monotonic()
        time.sleep(0.2)  # noqa: ASYNC251 - the loop is busy
        await asyncio.sleep(0.01)
    assert route.rtp[0][1] == pytest.approx(sent, abs=0.02)


async def test_what_the_kernel_does_not_take_is_counted() -> None:
    port = UdpPort.open("127.0.0.1", 0)
    port.send(b"x" * 70_000, ("127.0.0.1", 9))
    port.close()
    assert port.send_failures == 1


async def test_ipv6_works_where_the_machine_has_it() -> None:
    try:
        port = UdpPort.open("::1", 0)
    except MediaError:
        pytest.skip("no IPv6 here")
    route = Recorder()
    port.demux.register("near", route)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.bind(("::1", 0))
        port.demux.claim(sender.getsockname()[:2], route, proven=True)
        sender.sendto(RTP, ("::1", port.port))
        await asyncio.sleep(0.05)
    port.close()
    assert len(route.rtp) == 1


async def test_all_addresses_of_both_ip_versions_are_one_port() -> None:
    port, route = UdpPort.open("", 0), Recorder()
    port.demux.register("near", route)
    if port.versions != (4, 6):
        port.close()
        pytest.skip("no IPv6 here")
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.bind((host, 0))
            sender.settimeout(2)
            here = sender.getsockname()[:2]
            port.demux.claim(here, route, proven=True)
            sender.sendto(RTP, (host, port.port))
            port.send(b"answer", here)
            assert sender.recv(100) == b"answer"
    await until(lambda: len(route.rtp) == 2)
    port.close()


async def test_a_port_that_is_taken_for_ipv6_alone_is_taken() -> None:
    try:
        taken = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    with taken, pytest.raises(PortInUseError, match="MORGAN_MEDIA_PORT"):
        UdpPort.open("", taken.getsockname()[1])


def test_loopback_is_announced_last_where_all_addresses_are_bound() -> None:
    both = announced_addresses(("0.0.0.0", "::"))
    assert both[-2:] == ("127.0.0.1", "::1")
    assert announced_addresses(("0.0.0.0",)) == tuple(address for address in both if ":" not in address)
    assert announced_addresses(("0.0.0.0",), ("203.0.113.7",)) == ("203.0.113.7", "127.0.0.1")


def test_the_machines_own_addresses_are_announced_ipv4_first() -> None:
    """Without one Firefox on this machine could not connect (it sends nothing to loopback)."""
    own = [a for a in announced_addresses(("0.0.0.0", "::")) if not ipaddress.ip_address(a).is_loopback]
    assert own == sorted(own, key=lambda address: ":" in address)
    for address in own:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))  # it is ours


def test_a_bound_address_is_announced_alone_unless_there_is_a_public_one() -> None:
    assert announced_addresses(("127.0.0.1",)) == ("127.0.0.1",)
    assert announced_addresses(("192.0.2.1",), ("203.0.113.7",)) == ("203.0.113.7",)
