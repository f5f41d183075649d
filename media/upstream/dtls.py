"""aiortc's DTLS-SRTP transport with a role of our choice and its two SRTP sessions at hand."""

import pylibsrtp
from aiortc import RTCCertificate, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsTransport


class SrtpTransport(RTCDtlsTransport):
    """An `RTCDtlsTransport` whose sessions are used by others than its own receive task.

    Args:
        transport: what it runs on.
        certificate: ours.
        role: "client" or "server", as the answer has it; aiortc would follow the ICE role.
    """

    def __init__(self, transport: RTCIceTransport, certificate: RTCCertificate, role: str) -> None:
        super().__init__(transport, [certificate])
        self._set_role(role)

    @property
    def receiving(self) -> pylibsrtp.Session | None:
        """The SRTP session of what comes in; None before the handshake is done."""
        return self._rx_srtp

    @property
    def sending(self) -> pylibsrtp.Session | None:
        """The SRTP session of what goes out; None before the handshake is done."""
        return self._tx_srtp
