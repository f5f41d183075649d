"""aiortc's DTLS-SRTP (RFC 5764) with a short way for media."""

import pylibsrtp
from aiortc import RTCCertificate, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtp import is_rtcp


class DtlsTransport(RTCDtlsTransport):
    """A DTLS transport whose SRTP does not pass through its receive task.

    aiortc queues every datagram and wakes a task for it. Here only DTLS records take that way; media is decrypted
    where it was read, which is most of what makes a silent call cheap.

    Attributes:
        srtp_discarded: SRTP and SRTCP packets that failed authentication or were replayed.
        srtp_early: packets that came before the keys; the far end may be done with the handshake before we are.
    """

    def __init__(self, transport: RTCIceTransport, certificate: RTCCertificate, role: str) -> None:
        super().__init__(transport, [certificate])
        self._set_role(role)
        self.srtp_discarded = 0
        self.srtp_early = 0

    def unprotect(self, data: bytes) -> bytes | None:
        """Decrypt an SRTP or SRTCP packet; None (and counted) when it is not genuine or too early."""
        session = self._rx_srtp
        if session is None:
            self.srtp_early += 1
            return None
        try:
            return session.unprotect_rtcp(data) if is_rtcp(data) else session.unprotect(data)
        except (pylibsrtp.Error, ValueError, TypeError):
            self.srtp_discarded += 1
            return None

    def protect(self, data: bytes) -> bytes | None:
        """Encrypt an RTP or RTCP packet; None before the handshake is done."""
        session = self._tx_srtp
        if session is None:
            return None
        return session.protect_rtcp(data) if is_rtcp(data) else session.protect(data)
