"""The TCP port for Asterisk's AudioSocket: each connection is a call."""

import asyncio
import contextlib
import time
from collections.abc import Iterator

import structlog

from media.telephone_band import WireFormat
from server.addresses import is_loopback
from server.calls.call import Call
from server.http.errors import ApiError
from server.http.networks import network
from server.identity.principal import LOCAL
from server.telephone import audio_socket
from server.telephone.announced import AnnouncedCall
from server.telephone.audio_socket import AudioSocketError, AudioSocketReader
from server.telephone.desk import TelephoneDesk
from server.telephone.line import TelephoneLine
from server.telephone.opening import open_line
from server.telephone.wishes import LineWishes

START_S = 10.0
"""A connection that has not said which call it is by then is closed."""

SILENT_S = 30.0
"""So long without a message, and the connection is gone: Asterisk sends sound all the time."""

MOST_WAITING = 64 * 1024
"""Bytes that wait to be sent: four seconds of sound."""

MOST_UNKNOWN = 32
"""Connections at once that have not said yet which call they are."""

FLUSH_S = 2.0
"""How long the last words wait for a PBX that does not read."""

AT_ONCE = 16 * 1024

TELEPHONE = WireFormat("linear")

log = structlog.get_logger(__name__)


class AudioSocketDoor:
    """Listens for a PBX.

    Args:
        desk: of the server.
        guarded: whether only announced calls may come in; otherwise those from this machine may.
    """

    def __init__(self, desk: TelephoneDesk, *, guarded: bool) -> None:
        self._desk = desk
        self._guarded = guarded
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._unknown = 0

    async def open(self, host: str, port: int) -> int:
        """Begin to listen; returns the port.

        Raises:
            OSError: it is taken.
        """
        self._server = await asyncio.start_server(self._connected, host, port, limit=AT_ONCE)
        found: int = self._server.sockets[0].getsockname()[1]
        log.info("listening for AudioSocket", host=host, port=found)
        return found

    async def close(self) -> None:
        """Listen no more. Calls have ended by now, and with them their connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer).run()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            writer.close()

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """A connection has not said yet which call it is.

        Raises:
            AudioSocketError: too many have not.
        """
        if self._unknown >= MOST_UNKNOWN:
            raise AudioSocketError("too many connections have not said which call they are")
        self._unknown += 1
        try:
            yield
        finally:
            self._unknown -= 1

    def admitted(self, identity: str, remote: str) -> AnnouncedCall:
        """The call with a uuid.

        Raises:
            AudioSocketError: it may not come in.
        """
        found = self._desk.announced.take(identity, time.monotonic())
        if found is not None:
            return found
        if self._guarded or not is_loopback(remote):
            raise AudioSocketError("no call has this uuid: POST /api/telephone/asterisk/answer announces one")
        return AnnouncedCall(LOCAL, None, LineWishes())

    @property
    def desk(self) -> TelephoneDesk:
        """Of the server."""
        return self._desk


class _Connection:
    """One call; implements `server.telephone.line.Carrier`."""

    wire = TELEPHONE
    lead_frames = 0
    marks = False

    def __init__(self, door: AudioSocketDoor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._door = door
        self._reader = reader
        self._writer = writer
        self._messages = AudioSocketReader()
        self._rate: int | None = None
        self._gone = "lost"
        self._call: Call | None = None
        self._line: TelephoneLine | None = None

    async def run(self) -> None:
        """Until the call is over, or the PBX has left."""
        try:
            with self._door.asking():
                async with asyncio.timeout(START_S):
                    await self._begin()
            while self._line is not None and await self._take():
                pass
        except (AudioSocketError, ApiError) as error:
            log.warning("AudioSocket refused", problem=str(error))
            self._writer.write(audio_socket.hang_up())
        except TimeoutError:
            log.warning("AudioSocket closed: nothing came")
        finally:
            if self._call is not None:
                await asyncio.shield(self._call.end_soon(self._gone))

    async def _begin(self) -> None:
        """Read which call it is, and what its sound is like with the first of it."""
        announced: AnnouncedCall | None = None
        identity = ""
        while True:
            data = await self._reader.read(AT_ONCE)
            if not data:
                return
            messages = self._messages.feed(data)
            for number, message in enumerate(messages):
                match message:
                    case audio_socket.Identified() if announced is None:
                        identity = message.uuid
                        announced = self._door.admitted(identity, self._writer.get_extra_info("peername")[0])
                    case audio_socket.Sound() if announced is not None:
                        self._rate = message.rate
                        await self._open(identity, announced)
                        for rest in messages[number:]:
                            self._apply(rest)
                        return
                    case audio_socket.HungUp() | audio_socket.Failed():
                        return
                    case _ if announced is None:
                        raise AudioSocketError("the first message says which call it is")

    async def _open(self, identity: str, announced: AnnouncedCall) -> None:
        remote = str(self._writer.get_extra_info("peername")[0])
        wire = WireFormat("linear", self._rate or TELEPHONE.rate)
        client = f"{announced.principal.id}@{network(remote)}"
        self._call, self._line = await open_line(
            self._door.desk,
            announced.principal,
            client,
            announced.user_id,
            announced.wishes,
            identity,
            wire,
            lambda: self,
        )

    async def _take(self) -> bool:
        """Take what came; False when there is no more."""
        async with asyncio.timeout(SILENT_S):
            data = await self._reader.read(AT_ONCE)
        if not data:
            return False
        try:
            return all(self._apply(message) for message in self._messages.feed(data))
        except (AudioSocketError, ApiError):
            raise
        except Exception as error:
            assert self._call is not None
            self._call.fail(error)
            return True

    def _apply(self, message: audio_socket.Message) -> bool:
        """Do what a message says; False when it is the last."""
        assert self._line is not None
        match message:
            case audio_socket.Sound():
                if message.rate != self._rate:
                    raise AudioSocketError(f"sound came at {self._rate} Hz before, and now at {message.rate}")
                self._line.hear(message.data)
            case audio_socket.Key():
                self._line.press(message.key)
            case audio_socket.Identified():
                raise AudioSocketError("a connection is one call")
            case audio_socket.HungUp():
                self._gone = "hangup"
                return False
            case audio_socket.Failed():
                log.warning("Asterisk reports an error", code=message.code)
                return False
        return True

    # The carrier -----------------------------------------------------------------------------------------------------

    def media(self, data: bytes) -> bool:
        """See `Carrier`."""
        self._writer.write(audio_socket.sound(data))
        return self._writer.transport.get_write_buffer_size() <= MOST_WAITING

    def mark(self, name: str) -> bool:
        """See `Carrier`: AudioSocket has none."""
        return True

    def clear(self) -> None:
        """See `Carrier`: nothing was sent ahead of real time."""

    async def close(self, reason: str) -> None:
        """See `Carrier`."""
        if not self._writer.is_closing():
            self._writer.write(audio_socket.hang_up())
            self._writer.close()
        try:
            async with asyncio.timeout(FLUSH_S):
                await self._writer.wait_closed()
        except TimeoutError:
            # Closed, it would wait for a PBX that reads nothing as long as that lives.
            log.info("the PBX does not read what is sent to it", reason=reason)
            self._writer.transport.abort()
        except OSError:
            pass  # it is gone
