"""What several tests of memory use."""

import asyncio
import hashlib
import socket
import time
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import numpy as np

from persistence.memory import Memory
from persistence.values import DIMENSIONS

Open = Callable[..., Awaitable[Memory]]
"""Of the fixture `open_memory`."""


class WordEmbedder:
    """A bag of words as a vector: texts with words in common are near each other."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def embed(self, texts: list[str], *, waited_for: bool = False) -> list[list[float]]:
        self.texts += texts
        return [self._vector(text) for text in texts]

    def _vector(self, text: str) -> list[float]:
        total = np.zeros(DIMENSIONS)
        for word in text.lower().split() or [""]:
            seed = int(hashlib.sha256(word.strip(".,?!").encode("utf-8", "replace")).hexdigest()[:8], 16)
            total += np.random.default_rng(seed).standard_normal(DIMENSIONS)
        return [float(value) for value in total / np.linalg.norm(total)]


class Relay:
    """A TCP relay in front of a server: an outage that leaves the server alone.

    Args:
        host, port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.cut_after: int | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def lead_to(self, host: str, port: int) -> None:
        """Lead new connections to another server; those that there are stay where they are."""
        self._target = (host, port)

    async def cut(self) -> None:
        """Refuse new connections and break those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.02)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, server_writer}
        await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer))
        self._writers -= {writer, server_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)


async def stored(dsn: str) -> list[tuple[int, str, str]]:
    """(sequence number, role, content) of all messages, in order."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT sequence_number, role, content FROM messages ORDER BY conversation_id, 1")
    await connection.close()
    return [tuple(row) for row in rows]


def address(dsn: str) -> tuple[str, int]:
    """Host and port in a DSN or URL."""
    host, port = dsn.rsplit("@", 1)[1].split("/")[0].split(":")
    return socket.gethostbyname(host), int(port)


def through(dsn: str, port: int) -> str:
    """The same DSN on another port of the loopback."""
    host, old = address(dsn)
    return dsn.replace(f"{host}:{old}", f"127.0.0.1:{port}")


def item() -> str:
    """An item id as calls make them."""
    return f"item_{uuid.uuid4().hex}"


def texts(context: object) -> list[str]:
    """What was said in a conversation's context."""
    return [message.content for message in getattr(context, "messages", ())]
