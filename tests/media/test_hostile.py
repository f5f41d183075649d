"""Strangers who send to the port while calls are set up, and peers that misbehave."""

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator

import pylibsrtp
from aioice import stun
from aiortc.rtp import RtpPacket

from media.dtls import MAX_SSRCS
from media.endpoint import MediaEndpoint
from media.sdp_ice import MAX_CANDIDATES
from media.values import IceCandidate
from server.client.caller import Caller
from tests.media.calls import Notes, call, endpoint, tone, until

NULL_CLIENT_HELLO = (
    bytes.fromhex(
        # DTLS 1.2 record, handshake, ClientHello with the one cipher suite TLS_RSA_WITH_NULL_SHA
        "16feff000000000000000000360100002a000000000000002afefd"
    )
    + bytes(32)
    + bytes.fromhex("0000000200020100")
)
FATAL_ALERT = bytes.fromhex("15fefd000000000000000000020228")
CLOSE_NOTIFY = bytes.fromhex("15fefd000000000000000100020100")


def binding_request(ufrag: str, password: bytes) -> bytes:
    request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    request.attributes["USERNAME"] = f"{ufrag}:abcd"
    request.attributes["PRIORITY"] = 1
    request.attributes["ICE-CONTROLLING"] = 1
    request.attributes["USE-CANDIDATE"] = None
    request.add_message_integrity(password)
    return bytes(request)


def hostile_datagrams(ufrag: str, count: int, rng: random.Random) -> list[bytes]:
    """A mix of everything that could disturb, for a call whose ufrag is known but not its password."""

    def garbage_stun() -> bytes:
        return b"\x00\x01" + rng.randbytes(2) + b"\x21\x12\xa4\x42" + rng.randbytes(rng.randrange(60))

    makers = [
        lambda: NULL_CLIENT_HELLO,
        lambda: FATAL_ALERT,
        lambda: CLOSE_NOTIFY,
        garbage_stun,
        lambda: binding_request(ufrag, b"not the password at all"),
        lambda: b"\x80\x60" + rng.randbytes(40),
        lambda: rng.randbytes(rng.randrange(1, 60)),
        lambda: b"",
    ]
    return [makers[i % len(makers)]() for i in range(count)]


