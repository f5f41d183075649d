"""One turn of the user: where its audio lies, and what is known of its words so far."""

import math
from dataclasses import dataclass, field

from pipeline.audio import HEARING_RATE
from pipeline.call.user.latency import TurnInstants
from pipeline.engines.protocols import Transcript
from pipeline.scheduling.lanes import Ticket

HEAD_S = 3.0
"""A stretch this long that ends in a pause is not transcribed again when the user goes on."""

HEAD_PAUSE_S = 0.2
"""Shortest pause at which a stretch may be cut off; shorter ones may lie inside a word."""

LONGEST_PAUSE_S = 0.5
"""Silence after which a user waits for an answer, whatever their turn is taken for until then."""


@dataclass(slots=True)
class Interim:
    """A transcription of the turn while the user may still be speaking.

    Attributes:
        job: of the transcription.
        end: sample after the last one that it covers.
        asked_at: monotonic time.
        ticket: place in the lane.
        optional: made for the listeners; others are made because the turn may be over.
        transcript: None while it is not there, and when there will be none that the engine believes.
        pending: whether it may still come.
    """

    job: int
    end: int
    asked_at: float
    ticket: Ticket
    optional: bool
    transcript: Transcript | None = None
    pending: bool = True


@dataclass(slots=True)
class Draft:
    """The turn as of one early silence, worked on in case that it is over.

    Attributes:
        job: of its transcription.
        end: sample after the last one that it covers.
        seen_at: monotonic time of the early silence.
        ticket: of its transcription and of the turn model.
        text: words of the whole turn, None while they are not known.
        words: of its own stretch, None while they are not known.
        transcribed_at: monotonic time.
        order_at: monotonic time at which its transcription is to be asked for, if it was not.
        ordered: it was.
        ordered_at: monotonic time; earlier than `seen_at` where an interim transcript already has all the words.
        adopted: its transcription is that of an optional interim transcript, which may come to nothing or be doubted.
        failed: speech to text could not do it.
    """

    job: int
    end: int
    seen_at: float
    ticket: Ticket
    order_at: float = math.inf
    ordered: bool = False
    ordered_at: float | None = None
    text: str | None = None
    words: str | None = None
    transcribed_at: float | None = None
    adopted: bool = False
    failed: bool = False


@dataclass(slots=True)
class Head:
    """A stretch of a turn that the user has gone on from, transcribed once.

    Attributes:
        job: of its transcription.
        ticket: of the same.
        start: its first sample.
        end: sample after its last one.
        text: its words, None while they are not known.
        adopted: see `Draft`.
        failed: speech to text could not do it.
    """

    job: int
    ticket: Ticket
    start: int
    end: int
    text: str | None = None
    adopted: bool = False
    failed: bool = False


@dataclass(slots=True)
class Turn:
    """A turn from its first sound to its commit.

    Attributes:
        item_id: names it in every event and in storage.
        start: its first sample (16 kHz, since the call began), pre-roll included.
        segment_start: first sample that no head covers.
        heads: the stretches before `segment_start`, in order.
        before: words of an earlier commit that this turn continues.
        draft: the last early silence, None while the user speaks.
        confirmed: words of interim transcripts that were told to the listeners.
        overheard: words of the last interim transcript, uncertain ones too.
        committed: the policy took it as over.
        typed: it was not spoken.
        continued: it had been committed before.
        late: the user was told that it takes a moment, because its words are not there.
        settled: what comes of it is known: words, none, or that it cannot be told.
        language: of its words, ISO 639-1; "" while there are none.
        language_probability: of that.
        disbelieved: what speech to text wrote that was better ignored.
        in_vain: pauses whose transcription served nothing, since the user went on.
        grouped: its words were digits or letters said in groups when they were looked at last.
        instants: for the latency of its answer.
    """

    item_id: str
    start: int
    segment_start: int
    heads: list[Head] = field(default_factory=list)
    before: str = ""
    draft: Draft | None = None
    confirmed: str = ""
    overheard: str = ""
    committed: bool = False
    typed: bool = False
    continued: bool = False
    late: bool = False
    settled: bool = False
    language: str = ""
    language_probability: float = 1.0
    disbelieved: str = ""
    confidence: float = 1.0
    text: str = ""
    in_vain: int = 0
    grouped: bool = False
    instants: TurnInstants = field(default_factory=TurnInstants)

    @property
    def group(self) -> str:
        """Group of all work behind this turn."""
        return self.item_id

    @property
    def awaits_words(self) -> bool:
        """Whether it is over and its words are not known, nor given up."""
        return self.committed and not self.settled and self.draft is not None and self.draft.text is None

    @property
    def awaited_since(self) -> float:
        """Monotonic time from which on the user has waited for an answer to the committed turn."""
        committed, ended = self.instants.committed, self.instants.speech_ended
        if committed is None or ended is None:
            return math.inf
        return min(committed, ended + LONGEST_PAUSE_S)

    @property
    def heads_known(self) -> bool:
        """Whether the words of every head are there."""
        return all(head.text is not None for head in self.heads)

    def head_of(self, job: int) -> Head | None:
        """The head that a transcription is for and that still lacks its words."""
        return next((head for head in self.heads if head.job == job and head.text is None), None)

    def stretch_s(self, end: int) -> float:
        """Seconds from the start of the open segment to a sample."""
        return (end - self.segment_start) / HEARING_RATE

    def whole(self, text: str) -> str:
        """The words of the whole turn so far as they are known, given those of the open segment."""
        for head in reversed(self.heads):
            text = join_words(head.text or "", text)
        return join_words(self.before, text)

    def give_up(self) -> None:
        """Wait no longer for the words that are not there."""
        unknown = [head.ticket for head in self.heads if head.text is None]
        for ticket in (*unknown, *([self.draft.ticket] if self.draft is not None and self.draft.words is None else [])):
            ticket.give_up()

    def hear_again(self) -> None:
        """The user goes on, and the words so far are late: they are asked for once more, with what follows."""
        draft, self.draft, self.late = self.draft, None, False
        self.instants = TurnInstants()
        known = next((number for number, head in enumerate(self.heads) if head.text is None), len(self.heads))
        self.heads, lost = self.heads[:known], self.heads[known:]
        if lost:
            self.segment_start = lost[0].start
        for ticket in (*(head.ticket for head in lost), *([draft.ticket] if draft is not None else [])):
            ticket.cancel()

    def take_up(self, pause_s: float) -> None:
        """The user goes on after a pause: a long enough stretch becomes a head, any other draft is forgotten."""
        draft, self.draft = self.draft, None
        if draft is None:
            return
        long_enough = pause_s >= HEAD_PAUSE_S and self.stretch_s(draft.end) >= HEAD_S
        known = draft.words if not draft.failed else ""
        if long_enough and draft.ordered and (known or known is None):
            # Its words are wanted anyway, and sooner than the rest: what is under way goes on.
            self.heads.append(Head(draft.job, draft.ticket, self.segment_start, draft.end, known, draft.adopted))
            self.segment_start = draft.end
        else:
            # What still waits in a lane is not worth doing any more; what runs is let run.
            draft.ticket.cancel()
            self.in_vain += draft.ordered


def join_words(first: str, second: str) -> str:
    """Two stretches of one utterance as one: an ellipsis or dash at the joint was only the pause."""
    first = first.rstrip().removesuffix("...").removesuffix("…").rstrip(" -–—")
    second = second.strip()
    if not first or not second:
        return first or second
    return f"{first} {second}"
