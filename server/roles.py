"""What a process serves: everything, calls with engines that are elsewhere, or one service alone."""

from typing import Literal

from pipeline.plugins.engine_plugin import EngineRole

Role = Literal["all", "core", "llm", "tts", "stt"]

SERVICES = ("llm", "tts", "stt")
"""They listen on the ports after the core's, in this order."""

ENGINES_OF: dict[Role, tuple[EngineRole, ...]] = {
    "all": ("stt", "llm", "tts", "turn", "vad", "embedder"),
    "core": ("stt", "llm", "tts", "turn", "vad", "embedder"),
    "llm": ("llm", "embedder"),
    "tts": ("tts",),
    "stt": ("stt", "vad"),
}
"""The engines that a process works with."""

SERVICE_OF: dict[EngineRole, str] = {"stt": "stt", "llm": "llm", "tts": "tts", "embedder": "llm"}
"""Which service has an engine for others; the rest is always in process."""


def takes_calls(role: Role) -> bool:
    """Whether the process has the core's routes and the media port."""
    return role in ("all", "core")


def services_of(role: Role) -> tuple[str, ...]:
    """The services that the process itself serves."""
    return {"all": SERVICES, "core": ()}.get(role, (role,))


def port_of(service: str, port: int) -> int:
    """Where a part of a block listens that begins at a port.

    Args:
        service: "core", "llm", "tts" or "stt".
        port: the core's.
    """
    return port + ("core", *SERVICES).index(service)
