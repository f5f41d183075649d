"""What the engines of a server can do for a Realtime session."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.engines.images import sees_images
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
        sees_images: whether the language model can be shown images.
    """

    model: str
    stt_model: str
    calls_tools: bool
    voices: Sequence[Voice]
    default_voice: str
    sees_images: bool = False


def abilities_of(engines: Engines) -> Abilities:
    """What wishes of clients are held against."""
    llm, tts = engines.llm, engines.tts
    return Abilities(
        llm.model, engines.stt.model, llm.calls_tools, tts.voices, tts.default_voice, sees_images=sees_images(llm)
    )
