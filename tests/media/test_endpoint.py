"""Calls over the wire, with stock aiortc as the far end."""

import asyncio
import re
import time
from itertools import pairwise
from operator import attrgetter

import numpy as np
import pytest
from aiortc.rtp import RtcpByePacket

from media.endpoint import EndpointFullError, MediaEndpoint
from media.values import RECEIVE_RATE, IceCandidate, InvalidOfferError, MediaConfig, MediaError, PlayoutChange
from server.client.caller import Caller, CallFailedError
from tests.media.calls import Notes, call, endpoint, loud_part, pitch, tone, until


async def test_a_tone_of_the_caller_is_heard_at_once_with_its_pitch() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        await asyncio.sleep(0.3)
        spoken = await caller.say(tone(440, 0.5, rate=24_000), rate=24_000)
        await asyncio.sleep(0.1)
        heard_at = notes.first_sound_after(spoken.first - 0.02)
        assert heard_at is not None
        assert heard_at - spoken.first < 0.4
        assert pitch(loud_part(notes.heard()), RECEIVE_RATE) == pytest.approx(440, abs=6)


async def test_what_is_written_to_the_speaker_is_heard_by_the_caller_with_its_pitch() -> None:
    async with endpoint() as server, call(server) as (caller, peer, _):
        await asyncio.sleep(0.3)
        written_at = time.monotonic()
        peer.speaker.write(tone(660, 0.5))
        peer.speaker.finish()
        await caller.wait_for_sound(written_at)
        await until(lambda: sum(packet.dbfs > -45 for packet in caller.packets) >= 25)
        assert pitch(loud_part(caller.heard_pcm(48_000), 48_000), 48_000) == pytest.approx(660, abs=6)


async def test_incoming_audio_comes_in_20_ms_frames_without_gaps_and_with_arrival_times() -> None:
    async with endpoint() as server, call(server) as (_, _, notes):
        await asyncio.sleep(1.2)
        frames = notes.audio[5:]
        assert all(pcm.shape == (320,) and pcm.dtype == np.int16 for _, _, pcm in frames)
        span = frames[-1][1] - frames[0][1]
        assert len(frames) - 1 == pytest.approx(span / 0.02, abs=30)
        assert all(a[1] <= b[1] for a, b in pairwise(frames))


async def test_flush_silences_the_caller_at_once() -> None:
    async with endpoint() as server, call(server) as (caller, peer, _):
        began = time.monotonic()
        peer.speaker.write(tone(500, 10))
        await caller.wait_for_sound(began)
        await asyncio.sleep(0.3)
        flushed_at = time.monotonic()
        position = peer.speaker.flush()
        await asyncio.sleep(0.4)
        last_sound = caller.silent_since()
        assert last_sound is not None
        assert last_sound - flushed_at < 0.35
        assert peer.speaker.written == position


async def test_silence_is_sent_all_the_time_on_the_monotonic_clock() -> None:
    async with endpoint() as server, call(server) as (caller, _, _):
        await until(lambda: len(caller.packets) >= 60)
        packets = caller.packets
        sent = packets[-1].position - packets[0].position
        # Wide: a process that has no processor for a while is late with a packet.
        assert sent / 48_000 == pytest.approx(packets[-1].at - packets[0].at, abs=0.5)
        assert np.median(np.diff([packet.position for packet in packets])) == 960


async def test_a_call_at_rest_sends_half_the_packets_hears_everything_and_wakes_for_speech() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        peer.speaker.rest(True)
        await asyncio.sleep(0.2)
        before, heard = len(caller.packets), len(notes.audio)
        await until(lambda: len(caller.packets) - before >= 30)
        at_rest = caller.packets[before:]
        assert np.median(np.diff([packet.position for packet in at_rest])) == 1920
        sent = caller.packets[-1].position - caller.packets[0].position
        assert sent / 48_000 == pytest.approx(caller.packets[-1].at - caller.packets[0].at, abs=0.5)
        # Twice as many are heard as are sent; wide, because the caller is late where it has no processor.
        assert len(notes.audio) - heard == pytest.approx(2 * len(at_rest), abs=25)
        peer.speaker.rest(False)
        peer.speaker.write(tone(500, 0.4))
        peer.speaker.finish()
        written_at = time.monotonic()
        assert await caller.wait_for_sound(written_at) - written_at < 2


