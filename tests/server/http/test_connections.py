"""Connections before any key: silent ones are given up, and the process can always open its files."""

import asyncio
import random
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from server.http.connection_book import ConnectionBook
from server.http.networks import network
from server.http.server import Book, HttpRunner
from tests.persistence.parts import until

DOORS = """
import asyncio, sys
from aiohttp import web
from server.http.server import Doors

async def main():
    async def file(_):
        with open(__import__("server").__file__):
            return web.Response(text="read")
    app = web.Application()
    app.router.add_get("/file", file)
    doors = Doors("127.0.0.1", [(app, 0)])
    await doors.open()
    print(doors._listening[0][0].addresses[0][1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"""


async def test_400_silent_sockets_leave_a_process_of_256_files_able_to_answer_and_to_open_files() -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DOORS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=few_files,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        # The first lines may be of the log.
        while not (line := await process.stdout.readline()).strip().isdigit():
            assert line
        port = int(line)
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(400)]
        async with aiohttp.ClientSession() as http:
            for _ in range(3):
                async with http.get(f"http://127.0.0.1:{port}/file", headers={"Connection": "close"}) as response:
                    assert (response.status, await response.text()) == (200, "read")
        for _, writer in silent:
            writer.close()
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 60)


@asynccontextmanager
async def served(book: Book, release: asyncio.Event, working: list[web.Request]) -> AsyncIterator[int]:
    async def quick(_: web.Request) -> web.Response:
        return web.Response(text="quick")

    async def slow(request: web.Request) -> web.Response:
        working.append(request)
        await release.wait()
        return web.Response(text="slow")

    app = web.Application()
    app.router.add_get("/quick", quick)
    app.router.add_get("/slow", slow)
    runner = HttpRunner(app, book)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        release.set()
        await runner.cleanup()


async def ask(port: int, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return reader, writer


async def over(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes a connection, after whatever it says; waits for that."""
    try:
        while await asyncio.wait_for(reader.read(4096), 20):
            pass
    except ConnectionError:
        pass
    return True


async def test_silent_connections_go_first_then_idle_ones_and_requests_in_hand_never() -> None:
    book, release = Book(most=4, most_each=4), asyncio.Event()
    in_hand: list[web.Request] = []
    async with served(book, release, in_hand) as port:
        working = await ask(port, "/slow")
        await until(lambda: len(in_hand) == 1)
        idle = await ask(port, "/quick")
        assert (await idle[0].readline()).split()[1] == b"200"
        mute = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        others = []
        for gone in (*(reader for reader, _ in mute), idle[0]):
            others.append(await ask(port, "/slow"))
            assert await over(gone)
            await until(lambda: len(in_hand) == 1 + len(others))
        late = await asyncio.open_connection("127.0.0.1", port)
        assert await over(late[0])
        assert book.shed == 4
        release.set()
        for reader, _ in (working, *others):
            assert (await asyncio.wait_for(reader.readline(), 20)).split()[1] == b"200"


async def test_one_address_cannot_take_the_places_of_others() -> None:
    book: ConnectionBook[int] = ConnectionBook(most=10, most_each=3)
    for index in range(3):
        assert book.opened(index, "a") is None
        book.busy(index)
    assert book.opened(3, "a") == 3
    assert book.opened(4, "b") is None
    assert len(book) == 4


def test_the_bounds_hold_whatever_happens() -> None:
    rng = random.Random(11)
    book: ConnectionBook[int] = ConnectionBook(most=20, most_each=8)
    alive: dict[int, str] = {}
    for index in range(20_000):
        match rng.randrange(4):
            case 0 | 1:
                alive[index] = rng.choice("abcdef")
                given_up = book.opened(index, alive[index])
                if given_up is not None:
                    del alive[given_up]
            case 2 if alive:
                chosen = rng.choice(list(alive))
                (book.busy if rng.random() < 0.5 else book.idle)(chosen)
            case 3 if alive:
                chosen = rng.choice(list(alive))
                del alive[chosen]
                book.closed(chosen)
        assert len(book) == len(alive) <= 20
        assert max(list(alive.values()).count(name) for name in "abcdef") <= 8
    for index in list(alive):
        book.closed(index)
    assert (len(book), book._networks) == (0, {})


@pytest.mark.parametrize(
    ("remote", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("unix", "unix"),
    ],
)
def test_an_address_counts_with_its_network(remote: str | None, client: str) -> None:
    assert network(remote) == client
