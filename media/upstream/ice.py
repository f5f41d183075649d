"""aioice's agent without sockets of its own: its pairs, protocols and queue under public names."""

from aioice import Connection
from aioice.ice import CandidatePair, StunProtocol
from aiortc import RTCIceGatherer

COMPONENT = 1
"""RTP and RTCP share one component (RFC 8843)."""


class Agent(Connection):
    """An `aioice.Connection` whose datagrams are brought and taken by a port that it does not own.

    A subclass announces its addresses in `get_component_candidates` and adds a `StunProtocol` for each socket.
    """

    @property
    def nominated_pair(self) -> CandidatePair | None:
        """The pair that media takes; None before ICE has nominated one and after `close`."""
        return self._nominated.get(COMPONENT)

    @property
    def stun_protocols(self) -> tuple[StunProtocol, ...]:
        """In the order in which they were added; empty before gathering and after `close`."""
        return tuple(self._protocols)

    def add_protocol(self, protocol: StunProtocol) -> None:
        """Take part in the checks with this one too."""
        self._protocols.append(protocol)

    def is_named(self, username: str) -> bool:
        """Whether the USERNAME of a check is ours, and the far end's where that is known (RFC 8445 section 7.2.2)."""
        return self._valid_username(username)

    @property
    def remote_count(self) -> int:
        """Remote candidates so far, signalled and learned."""
        return len(self._remote_candidates)

    def knows(self, address: tuple[str, int]) -> bool:
        """Whether a remote candidate has this IP address and port."""
        return any((c._network_host, c.port) == address for c in self._remote_candidates)

    @property
    def records_waiting(self) -> int:
        """Datagrams that `recv` has not taken yet."""
        return self._queue.qsize()

    def queue_record(self, data: bytes) -> None:
        """Hand a datagram to `recv`."""
        self._queue.put_nowait((data, COMPONENT))

    def follow(self, agent: "Agent") -> None:
        """Send by whatever pair another agent has nominated; that one looks after its consent, too."""
        if self._query_consent_task is not None:
            self._query_consent_task.cancel()
        self._nominated = agent._nominated

    def leave_consent_task(self) -> None:
        """Let `close` be called from within `query_consent`, which it would cancel otherwise."""
        self._query_consent_task = None


class Gatherer(RTCIceGatherer):
    """An `RTCIceGatherer` on a given agent, with no STUN or TURN server."""

    def __init__(self, agent: Agent) -> None:
        super().__init__(iceServers=[])
        self._connection = agent
