"""TLS on Morgan's own ports: a certificate in files, read again when they change, and what comes before a handshake."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from persistence.tasks import keep_running

CHECK_S = 30.0
"""Pause between two looks at the files of the certificate."""

HANDSHAKE_S = 10.0
"""A client whose handshake takes longer is let go."""

log = structlog.get_logger(__name__)


class CertificateError(Exception):
    """The certificate cannot be used; the message says why, for people."""


class Certificate:
    """A certificate and its key.

    Args:
        chain: PEM file with the certificate and those between it and its root.
        key: PEM file with its key, without a password.

    Attributes:
        context: for connections; what is read anew counts for those that come then.

    Raises:
        CertificateError: they cannot be read, or do not belong together.
    """

    def __init__(self, chain: Path, key: Path) -> None:
        self._chain, self._key = chain, key
        self._seen = self._changed_at()
        self.context = self._loaded()
        self._watch: asyncio.Task[None] | None = None

    def reload(self) -> bool:
        """Read the files again; where they cannot be used, what was read before stays. Returns whether they could."""
        self._seen = self._changed_at()
        try:
            self._loaded()
            self.context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (CertificateError, OSError) as error:
            log.error("certificate not read again, the one before stays", problem=str(error))
            return False
        log.info("certificate read again", file=str(self._chain))
        return True

    def watch(self) -> None:
        """From now on read the files again when they change, as renewals do that tell nobody."""
        self._watch = keep_running(self._look, "certificate")

    async def close(self) -> None:
        """Look no longer."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            if self._changed_at() != self._seen:
                self.reload()

    def _changed_at(self) -> tuple[int, ...]:
        try:
            return tuple(file.stat().st_mtime_ns for file in (self._chain, self._key))
        except OSError:
            return ()

    def _loaded(self) -> ssl.SSLContext:
        """A context of its own, so that files that do not fit spoil none that is in use."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_password)
        except (OSError, ValueError) as error:
            told = f"The certificate {self._chain} with the key {self._key} cannot be used: {error}"
            raise CertificateError(told) from None
        return context


def _no_password() -> str:
    """In place of a question on the terminal of a server."""
    raise ValueError("the key has a password")


class Gate(asyncio.Protocol):
    """A connection before its TLS handshake is done: entered in the book like every other one, and bounded in time.

    (asyncio's own way would show us connections only after the handshake, however many stay silent in it.)

    Args:
        context: of the certificate.
        opened: told of the transport; False where there is no room for it.
        closed: told once the connection is no longer this one's.
        connect: makes the protocol that is spoken inside.

    Attributes:
        transport: what it came over.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        opened: Callable[["Gate"], bool],
        closed: Callable[["Gate"], None],
        connect: Callable[[], asyncio.Protocol],
    ) -> None:
        self.transport: asyncio.Transport | None = None
        self._context = context
        self._opened, self._closed = opened, closed
        self._connect = connect
        self._shaking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()  # until the handshake reads
        self.transport = transport
        if self._opened(self):
            self._shaking = asyncio.create_task(self._shake_hands(transport), name="tls handshake")

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""
        self._closed(self)

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        first = _First()
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, first, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE_S
            )
        except (OSError, asyncio.CancelledError):
            # Whatever a stranger sends, or does not: ssl.SSLError is an OSError.
            transport.abort()
            return
        except Exception:
            log.exception("tls handshake failed")
            transport.abort()
            return
        finally:
            self._closed(self)
        if secured is None or first.lost:
            return
        protocol = self._connect()
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        if first.data:
            protocol.data_received(bytes(first.data))
        if first.ended:
            protocol.eof_received()


class _First(asyncio.Protocol):
    """Takes what comes together with the end of the handshake, before there is a protocol to take it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.ended = self.lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = True
