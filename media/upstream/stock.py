"""Hooks into a stock `RTCPeerConnection`, for a client that watches its packets and breaks its own connection."""

from collections.abc import Awaitable, Callable
from typing import Any

from aioice import Candidate, Connection
from aiortc import RTCDtlsTransport, RTCIceTransport, RTCRtpReceiver
from aiortc.rtp import RtcpByePacket, RtpPacket


async def end_decoding(receiver: RTCRtpReceiver) -> None:
    """Stop the decoder thread of a receiver, as BYE does; its statistics, for receiver reports, go on."""
    await receiver._handle_rtcp_packet(RtcpByePacket(sources=[]))


def see_packets(receiver: RTCRtpReceiver, seen: Callable[[RtpPacket], None]) -> None:
    """Show packets as they arrive, in front of aiortc's jitter buffer (which adds 80 to 300 ms)."""
    original = receiver._handle_rtp_packet

    async def shown(packet: RtpPacket, arrival_time_ms: int) -> None:
        seen(packet)
        await original(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = shown  # type: ignore[method-assign]


def divert(transport: RTCDtlsTransport, taken: Callable[[bytes], Awaitable[None]]) -> None:
    """Hand RTP and RTCP on their way out to a callback in place of the network."""
    transport._send_rtp = taken  # type: ignore[method-assign, assignment]


def end_diversion(transport: RTCDtlsTransport) -> None:
    """Send again what `divert` took; does nothing where it did not."""
    transport.__dict__.pop("_send_rtp", None)


async def send_past_diversion(transport: RTCDtlsTransport, data: bytes) -> None:
    """Send one packet, whatever `divert` says."""
    await type(transport)._send_rtp(transport, data)


def reach_loopback(transport: RTCIceTransport) -> None:
    """Let aioice use 127.0.0.1, which it leaves out, on a machine that has no other address."""
    reach_loopback_by(transport._connection)


def reach_loopback_by(connection: Connection) -> None:
    """The same for an agent by itself."""
    gather = connection.get_component_candidates

    async def with_loopback(component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:
        candidates: list[Candidate] = await gather(component, addresses or ["127.0.0.1"], timeout)
        return candidates

    connection.get_component_candidates = with_loopback  # type: ignore[method-assign]


def send_by(transport: RTCIceTransport, agent: Connection) -> None:
    """Let media and DTLS go by the path of another ICE agent, as an ICE restart does, which aiortc lacks."""
    before: Any = transport._connection
    agent._queue = before._queue
    before._nominated = agent._nominated
