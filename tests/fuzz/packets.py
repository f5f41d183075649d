"""Targets of the UDP port: STUN, DTLS, SCTP, RTP and RTCP, as a stranger and as the far end of a call sends them."""

import asyncio
import contextlib
import hmac
import random
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

from aioice import Candidate, stun
from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcsctptransport import RTCSctpCapabilities, serialize_packet
from aiortc.rtp import (
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
)

from media.audio_link import AudioLink, LinkSettings
from media.audio_sender import Due
from media.demux import MAX_ADDRESSES_PER_PEER
from media.dtls import DtlsTransport
from media.ice import DTLS_QUEUE, MAX_REMOTE_CANDIDATES, IceConnection
from media.opus import SILENCE, OpusEncoder
from media.opus_format import OpusFormat
from media.playout import Playout
from media.rtp import RtpPacket
from media.udp_port import UdpPort
from media.upstream.sctp import MAX_HELD_CHUNKS, MAX_STREAMS, SctpTransport
from tests.fuzz.mutation import mutated
from tests.fuzz.target import Check, Target, datagrams, framed, on_loop
from tests.media.calls import Notes, tone

AsyncCheck = Callable[[bytes], Awaitable[None]]

# STUN and the demultiplexer -------------------------------------------------------------------------------------------

FAR = "far1"
FAR_PASSWORD = "p" * 22
REQUEST, SIGNED, RESPONSE, RAW = range(4)
"""First byte of a datagram's input: what becomes of the attributes behind it."""


@contextlib.asynccontextmanager
async def _ice() -> AsyncIterator[AsyncCheck]:
    """Real sockets on loopback: what Morgan sends goes to sockets of ours that nobody reads."""
    port = UdpPort.open("127.0.0.1", 0)
    with contextlib.ExitStack() as sockets:
        sinks = [sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(40)]
        for sink in sinks:
            sink.bind(("127.0.0.1", 0))
        addresses = [sink.getsockname() for sink in sinks]

        async def check(data: bytes) -> None:
            media: list[bytes] = []
            agent = IceConnection(port, lambda packet, _: media.append(packet), consent_interval=2, consent_failures=2)
            await agent.gather_candidates()
            agent.remote_username, agent.remote_password = FAR, FAR_PASSWORD
            await agent.add_remote_candidate(_host(addresses[0]))
            await agent.add_remote_candidate(None)
            connecting = asyncio.create_task(agent.connect())
            await asyncio.sleep(0)
            try:
                for number, part in enumerate(datagrams(data)):
                    address = addresses[(part[1] if len(part) > 1 else number) % len(addresses)]
                    port.demux.datagram_received(_datagram(part, agent, port), address, time.monotonic())
                    await asyncio.sleep(0)
                assert agent.remote_count <= MAX_REMOTE_CANDIDATES
                assert port.demux.addresses <= MAX_ADDRESSES_PER_PEER
                assert agent.records_waiting <= DTLS_QUEUE
            finally:
                await agent.close()
                connecting.cancel()
                await asyncio.wait([connecting])
                if not connecting.cancelled():
                    connecting.exception()
            assert port.demux.addresses == 0
            assert not port.demux.transactions

        yield check
    port.close()


def _host(address: tuple[str, int]) -> Candidate:
    return Candidate("f", 1, "udp", 1, address[0], address[1], "host")


def _datagram(part: bytes, agent: IceConnection, port: UdpPort) -> bytes:
    """A datagram of an input: kind, address, message type, then attributes; what is signed cannot be guessed."""
    kind, attributes = (part[0] % 4 if part else RAW), part[4:]
    if kind == RAW:
        return part[2:]
    message_type = int.from_bytes(part[2:4])
    transaction = next(iter(port.demux.transactions), b"t" * 12)
    if kind == RESPONSE:
        return _signed(message_type, transaction, attributes, FAR_PASSWORD.encode())
    name = f"{agent.local_username}:{FAR}".encode()
    username = struct.pack("!HH", 6, len(name)) + name + bytes(-len(name) % 4)
    password = agent.local_password if kind == REQUEST else "not the password"
    return _signed(message_type, b"u" * 12, username + attributes, password.encode())