async def test_playout_tells_its_start_and_its_end() -> None:
    async with endpoint() as server, call(server) as (_, peer, notes):
        peer.speaker.write(tone(500, 0.2))
        peer.speaker.finish()
        await until(lambda: PlayoutChange.DRAINED in notes.changes())
        assert notes.changes() == [PlayoutChange.STARTED, PlayoutChange.DRAINED]
        assert notes.playout[-1].position == 4800
        assert notes.playout[-1].at - notes.playout[0].at == pytest.approx(0.2, abs=0.05)


async def test_an_offer_without_candidates_connects() -> None:
    """The stock OpenAI client posts its offer before it has gathered, and never trickles."""
    async with endpoint() as server, Caller() as caller:
        bare = re.sub(r"a=(candidate|end-of-candidates)[^\r]*\r\n", "", await caller.offer())
        assert "candidate" not in bare
        notes = Notes()
        await caller.accept((await server.answer(bare, notes)).answer)
        await until(lambda: len(notes.audio) > 10)


async def test_hidden_and_tcp_candidates_and_their_end_do_no_harm() -> None:
    async with endpoint() as server, Caller() as caller:
        bare = re.sub(r"a=(candidate|end-of-candidates)[^\r]*\r\n", "", await caller.offer())
        notes = Notes()
        peer = await server.answer(bare, notes)
        hidden = "candidate:1 1 udp 2113937151 0f3b2f52-5f0b-4d0e-a39b-6b1d6a5f3b11.local 50000 typ host"
        tcp = "candidate:2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active"
        await peer.add_candidates([IceCandidate(c) for c in (hidden, tcp, "candidate:nonsense", "")])
        await caller.accept(peer.answer)
        await until(lambda: len(notes.audio) > 10)


async def test_trickled_candidates_are_checked() -> None:
    async with endpoint() as server, Caller() as caller:
        offer = await caller.offer()
        bare = re.sub(r"a=(candidate|end-of-candidates)[^\r]*\r\n", "", offer)
        notes = Notes()
        peer = await server.answer(bare, notes)
        # The caller is given nothing to send checks to: only ours can connect the two.
        unreachable = re.sub(r"(a=candidate:\S+ 1 udp \d+) \S+ \d+", r"\1 192.0.2.200 9", peer.answer)
        lines = [line[2:] for line in offer.splitlines() if line.startswith("a=candidate")]
        await peer.add_candidates([IceCandidate(line) for line in lines])
        await caller.accept(unreachable)
        await until(lambda: len(notes.audio) > 10)


@pytest.mark.parametrize(("offered", "answered"), [("actpass", "active"), ("passive", "active"), ("active", "passive")])
async def test_both_dtls_roles_connect(offered: str, answered: str) -> None:
    async with endpoint() as server, Caller() as caller:
        notes = Notes()
        offer = (await caller.offer()).replace("a=setup:actpass", f"a=setup:{offered}")
        peer = await server.answer(offer, notes)
        assert set(re.findall(r"a=setup:(\w+)", peer.answer)) == {answered}
        await caller.accept(peer.answer)
        await until(lambda: len(notes.audio) > 10)


async def test_a_call_on_loopback_alone_connects() -> None:
    async with endpoint(host="127.0.0.1") as server, call(server) as (_, peer, notes):
        addresses = set(re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+)", peer.answer))
        assert addresses == {"127.0.0.1"}
        await until(lambda: len(notes.audio) > 10)


async def test_a_configured_public_address_is_announced_first_and_loopback_still_connects() -> None:
    async with endpoint(public_addresses=("203.0.113.7",)) as server, call(server) as (_, peer, notes):
        addresses = re.findall(r"a=candidate:\S+ 1 udp \d+ (\S+)", peer.answer)
        assert addresses[0] == "203.0.113.7"
        await until(lambda: len(notes.audio) > 10)


async def test_all_calls_share_one_port() -> None:
    async with endpoint() as server, call(server) as (_, a, first), call(server) as (_, b, second):
        ports = {m for peer in (a, b) for m in re.findall(r"a=candidate:\S+ 1 udp \d+ \S+ (\d+)", peer.answer)}
        assert ports == {str(server.port)}
        await until(lambda: len(first.audio) > 10 and len(second.audio) > 10)
        assert server.stats().peers == 2


async def test_a_caller_that_only_listens_hears_and_is_not_taken_for_lost() -> None:
    async with endpoint(silence_timeout_s=0.3) as server, call(server, "recvonly") as (caller, peer, notes):
        assert "a=sendonly" in peer.answer
        began = time.monotonic()
        peer.speaker.write(tone(500, 0.5))
        await caller.wait_for_sound(began)
        await asyncio.sleep(0.6)
        assert notes.lost == 0


