"""What the engines of a server can do for a Realtime session."""

from pipeline.engines.protocols import Engines
from server.realtime.session_config import Abilities


def abilities_of(engines: Engines) -> Abilities:
    """What wishes of clients are held against."""
    return Abilities(
        engines.llm.model, engines.stt.model, engines.llm.calls_tools, engines.tts.voices, engines.tts.default_voice
    )
