"""A PBX that does not read what it is sent: of its call not even the connection stays."""

import asyncio
import socket
from typing import Any

import pytest

from server.telephone import audio_socket_door
from server.telephone.audio_socket_door import _Connection
from tests.media.calls import until


async def test_a_connection_that_nobody_reads_is_gone_with_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_socket_door, "FLUSH_S", 0.05)
    connected: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(lambda *ends: connected.put_nowait(ends), "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname()):
        reader, writer = await connected.get()
        door: Any = None
        carrier = _Connection(door, reader, writer)
        # More than the kernel takes for a client that does not read.
        while carrier.media(bytes(60_000)):
            pass
        assert writer.transport.get_write_buffer_size() > 0
        await carrier.close("slow_reader")
        await until(lambda: writer.get_extra_info("socket").fileno() == -1)
    server.close()