def _signed(message_type: int, transaction: bytes, attributes: bytes, key: bytes) -> bytes:
    """A STUN message with MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 sections 14.5 and 14.7), whatever is in it."""
    attributes = attributes[:1200]

    def head(length: int) -> bytes:
        return struct.pack("!HHI12s", message_type, length & 0xFFFF, stun.COOKIE, transaction)

    digest = hmac.digest(key, head(len(attributes) + 24) + attributes, "sha1")
    attributes += struct.pack("!HH", 8, 20) + digest
    whole = head(len(attributes) + 8) + attributes
    return whole + struct.pack("!HHI", 0x8028, 4, zlib.crc32(whole) ^ 0x5354554E)


def _attribute(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)


def _stun_seeds() -> list[bytes]:
    priority, controlling, nominate = _attribute(0x24, b"\0\0\0\1"), _attribute(0x802A, b"c" * 8), _attribute(0x25, b"")
    controlled = _attribute(0x8029, b"d" * 8)
    mapped = _attribute(0x20, b"\0\1" + b"\x21\x12\x21\x12\xa4\x43")
    mapped6 = _attribute(0x20, b"\0\2" + b"m" * 18)
    conflict = _attribute(0x9, b"\0\0\4\x57Role Conflict")
    request, response, error, indication = b"\0\1", b"\1\1", b"\1\x11", b"\0\x11"
    return [
        framed(b"\0\1" + request + priority + controlling + nominate, b"\2\0" + response + mapped),
        framed(*[bytes([REQUEST, number]) + request + priority for number in range(40)]),
        framed(b"\0\1" + request + priority + controlled, b"\2\0" + error + conflict, b"\2\0" + response + mapped6),
        framed(b"\1\1" + request + priority, b"\0\1" + indication, b"\0\1\0\3" + _attribute(6, b"a:b")),
        framed(b"\3\0" + bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))),
        framed(b"\0\1" + request + priority + _attribute(0x8022, "Grüße".encode()) + _attribute(0x14, b"realm")),
        framed(
            b"\0\1" + request + priority + nominate, b"\3\1\x16\xfe\xff", b"\3\1\x80\x6f" + bytes(40), b"\3\1\x80\xc8"
        ),
    ]


# DTLS and SCTP --------------------------------------------------------------------------------------------------------


class _Wire:
    """Stands for the ICE transport under a DTLS transport: gives what it was given, then is gone."""

    role = "controlled"
    state = "completed"

    def __init__(self, records: list[bytes]) -> None:
        self._records = iter(records)
        self.sent = 0

    async def _recv(self) -> bytes:
        record = next(self._records, None)
        if record is None:
            raise ConnectionError
        return record

    async def _send(self, data: bytes) -> None:
        self.sent += len(data)


@contextlib.asynccontextmanager
async def _dtls() -> AsyncIterator[AsyncCheck]:
    certificate = RTCCertificate.generateCertificate()
    parameters = RTCDtlsParameters([RTCDtlsFingerprint("sha-256", ":".join(["AB"] * 32))])

    async def check(data: bytes) -> None:
        role = "client" if data[:1] == b"\1" else "server"
        records = [record for record in datagrams(data[1:]) if record and 20 <= record[0] <= 63]
        wire: Any = _Wire(records)
        transport = DtlsTransport(wire, certificate, role)
        await transport.start(parameters)
        assert transport.state == "failed"
        await transport.stop()
        # RFC 9147 section 5.1: a stranger's address must not be flooded with what it did not ask for.
        assert wire.sent < 20_000 + 3 * sum(map(len, records))

    yield check


