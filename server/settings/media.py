"""The UDP port of all calls, and the calls on it."""

import ipaddress
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from media.opus_format import Dtx
from server.settings.types import ByTheMachine, Listed


class MediaSettings(BaseModel):
    """The UDP port of all calls, and the calls on it."""

    media_host: str = Field(
        "",
        description="Address of the UDP port, which answers callers of Morgan only; empty: that of `host` where it is "
        "one interface's, else all, since Firefox reaches no media on loopback.",
    )
    media_port: int = Field(0, ge=0, le=65535, description="UDP port of all calls; 0 takes a free one.")
    public_ip: Listed = Field(
        (), description="Addresses announced to callers in place of the local ones (NAT, containers), comma-separated."
    )
    connect_timeout_s: float = Field(10.0, gt=0, description="A call that is not connected by then ends.")
    longest_call_s: float = Field(
        14_400.0, gt=0, description="A call ends after so long; one from a telephone line after telephone_longest_s."
    )
    lost_grace_s: float = Field(15.0, ge=0, description="How long a call whose caller vanished waits for them.")
    max_calls: ByTheMachine = Field(
        None,
        ge=1,
        description="Calls at once; more are refused with 503. None, or auto: as many as this machine, by its measured "
        "speed, answers in time.",
    )
    cores: int = Field(
        0, ge=0, le=1024, description="Cores that models may keep busy; 0: all that this process may use."
    )
    opus_bitrate: int = Field(
        28_000,
        ge=8_000,
        le=128_000,
        description="Of the outgoing voice, bit/s; less where a client says so (`maxaveragebitrate`). From 20,000 on "
        "packets hold redundancy while the client reports loss.",
    )
    opus_packet_ms: Literal[20, 40, 60] = Field(
        20,
        description="Length of a packet of the outgoing voice, ms; longer where a client says so (`a=ptime`). 40 saves "
        "10 kbit/s of headers.",
    )
    opus_dtx: Dtx = Field(
        "asked", description="Silence is not sent: to clients that ask for that (`usedtx=1`), always, or never."
    )

    @field_validator("public_ip")
    @classmethod
    def _addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(address)) for address in addresses)