@contextlib.asynccontextmanager
async def spray(server: MediaEndpoint, datagrams: list[bytes]) -> AsyncIterator[None]:
    """Send datagrams from a foreign socket, spread over the set-up of a call; none may be answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.setblocking(False)

        async def run() -> None:
            for index, data in enumerate(datagrams):
                with contextlib.suppress(BlockingIOError):
                    stranger.sendto(data, ("127.0.0.1", server.port))
                if index % 25 == 24:
                    await asyncio.sleep(0.001)

        task = asyncio.create_task(run())
        # The first of them are there before the caller has even read the answer.
        await asyncio.sleep(0.005)
        yield
        await task
        await asyncio.sleep(0.05)
        with contextlib.suppress(BlockingIOError):
            assert stranger.recv(2048) == b"", "a stranger got an answer"


async def test_six_of_six_calls_connect_under_a_spray_of_hostile_datagrams() -> None:
    rng = random.Random(5)
    async with endpoint() as server:
        for index in range(6):
            notes = Notes()
            async with Caller() as caller:
                peer = await server.answer(await caller.offer(), notes)
                found = re.search(r"a=ice-ufrag:(\S+)", peer.answer)
                assert found is not None
                async with spray(server, hostile_datagrams(found[1], 1000, rng)):
                    await caller.accept(peer.answer)
                    spoken = await caller.say(tone(440, 0.2, rate=48_000))
                    await until(lambda notes=notes, spoken=spoken: notes.first_sound_after(spoken.first - 0.02))
                dropped = server.stats().datagrams_dropped
                assert sum(dropped.values()) >= 900 * (index + 1)
                assert {kind for kind, count in dropped.items() if count} == {"stun", "dtls", "rtp", "other"}
                assert server._port.demux.addresses <= 2
                assert peer.stats().packets_discarded == 0
                assert notes.closed == []


async def test_srtp_that_does_not_authenticate_is_counted_and_ignored() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        ice = caller._sender().transport.transport
        rng = random.Random(6)
        for _ in range(100):
            await ice._send(b"\x80\x60" + rng.randbytes(60))
            await ice._send(b"\x80\xc8" + rng.randbytes(60))
        await until(lambda: peer.stats().packets_discarded >= 200)
        frames = len(notes.audio)
        await until(lambda: len(notes.audio) > frames + 10)
        assert notes.closed == []


async def test_checks_go_to_twenty_addresses_at_most_however_many_are_named_and_however_often() -> None:
    """Real sockets stand for the addresses of strangers: who gets a check?"""
    with contextlib.ExitStack() as sockets:
        strangers = [sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(60)]
        lines = []
        for index, stranger in enumerate(strangers):
            stranger.bind(("127.0.0.1", 0))
            stranger.setblocking(False)
            address = f"127.0.0.1 {stranger.getsockname()[1]}"
            lines.append(f"candidate:{index} 1 udp {2130706431 - index} {address} typ host")
        async with endpoint() as server, Caller() as caller:
            offer = [line for line in (await caller.offer()).splitlines() if "candidate" not in line]
            named = [f"a={line}" for line in lines[:30] for _ in range(2)]
            peer = await server.answer("\r\n".join([*offer, *named]) + "\r\n", Notes())
            for _ in range(2):
                await peer.add_candidates([IceCandidate(line, "0") for line in lines[30:]])
            reached: set[int] = set()

            def reach() -> int:
                for index, stranger in enumerate(strangers):
                    with contextlib.suppress(BlockingIOError):
                        stranger.recv(2048)
                        reached.add(index)
                return len(reached)

            await until(lambda: reach() >= MAX_CANDIDATES)
            # The checks are 20 ms apart: as many more would have gone out by now.
            await asyncio.sleep(1.0)
            reach()
            assert reached == set(range(MAX_CANDIDATES))
            assert MAX_CANDIDATES == 20


async def test_of_a_peer_with_a_thousand_ssrcs_few_are_remembered_and_it_is_still_heard() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        dtls = caller._sender().transport
        first, last = 0x10_0000, 0x10_0000 + 1000
        for ssrc in range(first, last):
            packet = RtpPacket(payload_type=96, sequence_number=1, timestamp=960, ssrc=ssrc, payload=b"x" * 40)
            # Past the caller's own transport: its statistics know one stream.
            await dtls.transport._send(dtls._tx_srtp.protect(packet.serialize()))
            if ssrc % 50 == 0:
                await asyncio.sleep(0.01)
        kept = []
        await until(lambda: (last - 1).to_bytes(4) in peer._transport.dtls._ssrcs)
        for ssrc in range(first, last):
            with contextlib.suppress(pylibsrtp.Error):
                peer._transport.dtls._rx_srtp.remove_stream(ssrc)
                kept.append(ssrc)
        assert 0 < len(kept) <= MAX_SSRCS
        assert peer._transport.dtls.srtp_discarded == 0
        spoken = await caller.say(tone(440, 0.2, rate=48_000))
        await until(lambda: notes.first_sound_after(spoken.first - 0.02))
        assert notes.closed == []


async def test_a_replayed_packet_is_not_heard_twice() -> None:
    async with endpoint() as server, call(server) as (caller, peer, _):
        dtls = caller._sender().transport
        send = dtls.transport._send

        async def twice(data: bytes) -> None:
            await send(data)
            await send(data)

        dtls.transport._send = twice
        before = peer.stats().packets_received
        await asyncio.sleep(0.5)
        stats = peer.stats()
        assert stats.packets_received - before <= 32
        assert stats.packets_discarded >= 15


async def test_plaintext_alerts_from_the_peers_own_address_do_not_end_a_call() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        ice = caller._sender().transport.transport
        for data in (FATAL_ALERT, CLOSE_NOTIFY, NULL_CLIENT_HELLO, b"\x16", b"\x3f" * 50) * 20:
            await ice._send(data)
        frames = len(notes.audio)
        await until(lambda: len(notes.audio) > frames + 10)
        assert notes.closed == []


async def test_an_authenticated_check_from_a_new_address_is_answered_and_bounded() -> None:
    """The caller's network may change; but whoever knows the password still gets only so many addresses."""
    async with endpoint() as server, call(server) as (_, peer, notes):
        ufrag, password = peer._transport._ice.local_username, peer._transport._ice.local_password.encode()
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        request.attributes["USERNAME"] = f"{ufrag}:{peer.ice_ufrag}"
        request.attributes["ICE-CONTROLLING"] = 1
        # As FFmpeg does: no PRIORITY, at which stock aioice raises.
        request.add_message_integrity(password)
        answers = 0
        for _ in range(100):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as another:
                another.bind(("127.0.0.1", 0))
                another.setblocking(False)
                another.sendto(bytes(request), ("127.0.0.1", server.port))
                await asyncio.sleep(0.002)
                with contextlib.suppress(BlockingIOError):
                    answers += bool(another.recv(2048))
        assert 10 <= answers <= 64
        assert server._port.demux.addresses <= 16
        assert len(peer._transport._ice.remote_candidates) <= 64
        frames = len(notes.audio)
        await until(lambda: len(notes.audio) > frames + 10)


async def test_a_port_on_all_addresses_answers_nobody_without_the_password_of_a_call() -> None:
    rng = random.Random(7)
    async with endpoint() as server, call(server) as (_, peer, notes):
        assert server._port.versions[0] == 4
        ufrag, password = (re.findall(rf"a=ice-{name}:(\S+)", peer.answer)[0] for name in ("ufrag", "pwd"))
        for address in server._port.addresses:
            known = server._port.demux.addresses
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind((address, 0))
                stranger.setblocking(False)
                strange = [*hostile_datagrams(ufrag, 64, rng), binding_request("nobody", password.encode())]
                handled = sum(server.stats().datagrams_dropped.values())
                for data in strange:
                    stranger.sendto(data, (address, server.port))
                await until(lambda handled=handled, strange=strange: (
                    sum(server.stats().datagrams_dropped.values()) >= handled + len(strange)
                ))  # fmt: skip
                with contextlib.suppress(BlockingIOError):
                    assert stranger.recv(2048) == b"", f"a stranger got an answer from {address}"
                assert server._port.demux.addresses == known
                # The same socket with the call's password is answered: the silence was not the network's.
                request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
                request.attributes["USERNAME"] = f"{ufrag}:{peer.ice_ufrag}"
                request.attributes["PRIORITY"] = 1
                request.add_message_integrity(password.encode())
                stranger.sendto(bytes(request), (address, server.port))
                answer = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(stranger, 2048), 60)
                assert stun.parse_message(answer).message_class is stun.Class.RESPONSE
        assert notes.closed == []