async def test_a_caller_that_only_talks_is_heard_and_is_sent_nothing() -> None:
    async with endpoint() as server, call(server, "sendonly") as (caller, peer, notes):
        assert "a=recvonly" in peer.answer
        peer.speaker.write(tone(500, 0.3))
        await until(lambda: len(notes.audio) > 25)
        assert caller.packets == []
        assert peer.stats().packets_sent == 0


async def test_a_caller_that_falls_silent_is_lost_and_found_again() -> None:
    async with endpoint(silence_timeout_s=1.0) as server, call(server) as (caller, _, notes):
        await until(lambda: notes.audio)
        caller.hold()
        held_at = time.monotonic()
        await until(lambda: notes.lost == 1)
        assert time.monotonic() - held_at > 0.9
        assert notes.found == 0
        caller.unhold()
        await until(lambda: notes.found == 1)
        assert notes.closed == []


async def test_an_offer_that_nobody_follows_up_times_out() -> None:
    async with endpoint(connect_timeout_s=0.3) as server, Caller() as caller:
        notes = Notes()
        began = time.monotonic()
        await server.answer(await caller.offer(), notes)
        await until(lambda: notes.closed)
        assert notes.closed == ["connect_timeout"]
        assert time.monotonic() - began > 0.25
        assert server.stats().peers == 0


async def test_a_caller_that_hangs_up_is_gone_at_once() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        await caller.close()
        await until(lambda: notes.closed)
        assert notes.closed == ["dtls_closed"]
        assert server.stats().peers == 0


async def test_a_goodbye_counts_only_once_the_audio_has_stopped() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        await until(lambda: notes.audio)
        sender = caller._sender()
        goodbye = bytes(RtcpByePacket(sources=[sender._ssrc]))
        await sender.transport._send_rtp(goodbye)
        await asyncio.sleep(1.5)
        assert notes.closed == []
        caller.hold()
        await asyncio.sleep(0.1)
        await sender.transport._send_rtp(goodbye)
        await until(lambda: notes.closed)
        assert notes.closed == ["bye"]


async def test_a_caller_that_vanishes_loses_consent() -> None:
    settings = {"consent_interval_s": 0.1, "consent_failures": 1, "silence_timeout_s": 0.3}
    async with endpoint(**settings) as server, call(server) as (caller, _, notes):
        for protocol in caller._sender().transport.transport._connection._protocols:
            protocol.transport.abort()
        await until(lambda: notes.closed)
        assert notes.closed == ["consent_expired"]
        assert notes.lost == 1


async def test_consent_is_kept_while_the_caller_lives() -> None:
    async with endpoint(consent_interval_s=0.05, consent_failures=5) as server, call(server) as (_, _, notes):
        await asyncio.sleep(1.0)
        assert notes.closed == []


async def test_statistics_come_from_rtp_and_from_rtcp_reports() -> None:
    async with endpoint() as server, call(server) as (_, peer, _):
        await until(lambda: peer.stats().round_trip_s is not None)
        await until(lambda: peer.stats().remote_fraction_lost is not None)
        stats = peer.stats()
        assert stats.round_trip_s is not None
        assert 0 <= stats.round_trip_s < 5
        assert stats.remote_fraction_lost == 0
        assert stats.packets_received == pytest.approx(stats.packets_sent, abs=50)
        assert stats.packets_lost == stats.packets_discarded == 0
        assert stats.bytes_received > stats.packets_received
        assert stats.connected_s > 0.4


async def test_closing_is_quick_and_says_so_once() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        await until(lambda: notes.audio)
        began = time.monotonic()
        await peer.close()
        await peer.close("failed")
        assert time.monotonic() - began < 20
        assert notes.closed == ["hangup"]
        frames = len(notes.audio)
        await until(lambda: caller.state in ("closed", "failed"))
        assert len(notes.audio) == frames
        assert peer.stats().packets_received > 0


async def test_closing_takes_no_longer_than_a_second_when_the_transport_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint() as server, call(server) as (_, peer, notes):

        async def hang() -> None:
            await asyncio.sleep(30)

        monkeypatch.setattr(peer._transport.dtls, "stop", hang)
        began = time.monotonic()
        await peer.close()
        assert time.monotonic() - began < 20
        assert notes.closed == ["hangup"]
        assert server._port.demux.addresses == 0


