"""One turn of the user: where its audio lies, and what is known of its words so far."""

from dataclasses import dataclass, field

from pipeline.audio import HEARING_RATE
from pipeline.call.latency import TurnInstants
from pipeline.engines.protocols import Transcript
from pipeline.lanes import Ticket

PRE_ROLL_S = 0.3
"""Audio before the detected onset that belongs to the turn; voice detection is late by about that much."""

HEAD_S = 3.0
"""A stretch this long that ends in a pause is not transcribed again when the user goes on."""

HEAD_PAUSE_S = 0.2
"""Shortest pause at which a stretch may be cut off; shorter ones may lie inside a word."""


@dataclass(slots=True)
class Draft:
    """The turn as of one early silence, worked on in case that it is over.

    Attributes:
        job: of its transcription.
        end: sample after the last one that it covers.
        seen_at: monotonic time of the early silence.
        ticket: of its transcription and of the turn model.
        text: words of the whole turn, None while they are not known.
        transcript: of its own stretch.
        transcribed_at: monotonic time.
        failed: speech to text could not do it.
    """

    job: int
    end: int
    seen_at: float
    ticket: Ticket
    text: str | None = None
    transcript: Transcript | None = None
    transcribed_at: float | None = None
    failed: bool = False


@dataclass(slots=True)
class Turn:
    """A turn from its first sound to its commit.

    Attributes:
        item_id: names it in every event and in storage.
        start: its first sample (16 kHz, since the call began), pre-roll included.
        segment_start: first sample whose words are not in `head` yet.
        head: words of the part before `segment_start`.
        before: words of an earlier commit that this turn continues.
        draft: the last early silence, None while the user speaks.
        confirmed: words of interim transcripts that were told to the listeners.
        overheard: words of the last interim transcript, uncertain ones too.
        committed: the policy took it as over.
        typed: it was not spoken.
        continued: it had been committed before.
        instants: for the latency of its answer.
    """

    item_id: str
    start: int
    segment_start: int
    head: str = ""
    before: str = ""
    draft: Draft | None = None
    confirmed: str = ""
    overheard: str = ""
    committed: bool = False
    typed: bool = False
    continued: bool = False
    language: str = ""
    confidence: float = 1.0
    text: str = ""
    instants: TurnInstants = field(default_factory=TurnInstants)

    @property
    def group(self) -> str:
        """Group of all work behind this turn."""
        return self.item_id

    def stretch_s(self, end: int) -> float:
        """Seconds from the start of the open segment to a sample."""
        return (end - self.segment_start) / HEARING_RATE

    def whole(self, text: str) -> str:
        """The words of the whole turn, given those of the open segment."""
        return join_words(join_words(self.before, self.head), text)

    def take_up(self, pause_s: float) -> None:
        """The user goes on after a pause: keep the words of a long enough stretch, forget the draft otherwise."""
        draft, self.draft = self.draft, None
        if draft is not None:
            # What still waits in a lane is not worth doing any more; what runs is let run.
            draft.ticket.cancel()
        if draft is None or draft.transcript is None or pause_s < HEAD_PAUSE_S:
            return
        if self.stretch_s(draft.end) >= HEAD_S and draft.transcript.text:
            self.head = join_words(self.head, draft.transcript.text)
            self.segment_start = draft.end


def join_words(first: str, second: str) -> str:
    """Two stretches of one utterance as one: an ellipsis or dash at the joint was only the pause."""
    first = first.rstrip().removesuffix("...").removesuffix("…").rstrip(" -–—")
    second = second.strip()
    if not first or not second:
        return first or second
    return f"{first} {second}"
