"""Text over the data channel, with stock aiortc as the far end."""

import asyncio

import pytest

from media.data_channel import MAX_WAITING_BYTES, MAX_WAITING_MESSAGES
from media.sdp_answer import MAX_MESSAGE_SIZE
from server.client.caller import Caller
from tests.media.calls import Notes, call, endpoint, until


async def test_messages_go_both_ways_in_order() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        await caller.channel_open()
        await until(lambda: notes.channel_open)
        for index in range(20):
            caller.send(f"up {index} äß")
            assert peer.send_message(f"down {index} äß")
        await until(lambda: len(notes.messages) == 20 and len(caller.messages) == 20)
        assert notes.messages == [f"up {index} äß" for index in range(20)]
        assert [text for _, text in caller.messages] == [f"down {index} äß" for index in range(20)]


async def test_the_listener_may_send_from_within_on_channel_open() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        await until(lambda: notes.channel_open)
        assert peer.send_message('{"type":"session.created"}')
        at, text = await caller.wait_for_message(lambda text: "session.created" in text)
        assert text == '{"type":"session.created"}'
        assert at > 0


async def test_any_label_is_taken() -> None:
    async with endpoint() as server, call(server, label="chat") as (caller, peer, notes):
        await caller.channel_open()
        caller.send("hello")
        await until(lambda: notes.messages == ["hello"])
        assert peer._channel is not None
        assert peer._channel.label == "chat"


async def test_without_a_channel_in_the_offer_messages_are_refused() -> None:
    async with endpoint() as server, call(server, label=None) as (_, peer, notes):
        await until(lambda: notes.audio)
        assert "m=application" not in peer.answer
        assert not peer.send_message("nobody hears this")


async def test_before_the_channel_is_open_and_after_closing_messages_are_refused() -> None:
    async with endpoint() as server, Caller() as caller:
        notes = Notes()
        peer = await server.answer(await caller.offer(), notes)
        assert not peer.send_message("too early")
        await caller.accept(peer.answer)
        await until(lambda: notes.channel_open)
        assert peer.send_message("in time")
        await peer.close()
        assert not peer.send_message("too late")


async def test_only_the_first_channel_is_listened_to() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        await caller.channel_open()
        assert caller._connection is not None
        second = caller._connection.createDataChannel("second")
        await until(lambda: second.readyState == "open")
        second.send("from the second")
        caller.send("from the first")
        await until(lambda: notes.messages)
        await asyncio.sleep(0.1)
        assert notes.messages == ["from the first"]


async def test_binary_messages_are_left_out() -> None:
    async with endpoint() as server, call(server) as (caller, _, notes):
        await caller.channel_open()
        assert caller._channel is not None
        caller._channel.send(b"\x00\x01")
        caller.send("text")
        await until(lambda: notes.messages)
        assert notes.messages == ["text"]


async def test_a_message_beyond_the_size_that_the_far_end_takes_is_refused() -> None:
    async with endpoint() as server, call(server) as (_, peer, notes):
        await until(lambda: notes.channel_open)
        assert not peer.send_message("x" * (MAX_MESSAGE_SIZE + 1))
        assert peer.send_message("x" * 10_000)


async def test_a_message_that_is_too_long_is_left_out_and_the_call_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.data_channel.MAX_MESSAGE_SIZE", 5000)
    async with endpoint() as server, call(server) as (caller, _, notes):
        await caller.channel_open()
        caller.send("x" * 5001)
        caller.send("short")
        await until(lambda: notes.messages)
        assert notes.messages == ["short"]


async def test_the_send_queue_is_bounded_in_messages() -> None:
    async with endpoint() as server, call(server) as (_, peer, notes):
        await until(lambda: notes.channel_open)
        taken = [peer.send_message(str(index)) for index in range(MAX_WAITING_MESSAGES + 50)]
        assert taken == [True] * MAX_WAITING_MESSAGES + [False] * 50


async def test_the_send_queue_is_bounded_in_bytes() -> None:
    async with endpoint() as server, call(server) as (_, peer, notes):
        await until(lambda: notes.channel_open)
        size = MAX_MESSAGE_SIZE // 2
        taken = [peer.send_message("x" * size) for _ in range(20)]
        assert taken.count(True) == MAX_WAITING_BYTES // size
        assert not taken[-1]


async def test_malformed_sctp_does_not_end_the_call() -> None:
    async with endpoint() as server, call(server) as (caller, peer, notes):
        await caller.channel_open()
        assert caller._connection is not None
        sctp = caller._connection.sctp
        assert sctp is not None
        # A string that is no UTF-8, a second OPEN of the same stream, and noise.
        await sctp._send(1, 51, b"\xff\xfe\xff")
        await sctp._send(1, 50, bytes.fromhex("030000000000000000010000") + b"x")
        await sctp._send(1, 50, b"\x03" + b"\xff" * 11)
        await sctp.transport._send_data(b"noise" * 10)
        frames = len(notes.audio)
        await until(lambda: len(notes.audio) > frames + 10)
        caller.send("still here")
        await until(lambda: notes.messages == ["still here"])
        assert notes.closed == []
        assert peer._channel is not None
        assert peer._channel._sctp.malformed > 0