@pytest.mark.parametrize(
    "what", ["_transport.dtls.protect", "_link.close", "_link.stats", "_link.bye", "_listener.on_closed"]
)
async def test_a_peer_that_fails_at_its_end_gives_its_place_back(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("this peer is broken")

    async with endpoint() as server, call(server) as (_, peer, notes):
        part, _, name = what.rpartition(".")
        tick = server.stats().failures["tick"]
        if name == "protect":
            server.pacer.remove(peer)  # Or it would fail in its next tick, see below.
        monkeypatch.setattr(attrgetter(part)(peer), name, broken)
        await peer.close()
        assert (server.stats().peers, server._port.demux.addresses) == (0, 0)
        assert notes.closed == ([] if name == "on_closed" else ["hangup"])
        assert server.stats().failures["tick"] == tick


async def test_a_peer_that_fails_in_its_tick_is_closed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async with endpoint() as server, call(server) as (_, broken, told), call(server) as (_, _, notes):
        monkeypatch.setattr(broken._transport.dtls, "protect", lambda _: 1 / 0)
        await until(lambda: told.closed == ["failed"])
        heard = len(notes.audio)
        await until(lambda: len(notes.audio) > heard + 20)
        assert server.stats().peers == 1
        assert server.stats().failures["tick"] == 1
        assert server.peers != []


async def test_a_peer_that_is_being_closed_is_none_of_the_open_ones() -> None:
    async with endpoint() as server, call(server) as (_, peer, _):
        assert server.peers == [peer]
        closing = asyncio.create_task(peer.close())
        await asyncio.sleep(0)
        assert server.peers == []
        await closing


async def test_more_peers_than_configured_are_refused() -> None:
    async with endpoint(max_peers=1) as server, Caller() as first, Caller() as second:
        peer = await server.answer(await first.offer(), Notes())
        with pytest.raises(EndpointFullError, match="1 calls are open"):
            await server.answer(await second.offer(), Notes())
        await peer.close()
        await server.answer(await second.offer(), Notes())


async def test_a_bad_offer_leaves_no_peer_behind() -> None:
    async with endpoint() as server:
        with pytest.raises(InvalidOfferError):
            await server.answer("v=0\r\n", Notes())
        assert server.stats().peers == 0


async def test_a_closed_endpoint_takes_no_offers() -> None:
    server = await MediaEndpoint.open(MediaConfig())
    await server.close()
    with pytest.raises(MediaError, match="closed"):
        await server.answer("v=0\r\n", Notes())


async def test_a_caller_that_is_never_answered_says_so() -> None:
    async with endpoint() as server, Caller() as caller:
        peer = await server.answer(await caller.offer(), Notes())
        await peer.close()
        with pytest.raises(CallFailedError, match="the connection"):
            await caller.accept(peer.answer, timeout=0.5)


@pytest.mark.parametrize("drop", [False, True], ids=["held back", "swallowed"])
async def test_of_a_tone_only_what_a_stall_swallowed_is_missing(drop: bool) -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        await asyncio.sleep(0.3)
        said = caller.say(tone(440, 2.0, rate=24_000), rate=24_000)
        await asyncio.sleep(0.5)
        caller.stall()
        await asyncio.sleep(0.8)
        count = len(notes.audio)
        packets = await caller.end_stall(drop=drop)
        assert len(notes.audio) <= count + 1
        await said
        await until(lambda: np.abs(notes.audio[-1][2]).max() < 100)
        heard = len(loud_part(notes.heard())) / RECEIVE_RATE
        swallowed = packets * 0.02 if drop else 0.0
        assert heard == pytest.approx(2.0 - swallowed, abs=0.1)
        assert packets >= 10
        assert peer.stats().packets_discarded == 0
        times = [at for _, at, _ in notes.audio]
        assert all(later >= earlier for earlier, later in pairwise(times))


async def test_a_peer_whose_statistics_fail_hides_nothing_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no statistics")

    async with endpoint() as server, call(server) as (_, peer, _), call(server) as (_, other, _):
        monkeypatch.setattr(peer, "stats", broken)
        assert len(server.peer_stats()) == 1
        known = server.totals()["packets_received"]
        await until(lambda: server.totals()["packets_received"] > known)
        await peer.close()
        await until(lambda: peer not in server.peers)
        known = server.totals()["packets_received"]
        await until(lambda: server.totals()["packets_received"] > known)
        assert not other.ending