def _dtls_seeds() -> list[bytes]:
    """Hellos of both sides, as OpenSSL sends them."""
    records: list[bytes] = []

    async def hello(role: str) -> None:
        wire: Any = _Wire([])

        async def keep(data: bytes) -> None:
            records.append(data)

        wire._send = keep
        transport = DtlsTransport(wire, RTCCertificate.generateCertificate(), role)
        await transport.start(RTCDtlsParameters([RTCDtlsFingerprint("sha-256", ":".join(["AB"] * 32))]))

    asyncio.run(hello("client"))
    hello_record = records[0]
    alert = bytes.fromhex("15fefd000000000000000000020228")
    return [
        b"\0" + framed(hello_record),
        b"\0" + framed(hello_record, hello_record, alert),
        b"\1" + framed(hello_record),
        b"\0" + framed(b"\x16", b"\x14\xfe\xfd" + bytes(10) + b"\1\1", b"\x17\xfe\xfd" + bytes(11)),
    ]


class _Association:
    """Two ends of SCTP in memory; the far end's packets can be made up once both stand."""

    def __init__(self) -> None:
        self.near = SctpTransport(self._dtls("server"), 5000)
        self.far = SctpTransport(self._dtls("client"), 5000)
        self.messages: list[object] = []
        self.near.on("datachannel", lambda channel: channel.on("message", self.messages.append))

    def _dtls(self, role: str) -> Any:
        async def send(data: bytes) -> None:
            other = self.far if role == "server" else self.near
            asyncio.get_running_loop().call_soon(lambda: self._pass(other, data))

        return SimpleNamespace(
            state="connected",
            _role=role,
            transport=SimpleNamespace(role="controlling" if role == "server" else "controlled"),
            _send_data=send,
            _register_data_receiver=lambda _: None,
            _unregister_data_receiver=lambda _: None,
        )

    def _pass(self, other: SctpTransport, data: bytes) -> None:
        task = asyncio.ensure_future(other._handle_data(data))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def start(self) -> None:
        self._tasks: set[asyncio.Future[None]] = set()
        for end in (self.near, self.far):
            await end.start(RTCSctpCapabilities(maxMessageSize=65536), 5000)
        for _ in range(200):
            if self.near._association_state == self.near.State.ESTABLISHED:
                break
            await asyncio.sleep(0)

    async def stop(self) -> None:
        for end in (self.near, self.far):
            await end.stop()
        while self._tasks:
            await asyncio.wait(set(self._tasks))


@contextlib.asynccontextmanager
async def _sctp() -> AsyncIterator[AsyncCheck]:
    async def check(data: bytes) -> None:
        both = _Association()
        await both.start()
        near = both.near
        assert near._association_state == near.State.ESTABLISHED
        tag = near._local_verification_tag
        for chunks in datagrams(data):
            chunk: Any = _Raw(_with_tsn(chunks, near._last_received_tsn or 0))
            await near._handle_data(serialize_packet(5000, 5000, 0 if chunks[:1] == b"\1" else tag, chunk))
            await asyncio.sleep(0)
        assert len(near._inbound_streams) <= MAX_STREAMS
        held = [chunk for stream in near._inbound_streams.values() for chunk in stream.reassembly]
        assert len(held) <= MAX_HELD_CHUNKS
        assert sum(len(chunk.user_data) for chunk in held) <= 1 << 20
        await both.stop()

    yield check


class _Raw:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __bytes__(self) -> bytes:
        return self._data


def _with_tsn(chunks: bytes, tsn: int) -> bytes:
    """DATA whose TSN begins with 0xFFFF gets one so much (the rest of it) behind the last that was received."""
    found, at = bytearray(chunks), 0
    while at + 8 <= len(found):
        if found[at] == 0 and found[at + 4 : at + 6] == b"\xff\xff":
            found[at + 4 : at + 8] = ((tsn + int.from_bytes(found[at + 6 : at + 8])) & 0xFFFFFFFF).to_bytes(4)
        size = max(4, int.from_bytes(found[at + 2 : at + 4]))
        at += size + -size % 4
    return bytes(found)


