"""ICE begins anew under a call: sound goes on, by another path, over the same DTLS association."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aioice import Candidate, Connection
from aiortc.rtcicetransport import RTCIceCandidate, RTCIceTransport

from media.peer import WebRtcPeer
from media.sdp_fragment import build_fragment, parse_fragment
from media.upstream import stock
from media.values import IceCandidate, IceRestartError, InvalidOfferError
from server.client.caller import Caller
from tests.media.calls import Notes, call, endpoint, tone, until


def transport_of(caller: Caller) -> RTCIceTransport:
    connection = caller._connection
    assert connection is not None
    transport: RTCIceTransport = connection.getTransceivers()[0].receiver.transport.transport
    return transport


@asynccontextmanager
async def other_path(caller: Caller, peer: WebRtcPeer) -> AsyncIterator[Connection]:
    """The caller's ICE begins anew: another socket, other credentials. It is told to the peer, and goes on there."""
    agent = Connection(ice_controlling=True)
    stock.reach_loopback_by(agent)
    await agent.gather_candidates()
    await peer.restart_ice(agent.local_username, agent.local_password)
    agent.remote_username, agent.remote_password = peer.local_ice
    for candidate in peer.candidates:
        await agent.add_remote_candidate(
            Candidate("1", 1, "udp", candidate.priority, candidate.ip, candidate.port, "host")
        )
    await agent.add_remote_candidate(None)
    try:
        yield agent
    finally:
        await agent.close()


@pytest.mark.timeout(120)
async def test_sound_and_messages_go_on_by_the_new_path() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        await until(lambda: notes.channel_open)
        before = peer.local_ice
        async with other_path(caller, peer) as agent:
            assert peer.local_ice != before
            at_first = len(notes.audio)
            await until(lambda: len(notes.audio) > at_first + 10)  # While there is no new path, by the old one.
            await agent.connect()
            stock.send_by(transport_of(caller), agent)
            await asyncio.sleep(0.2)
            spoken = await caller.say(tone(440, 0.5, rate=24_000), rate=24_000)
            await until(lambda: notes.first_sound_after(spoken.first - 0.02) is not None)
            began = time.monotonic()
            peer.speaker.write(tone(660, 0.5))
            await caller.wait_for_sound(began, timeout=60)
            caller.send("by the new path")
            await until(lambda: "by the new path" in notes.messages)
            assert peer.send_message("and back")
            await until(lambda: any(text == "and back" for _, text in caller.messages))
        assert notes.closed == []


@pytest.mark.timeout(120)
async def test_a_second_restart_takes_over_from_the_first() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        async with other_path(caller, peer) as first:
            await first.connect()
            stock.send_by(transport_of(caller), first)
            async with other_path(caller, peer) as second:
                await second.connect()
                stock.send_by(transport_of(caller), second)
                await asyncio.sleep(0.2)
                at_first = len(notes.audio)
                await until(lambda: len(notes.audio) > at_first + 20)
        assert notes.closed == []


@pytest.mark.timeout(120)
async def test_a_restart_that_finds_no_path_changes_nothing() -> None:
    async with endpoint(connect_timeout_s=1.0) as server, call(server) as (_, peer, notes):
        await peer.restart_ice("nobody-there", "p" * 24)
        await asyncio.sleep(1.5)
        at_first = len(notes.audio)
        await until(lambda: len(notes.audio) > at_first + 20)
        assert notes.closed == []


async def test_what_does_not_stand_cannot_begin_anew() -> None:
    async with endpoint() as server, Caller() as caller:
        peer = await server.answer(await caller.offer(), Notes())
        with pytest.raises(IceRestartError, match="not connected yet"):
            await peer.restart_ice("ufrag", "p" * 24)
        await peer.close()
        with pytest.raises(IceRestartError, match="gone"):
            await peer.restart_ice("ufrag", "p" * 24)


def test_a_fragment_says_what_was_put_into_it() -> None:
    fragment = parse_fragment(
        "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
        "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n"
    )
    assert (fragment.ufrag, fragment.password) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert fragment.candidates == (
        IceCandidate("candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host", "0"),
        IceCandidate("", "0"),
    )
    hosts = [RTCIceCandidate(1, "f", f"192.0.2.{n}", 7000, 2130706431 - n, "udp", "host") for n in (7, 8, 9)]
    written = build_fragment("near", "p" * 22, "0", hosts)
    assert [each.candidate.split()[4] for each in parse_fragment(written).candidates if each.candidate] == [
        "192.0.2.7",
        "192.0.2.8",
        "192.0.2.9",
    ]
    assert len(re.findall(r"(a=candidate:.*\r\n)", written)) == 1, "whip-whep joins those with commas"
    written = build_fragment("near", "p" * 22, "0", ())
    assert re.findall(r"a=\S+", written) == [
        "a=ice-ufrag:near",
        "a=ice-pwd:" + "p" * 22,
        "a=mid:0",
        "a=end-of-candidates",
    ]


@pytest.mark.parametrize("text", ["a=ice-ufrag:EsAw\r\n", "a=ice-ufrag:E\r\na=ice-pwd:" + "p" * 22])
def test_half_credentials_are_refused(text: str) -> None:
    with pytest.raises(InvalidOfferError, match="ice-"):
        parse_fragment(text)


async def test_a_restart_that_fails_in_an_unknown_way_is_told_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with endpoint() as server, call(server) as (_, peer, notes):
        await until(lambda: notes.channel_open)
        stopped: list[RTCIceTransport] = []
        stop = RTCIceTransport.stop

        async def broken(*_: object) -> None:
            raise RuntimeError("nobody expected this")

        async def noted(self: RTCIceTransport) -> None:
            stopped.append(self)
            await stop(self)

        monkeypatch.setattr(RTCIceTransport, "start", broken)
        monkeypatch.setattr(RTCIceTransport, "stop", noted)
        await peer.restart_ice("abcd", "a" * 22)
        await until(lambda: any("ICE restart failed" in record.message for record in caplog.records))
        at_first = len(notes.audio)
        await until(lambda: len(notes.audio) > at_first + 10)
        assert stopped
