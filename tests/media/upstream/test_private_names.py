"""The private names of aiortc and aioice that media/upstream touches are what they were: one test for each."""

import inspect
from collections import deque
from typing import Any

import pytest
from aioice import Candidate, Connection
from aioice.ice import StunProtocol
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceTransport, RTCRtpReceiver
from aiortc.rtcsctptransport import ForwardTsnChunk, InboundStream, RTCSctpTransport, SackChunk

METHODS = [
    ("dtls", RTCDtlsTransport, "_set_role", ["self", "role"], False),
    ("stock", RTCDtlsTransport, "_send_rtp", ["self", "data"], True),
    ("sctp", RTCSctpTransport, "_handle_data", ["self", "data"], True),
    ("sctp", RTCSctpTransport, "_receive_data_chunk", ["self", "chunk"], True),
    ("sctp", RTCSctpTransport, "_receive_forward_tsn_chunk", ["self", "chunk"], True),
    ("sctp", RTCSctpTransport, "_receive_sack_chunk", ["self", "chunk"], True),
    ("sctp", RTCSctpTransport, "_send_chunk", ["self", "chunk"], True),
    ("stock", RTCRtpReceiver, "_handle_rtcp_packet", ["self", "packet"], True),
    ("stock", RTCRtpReceiver, "_handle_rtp_packet", ["self", "packet", "arrival_time_ms"], True),
    ("ice", Connection, "_valid_username", ["self", "username"], False),
    # Public by their names, though no documentation tells of them.
    ("ice", Connection, "get_component_candidates", ["self", "component", "addresses", "timeout"], True),
    ("ice", Connection, "request_received", ["self", "message", "addr", "protocol"], False),
    ("ice", Connection, "check_complete", ["self", "pair"], False),
    ("ice", Connection, "build_request", ["self", "pair", "nominate"], False),
    ("ice", Connection, "query_consent", ["self"], True),
    ("ice", StunProtocol, "send_stun", ["self", "message", "addr"], False),
    ("ice", StunProtocol, "send_data", ["self", "data", "addr"], True),
    ("ice", StunProtocol, "close", ["self"], True),
    (
        "ice",
        StunProtocol,
        "request",
        ["self", "request", "addr", "integrity_key", "retransmissions"],
        True,
    ),
]
"""Module of media/upstream, class, name, parameters, whether it is a coroutine function."""

ATTRIBUTES = [
    ("ice", "agent", "_nominated", dict),
    ("ice", "agent", "_protocols", list),
    ("ice", "agent", "_remote_candidates", list),
    ("ice", "agent", "_queue", None),
    ("ice", "agent", "_query_consent_task", type(None)),
    ("ice", "candidate", "_network_host", str),
    ("ice", "gatherer", "_connection", Connection),
    ("stock", "ice", "_connection", Connection),
    ("dtls", "dtls", "_rx_srtp", type(None)),
    ("dtls", "dtls", "_tx_srtp", type(None)),
    ("sctp", "sctp", "_inbound_streams_max", int),
    ("sctp", "sctp", "_advertised_rwnd", int),
    ("sctp", "sctp", "_data_channel_queue", deque),
    ("sctp", "sctp", "_data_channels", dict),
    ("sctp", "sctp", "_inbound_streams", dict),
    ("sctp", "sctp", "_sent_queue", deque),
    # Public by their names, though no documentation tells of them.
    ("sctp", "stream", "reassembly", list),
    ("sctp", "forward", "streams", list),
    ("sctp", "sack", "gaps", list),
]
"""Module of media/upstream, object, name, type of what it holds at first."""


@pytest.mark.parametrize(("module", "owner", "name", "parameters", "is_coroutine"), METHODS)
def test_a_method_takes_what_it_took(
    module: str, owner: type[Any], name: str, parameters: list[str], is_coroutine: bool
) -> None:
    changed = f"{owner.__module__}.{owner.__qualname__}.{name} changed, see media/upstream/{module}.py"
    method = getattr(owner, name, None)
    assert method is not None, changed
    assert list(inspect.signature(method).parameters) == parameters, changed
    assert inspect.iscoroutinefunction(method) == is_coroutine, changed


@pytest.mark.parametrize(("module", "owner", "name", "kind"), ATTRIBUTES)
async def test_an_attribute_holds_what_it_held(module: str, owner: str, name: str, kind: type[Any] | None) -> None:
    gatherer = RTCIceGatherer(iceServers=[])
    ice = RTCIceTransport(gatherer)
    dtls = RTCDtlsTransport(ice, [RTCCertificate.generateCertificate()])
    parts: dict[str, Any] = {
        "agent": Connection(ice_controlling=False),
        "candidate": Candidate.from_sdp("1 1 udp 1 127.0.0.1 9 typ host"),
        "gatherer": gatherer,
        "ice": ice,
        "dtls": dtls,
        "sctp": RTCSctpTransport(dtls),
        "stream": InboundStream(),
        "forward": ForwardTsnChunk(),
        "sack": SackChunk(),
    }
    part = parts[owner]
    changed = f"{type(part).__module__}.{type(part).__qualname__}.{name} changed, see media/upstream/{module}.py"
    assert hasattr(part, name), changed
    assert kind is None or isinstance(getattr(part, name), kind), changed
    if name == "_queue":
        assert {"qsize", "put_nowait", "get"} <= set(dir(part._queue)), changed