def _chunk(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("!BBH", kind, flags, len(body) + 4) + body + bytes(-len(body) % 4)


def _data(offset: int, protocol: int, payload: bytes, flags: int = 3, stream: int = 1) -> bytes:
    return _chunk(0, flags, struct.pack("!HHHHI", 0xFFFF, offset, stream, 0, protocol) + payload)


def _sctp_seeds() -> list[bytes]:
    opened = struct.pack("!BBHLHH", 3, 0, 0, 0, 10, 0) + b"oai-events"
    reset = struct.pack("!HHIIIH", 13, 18, 1, 0, 0, 1)
    return [
        framed(_data(1, 50, opened), _data(2, 51, b'{"type": "response.create"}'), _data(3, 53, b"\0\1")),
        framed(_data(1, 50, opened), _data(2, 51, b"half", 2), _data(3, 51, b" and half", 1), _data(9, 51, b"late")),
        framed(_data(1, 50, opened), _chunk(3, 0, struct.pack("!IIHHHHI", 1, 1000, 1, 1, 1, 2, 7))),
        framed(_chunk(1, 0, struct.pack("!IIHHI", 9, 1000, 5, 5, 3) + struct.pack("!HHHH", 0x8008, 6, 0xC082, 0))),
        framed(_chunk(130, 0, reset), _chunk(192, 0, struct.pack("!IHH", 5, 1, 1)), _chunk(4, 0, b"\0\1\0\x08info")),
        framed(_chunk(7, 0, b"\0\0\0\1"), _chunk(8, 0, b""), _chunk(14, 0, b"")),
        framed(_chunk(3, 0, struct.pack("!IIHH", 0, 1000, 280, 0) + struct.pack("!HH", 1, 65_535) * 280)),
        framed(_chunk(192, 0, struct.pack("!I", 5) + b"".join(struct.pack("!HH", n, 1) for n in range(9, 9 + 300)))),
        framed(_chunk(6, 0, b""), _chunk(9, 0, b"\0\1\0\4"), _chunk(10, 0, b"cookie"), _chunk(11, 0, b"")),
    ]


# RTP and RTCP ---------------------------------------------------------------------------------------------------------

PAYLOAD_TYPE = 111
SSRC = 1


@contextlib.contextmanager
def _link() -> Iterator[Check]:
    def check(data: bytes) -> None:
        notes = Notes()
        settings = LinkSettings(PAYLOAD_TYPE, PAYLOAD_TYPE, SSRC, "fuzz", True, True, OpusFormat(), 3.0)
        link = AudioLink(settings, Playout(), notes, lambda packet: None, 0.0)
        now = 0.0
        for packet in datagrams(data):
            # The first byte is how long it was in coming, 5 ms each.
            now += 0.005 * (packet[0] if packet else 0)
            link.packet_received(packet[1:], now)
            link.tick(Due(1, 0), now, read=True)
        for _ in range(40):
            now += 0.02
            link.tick(Due(1, 0), now, read=True)
        heard_s = sum(len(pcm) for _, _, pcm in notes.audio) / 16_000
        assert heard_s <= now + 2.0, f"{heard_s:.1f} s were heard in {now:.1f} s"
        link.stats(now)
        link.said_goodbye(now)
        link.close()

    yield check


def _voice(count: int) -> list[bytes]:
    encoder = OpusEncoder(bitrate=28_000)
    pcm = tone(440, 0.02 * count, 24_000)
    size = len(pcm) // count
    try:
        return [encoder.encode(pcm[at * size : (at + 1) * size]) for at in range(count)]
    finally:
        encoder.close()


def _rtp(number: int, payload: bytes, payload_type: int = PAYLOAD_TYPE, ssrc: int = 7) -> bytes:
    return b"\4" + RtpPacket(payload_type, False, number, 960 * number, ssrc, payload).serialize()


def _rtp_seeds() -> list[bytes]:
    voice = _voice(8)
    in_order = [_rtp(number, payload) for number, payload in enumerate(voice)]
    extended = b"\4" + b"\x90" + _rtp(0, voice[0])[2:13] + b"\xbe\xde\0\1\x10\x80\0\0" + voice[0]
    padded = b"\4" + b"\xa0" + _rtp(1, voice[1])[2:] + b"\0\0\0\4"
    return [
        framed(*in_order),
        framed(*in_order[:3], *in_order[5:], in_order[4], in_order[2]),
        framed(in_order[0], _rtp(65_535, voice[1]), _rtp(30_000, voice[2]), _rtp(30_001, voice[3])),
        framed(extended, padded, _rtp(2, b""), _rtp(3, SILENCE), _rtp(4, SILENCE[:1])),
        framed(*[_rtp(number, voice[0], ssrc=number) for number in range(12)]),
        framed(_rtp(0, voice[0], 63), _rtp(1, voice[1], 0), _rtp(2, b"\xff" * 60), _rtp(3, b"\xfc\x3f" + bytes(200))),
    ]


def _rtcp_seeds() -> list[bytes]:
    report = RtcpReceiverInfo(SSRC, 25, 3, 1000, 40, 0x1234, 0x100)
    sender = RtcpSenderInfo(1 << 33, 960, 10, 1000)
    sdes = RtcpSdesPacket([RtcpSourceInfo(7, [(1, b"far end")])])
    compound = bytes(RtcpSrPacket(7, sender, [report])) + bytes(sdes)
    return [
        framed(_rtp(0, SILENCE), b"\4" + compound, b"\4" + bytes(RtcpByePacket([7])), _rtp(1, SILENCE)),
        framed(b"\4" + bytes(RtcpRrPacket(7, [report, report])), b"\4" + bytes(RtcpRrPacket(7))),
        framed(b"\4" + bytes(RtcpRtpfbPacket(1, 7, SSRC, [1, 2, 19])), b"\4" + bytes(RtcpPsfbPacket(1, 7, SSRC))),
        framed(b"\4" + compound + bytes(RtcpByePacket([7, 8])), b"\4\x81\xcc\0\2" + bytes(8), b"\4\x80\xcf\0\0"),
    ]


def _mutated_packets(data: bytes, dice: random.Random) -> bytes:
    """Something in one of the datagrams changed, so that the lengths of the others stay true."""
    parts = datagrams(data)
    if not parts or dice.random() < 0.1:
        return mutated(data, dice)
    at = dice.randrange(len(parts))
    match dice.randrange(8):
        case 0:
            parts.insert(at, dice.choice(parts))
        case 1:
            parts[at] = mutated(dice.choice(parts), dice)
        case 2:
            del parts[at]
        case _:
            parts[at] = mutated(parts[at], dice)
    return framed(*(part[:0xFFFF] for part in parts))


def _mutated_records(data: bytes, dice: random.Random) -> bytes:
    return (dice.choice((b"\0", b"\1")) if dice.random() < 0.1 else data[:1]) + _mutated_packets(data[1:], dice)


TARGETS = (
    Target("stun", "STUN with and without a call's password, and what else comes to the UDP port", on_loop(_ice),
           _stun_seeds, _mutated_packets, runs=200),
    Target("dtls", "DTLS records before a handshake is done", on_loop(_dtls), _dtls_seeds, _mutated_records, runs=200),
    Target("sctp", "SCTP chunks of a caller, and the data channel's opening", on_loop(_sctp), _sctp_seeds,
           _mutated_packets, runs=150),
    Target("rtp", "RTP and Opus of a caller", _link, _rtp_seeds, _mutated_packets, runs=150),
    Target("rtcp", "RTCP of a caller", _link, _rtcp_seeds, _mutated_packets, runs=200),
)  # fmt: skip
