"""A clause or sentence of a reply on its way through the voice."""

from dataclasses import dataclass, field

from pipeline.audio import SPEECH_RATE
from pipeline.engines.protocols import SpeechChunk
from pipeline.scheduling.lanes import Ticket
from pipeline.text.spoken import Spoken

CHARACTERS_PER_S = 15.0
"""About so fast is text spoken."""

USUAL_CHARACTERS = 60
"""Of a piece; about so long is the sentence by which a voice is measured."""


@dataclass(slots=True)
class Piece:
    """A clause or sentence of a reply.

    Attributes:
        index: names it in what the voice is asked and answers.
        source: its text as it was written.
        spoken: what was made of that for the voice.
        ticket: of the voice's work.
        requested: the voice was asked.
        asked_at: monotonic time of that; None while it was not.
        ended: the voice is done with it.
        chunks: its sound so far.
        written: chunks that were handed to the playout.
        start: position of its first sample in the playout; None before.
    """

    index: int
    source: str
    spoken: Spoken
    ticket: Ticket
    requested: bool = False
    asked_at: float | None = None
    ended: bool = False
    chunks: list[SpeechChunk] = field(default_factory=list)
    written: int = 0
    start: int | None = None

    @property
    def awaited(self) -> bool:
        """Whether the voice still owes something of it."""
        return self.requested and not self.ended

    @property
    def size(self) -> float:
        """Of the work, as `UsualTime` counts: voices that say a piece as a whole take longer to their first sound."""
        return max(1.0, len(self.spoken.text) / USUAL_CHARACTERS)

    def unspoken_s(self, speed: float) -> float:
        """About how long it takes to say what there is no sound of yet."""
        if self.ended:
            return 0.0
        spoken = sum(len(chunk.pcm) for chunk in self.chunks) / SPEECH_RATE
        return max(0.0, len(self.spoken.text) / CHARACTERS_PER_S / speed - spoken)
