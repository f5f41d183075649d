"""aiortc's DTLS-SRTP (RFC 5764) with a short way for media."""

import contextlib
from collections import OrderedDict

import pylibsrtp
from aiortc import RTCCertificate, RTCIceTransport
from aiortc.rtp import is_rtcp

from media.upstream.dtls import SrtpTransport

MAX_SSRCS = 8
"""Streams of the far end whose keys and replay windows are kept; a browser's call has one or two."""


class DtlsTransport(SrtpTransport):
    """A DTLS transport whose SRTP does not pass through its receive task.

    aiortc queues every datagram and wakes a task for it. Here only DTLS records take that way; media is decrypted
    where it was read, which is most of what makes a silent call cheap.

    libsrtp keeps a context for each SSRC for good, and looks for it in a list. Here the one unused for longest is
    forgotten beyond `MAX_SSRCS`. What replays its packets then gets them through again, as those of a stream that
    is not listened to any more.

    Attributes:
        srtp_discarded: SRTP and SRTCP packets that failed authentication or were replayed.
        srtp_early: packets that came before the keys; the far end may be done with the handshake before we are.
    """

    def __init__(self, transport: RTCIceTransport, certificate: RTCCertificate, role: str) -> None:
        super().__init__(transport, certificate, role)
        self.srtp_discarded = 0
        self.srtp_early = 0
        self._ssrcs: OrderedDict[bytes, None] = OrderedDict()

    def unprotect(self, data: bytes) -> bytes | None:
        """Decrypt an SRTP or SRTCP packet; None (and counted) when it is not genuine or too early."""
        session = self.receiving
        if session is None:
            self.srtp_early += 1
            return None
        control = is_rtcp(data)
        try:
            plain = session.unprotect_rtcp(data) if control else session.unprotect(data)
        except (pylibsrtp.Error, ValueError, TypeError):
            self.srtp_discarded += 1
            return None
        self._used(session, data[4:8] if control else data[8:12])
        return plain

    def _used(self, session: pylibsrtp.Session, ssrc: bytes) -> None:
        """A genuine packet of a stream has come: only such make libsrtp remember one."""
        self._ssrcs[ssrc] = None
        self._ssrcs.move_to_end(ssrc)
        if len(self._ssrcs) > MAX_SSRCS:
            oldest, _ = self._ssrcs.popitem(last=False)
            with contextlib.suppress(pylibsrtp.Error):
                session.remove_stream(int.from_bytes(oldest))

    def protect(self, data: bytes) -> bytes | None:
        """Encrypt an RTP or RTCP packet; None before the handshake is done."""
        session = self.sending
        if session is None:
            return None
        return session.protect_rtcp(data) if is_rtcp(data) else session.protect(data)
