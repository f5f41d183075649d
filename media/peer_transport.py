"""ICE and DTLS-SRTP of one connection on the shared UDP port: candidates, handshake, restarts, encryption."""

from collections.abc import Callable

from aiortc import RTCCertificate, RTCIceCandidate, RTCIceTransport
from aiortc.rtcdtlstransport import RTCDtlsFingerprint, RTCDtlsParameters
from aiortc.rtcicetransport import RTCIceParameters

from media.demux import Address
from media.dtls import DtlsTransport
from media.ice import IceConnection
from media.ice_paths import IcePaths
from media.offer import Offer
from media.sdp_answer import answered_dtls_role
from media.sdp_ice import MAX_CANDIDATES
from media.teardown import stop
from media.udp_port import UdpPort
from media.upstream.ice import Gatherer
from media.values import MediaConfig


class PeerTransport:
    """The encrypted path of one peer.

    Args:
        offer: of the far end; its ICE and DTLS sides are taken.
        config: timeouts of consent and connecting.
        port: the shared socket.
        certificate: the process's own.
        on_packet: takes decrypted RTP and RTCP packets, with the monotonic time of their arrival.
        on_connected: called when the DTLS handshake is done.
        on_closed: called when the path is gone, with the reason: "consent_expired" or "dtls_closed".

    Attributes:
        dtls: what a data channel runs on.
    """

    def __init__(
        self,
        offer: Offer,
        config: MediaConfig,
        port: UdpPort,
        certificate: RTCCertificate,
        on_packet: Callable[[bytes, float], None],
        on_connected: Callable[[], None],
        on_closed: Callable[[str], None],
    ) -> None:
        self._offer = offer
        self._config = config
        self._port = port
        self._on_packet = on_packet
        self._on_connected = on_connected
        self._on_closed = on_closed
        self._signalled: set[Address] = set()
        self._ice = self._new_agent()
        self._paths = IcePaths(port, self._ice, self._new_agent, lambda: on_closed("consent_expired"))
        self._gatherer = Gatherer(self._ice)
        self._ice_transport = RTCIceTransport(self._gatherer)
        self.dtls = DtlsTransport(self._ice_transport, certificate, answered_dtls_role(offer))
        self.dtls.on("statechange", self._dtls_changed)

    def _new_agent(self, on_dtls: Callable[[bytes], None] | None = None) -> IceConnection:
        return IceConnection(
            self._port,
            self._srtp_received,
            on_dtls,
            consent_interval=self._config.consent_interval_s,
            consent_failures=self._config.consent_failures,
        )

    @property
    def connected(self) -> bool:
        """Whether the DTLS handshake is done and the association stands."""
        return bool(self.dtls.state == "connected")

    @property
    def local_ice(self) -> tuple[str, str]:
        """Our newest username fragment and password."""
        agent = self._paths.newest
        return agent.local_username, agent.local_password

    @property
    def candidates(self) -> tuple[RTCIceCandidate, ...]:
        """Our candidates, once gathered."""
        return tuple(self._gatherer.getLocalCandidates())

    @property
    def fingerprints(self) -> tuple[RTCDtlsFingerprint, ...]:
        """Our certificate's fingerprints that go into an answer: SHA-256."""
        return tuple(f for f in self.dtls.getLocalParameters().fingerprints if f.algorithm == "sha-256")

    @property
    def dtls_dropped(self) -> int:
        """DTLS records that found their queue full."""
        return self._ice.dtls_dropped

    async def gather(self) -> None:
        """Find our candidates."""
        await self._gatherer.gather()

    async def add_candidate(self, candidate: RTCIceCandidate) -> None:
        """Take a candidate of the far end; of different addresses only the first `MAX_CANDIDATES`."""
        address = (candidate.ip, candidate.port)
        # Checks go to whatever address is named, so only so many different ones may be.
        if address not in self._signalled and len(self._signalled) < MAX_CANDIDATES:
            self._signalled.add(address)
            if not await self._paths.add(candidate):
                await self._ice_transport.addRemoteCandidate(candidate)

    async def connect(self) -> bool:
        """Bring ICE and DTLS up; False when one of them fails."""
        offer = self._offer
        self._ice.ice_controlling = offer.ice_lite  # RFC 8445 section 6.1.1
        await self._ice_transport.start(
            RTCIceParameters(usernameFragment=offer.ice_ufrag, password=offer.ice_password, iceLite=offer.ice_lite)
        )
        if self._ice_transport.state != "completed":
            return False
        await self.dtls.start(RTCDtlsParameters(fingerprints=list(offer.fingerprints)))
        return self.connected

    async def restart_ice(self, ufrag: str, password: str, *, ice_lite: bool) -> None:
        """Begin ICE anew with the far end's new credentials; media goes by the old path until there is a new one."""
        self._signalled.clear()
        remote = RTCIceParameters(usernameFragment=ufrag, password=password, iceLite=ice_lite)
        await self._paths.restart(remote, self._config.connect_timeout_s)

    def send(self, data: bytes) -> None:
        """Encrypt and send an RTP or RTCP packet; dropped where there is no path or no key yet."""
        address = self._ice.selected_address
        protected = self.dtls.protect(data)
        if address is not None and protected is not None:
            self._port.send(protected, address)

    async def stop(self) -> None:
        """Say goodbye in DTLS and free everything; does not raise, whatever aiortc does."""
        await stop("DTLS", self.dtls.stop())
        await stop("restarted ICE", self._paths.close())
        await stop("ICE", self._ice_transport.stop())
        self._port.demux.release(self._ice.local_username)
        self.dtls.remove_all_listeners()

    def _srtp_received(self, data: bytes, now: float) -> None:
        plain = self.dtls.unprotect(data)
        if plain is not None:
            self._on_packet(plain, now)

    def _dtls_changed(self) -> None:
        if self.dtls.state == "connected":
            self._on_connected()
        elif self.dtls.state == "closed":
            self._on_closed("consent_expired" if self._ice.consent_expired else "dtls_closed")
