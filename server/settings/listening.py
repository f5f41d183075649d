"""Where the server listens, who may connect, and what it tells about itself."""

import re
from typing import Literal

from pydantic import BaseModel, Field, field_validator

from server.addresses import ProxyHeader, parse_networks
from server.bounds import MAX_CONNECTIONS, MAX_CONNECTIONS_EACH
from server.roles import Role
from server.settings.types import Listed


class ListeningSettings(BaseModel):
    """Where the server listens, who may connect, and what it tells about itself."""

    host: str = Field(
        "localhost",
        description="Address to listen on; localhost is 127.0.0.1 and ::1. Anything but loopback needs api_keys.",
    )
    port: int = Field(8000, ge=1, le=65532, description="Port of the core; the services follow on the next three.")
    role: Role = Field(
        "all", description="all: everything; core: calls, with engines elsewhere; llm, tts, stt: that service alone."
    )
    max_connections: int = Field(
        MAX_CONNECTIONS, ge=1, description="TCP connections at once; the idle ones make room for further ones."
    )
    max_connections_per_address: int = Field(
        MAX_CONNECTIONS_EACH,
        ge=1,
        description="Of them, from one address (IPv6: /64); those of trusted_proxies count with max_connections only.",
    )
    trusted_proxies: Listed = Field(
        (),
        description="Reverse proxies in front, by address or network (127.0.0.1, 10.0.0.0/8): the last address in the "
        "proxy_header of theirs that is not one of them is who asks, for all limits. Nobody else's header counts.",
    )
    proxy_header: ProxyHeader = Field(
        "x-forwarded-for", description="In which they say for whom they ask; the other one is not looked at."
    )
    allowed_origins: Listed = Field(
        (),
        description="Web pages and apps that may use the API, by origin: https://example.org, chrome-extension://..., "
        "tauri://localhost, ...; with keys also null (pages out of files) and * for all.",
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="A port on which /metrics needs no key; 0 for none besides the API's."
    )
    metrics_sample_s: float = Field(
        60.0, gt=0, description="How often the metrics are written to the table system_metrics, which keeps a week."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="What is logged.")
    log_format: Literal["auto", "console", "json"] = Field("auto", description="auto: console on a terminal.")
    drain_s: float = Field(30.0, ge=0, description="How long SIGTERM gives calls to come to an end.")

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(proxies)
        return proxies

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin not in ("*", "null", "file://") and not re.fullmatch(r"[A-Za-z][\w+.-]*://[^/?#@\s]+", origin):
                raise ValueError(f"{origin} is not an origin, such as https://example.org or http://localhost:3000")
        return tuple(origin.lower() for origin in origins)
