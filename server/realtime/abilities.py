"""What the engines of a server can do for a Realtime session."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engines.protocols import Engines, Voice


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the server can do, against which wishes are held.

    Attributes:
        model: name of the language model.
        stt_model: of the transcripts.
        calls_tools: whether the language model can be given tools.
        voices: that are loaded.
        default_voice: id of one of them.
    """

    model: str
    stt_model: str
    calls_tools: bool
    voices: Sequence[Voice]
    default_voice: str


def abilities_of(engines: Engines) -> Abilities:
    """What wishes of clients are held against."""
    return Abilities(
        engines.llm.model, engines.stt.model, engines.llm.calls_tools, engines.tts.voices, engines.tts.default_voice
    )
