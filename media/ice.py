"""aioice on the shared UDP port: one ICE agent per peer without a socket of its own."""

import asyncio
import random
import secrets
from collections.abc import Callable

from aioice import Candidate, Connection, stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import CandidatePair, StunProtocol

from media.demux import Address
from media.sdp_ice import MAX_CANDIDATES
from media.udp_port import UdpPort
from media.upstream.ice import COMPONENT, Agent

MAX_REMOTE_CANDIDATES = MAX_CANDIDATES + 12
"""Remote candidates per peer, signalled and learned from checks with the right password; more are ignored."""

DTLS_QUEUE = 64
"""DTLS records that may wait for the handshake or for SCTP; more are dropped, and DTLS or SCTP sends them again."""


class PortStun(StunProtocol):
    """The STUN side of one peer on the shared port.

    Transactions are kept in the port's one table, so that a response finds its peer by transaction id.
    """

    def __init__(self, connection: Connection, port: UdpPort, candidate: Candidate) -> None:
        super().__init__(connection)
        self.local_candidate = candidate
        self.transactions = port.demux.transactions
        self._port = port

    async def send_data(self, data: bytes, addr: Address) -> None:
        self._port.send(data, addr)

    def send_stun(self, message: stun.Message, addr: Address) -> None:
        self._port.send(bytes(message), addr)

    async def close(self) -> None:
        """Nothing to close: the socket belongs to all peers."""


class IceConnection(Agent):
    """An ICE agent whose datagrams come and go through the shared port (a `media.demux.Route`).

    Args:
        port: the shared socket.
        on_rtp: takes SRTP and SRTCP from validated addresses, with the monotonic time of arrival. It is called at
            once: media takes no queue and no task.
        on_dtls: takes DTLS records from validated addresses, after an ICE restart `dtls_received` of the agent before,
            whose association goes on; None for a queue of its own.
        consent_interval: seconds between consent checks (RFC 7675 section 5.1).
        consent_failures: checks in a row that may stay unanswered.

    Attributes:
        dtls_dropped: DTLS records dropped because the queue was full.
        consent_expired: the far end stopped answering; the connection closes itself then.
        dtls_received: takes DTLS records.
    """

    def __init__(
        self,
        port: UdpPort,
        on_rtp: Callable[[bytes, float], None],
        on_dtls: Callable[[bytes], None] | None = None,
        *,
        consent_interval: float,
        consent_failures: int,
    ) -> None:
        # aioice's own random ufrag has four characters, which is too few for a table of hundreds of peers.
        super().__init__(
            ice_controlling=False,
            local_username=secrets.token_hex(6),
            local_password=secrets.token_hex(16),
        )
        self.dtls_dropped = 0
        self.consent_expired = False
        self.rtp_received = on_rtp
        self.dtls_received = on_dtls or self._queue_dtls
        self._port = port
        self._consent_interval = consent_interval
        self._consent_failures = consent_failures

    @property
    def selected_address(self) -> Address | None:
        """Where media goes; None before ICE has nominated a pair and after `close`."""
        pair = self.nominated_pair
        return None if pair is None else pair.remote_addr

    async def get_component_candidates(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        """Announce the port's addresses.

        Those of an IP version are one socket, so only the best of them takes part in the checks.
        """
        candidates = [
            Candidate(
                foundation=candidate_foundation("host", "udp", address),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host", local_pref=65535 - index),
                host=address,
                port=self._port.port,
                type="host",
            )
            for index, address in enumerate(self._port.addresses)
        ]
        for version in self._port.versions:
            best = next((candidate for candidate in candidates if _version(candidate.host) == version), candidates[0])
            self.add_protocol(PortStun(self, self._port, best))
        self._port.demux.register(self.local_username, self)
        return candidates

    def check_received(self, message: stun.Message, address: Address) -> bool:
        """Answer a check with the right password and take its source as validated; stay silent to any other."""
        if not (
            (protocols := self.stun_protocols)
            and "MESSAGE-INTEGRITY" in message.attributes
            and self.is_named(message.attributes.get("USERNAME", ""))
            and message.check_message_integrity(self.local_password.encode())
        ):
            return False
        if self.remote_count >= MAX_REMOTE_CANDIDATES and not self.knows(address):
            return False
        # FFmpeg's WHIP sends no PRIORITY (RFC 8445 section 7.1.1 wants one) and aioice would raise KeyError.
        message.attributes.setdefault("PRIORITY", candidate_priority(COMPONENT, "prflx"))
        self._port.demux.claim(address, self, proven=False)
        # With one socket its protocol takes all; with two, they stand in the order of `UdpPort.versions`.
        self.request_received(message, address, protocols[-1 if _version(address[0]) == 6 else 0])
        return True

    def _queue_dtls(self, data: bytes) -> None:
        """Queue a DTLS record for the DTLS transport."""
        if self.records_waiting < DTLS_QUEUE:
            self.queue_record(data)
        else:
            self.dtls_dropped += 1

    def check_complete(self, pair: CandidatePair) -> None:
        """Take the address of a pair that answered our own check as validated."""
        if pair.state is CandidatePair.State.SUCCEEDED:
            self._port.demux.claim(pair.remote_addr, self, proven=True)
        super().check_complete(pair)

    async def query_consent(self) -> None:
        """Keep asking the far end whether it still wants our media (RFC 7675 section 5.1).

        Unlike aioice's own, the interval and the patience belong to the connection, and a check may take up to 1.5 s:
        with aioice's 0.5 s a slow but working path dies.
        """
        failures = 0
        while failures < self._consent_failures:
            await asyncio.sleep(self._consent_interval * random.uniform(0.8, 1.2))
            pair = self.nominated_pair
            if pair is None or self.remote_password is None:
                return
            try:
                await pair.protocol.request(
                    self.build_request(pair, nominate=False),
                    pair.remote_addr,
                    integrity_key=self.remote_password.encode(),
                    retransmissions=1,
                )
                failures = 0
            except stun.TransactionError:
                failures += 1
        self.consent_expired = True
        self.leave_consent_task()
        await self.close()

    async def close(self) -> None:
        """Stop all checks and forget the peer's addresses."""
        self._port.demux.release(self.local_username)
        await super().close()


def _version(address: str) -> int:
    return 6 if ":" in address else 4
