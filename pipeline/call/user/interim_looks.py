"""Interim transcripts of a growing turn: the last two, the words that they agree on, and a guess at all words."""

from pipeline.audio import HEARING_RATE
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Transcribe
from pipeline.call.events import TranscriptDelta
from pipeline.call.user.language import CallLanguage
from pipeline.call.user.pace import Pace
from pipeline.call.user.turn import Interim, Turn
from pipeline.engines.protocols import Transcript
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.scheduling.lanes import Ticket
from pipeline.text.agreement import LocalAgreement
from pipeline.text.words import SENTENCE_ENDS

GUESS_S = 0.45
"""Sound behind a transcript that may hold no further word; a fifth of all turns end so."""

GUESSED_WORDS = 3
"""Fewer of a user who still speaks are hardly all."""

WHOLE = tuple(mark for mark in SENTENCE_ENDS if mark != "…")
"""Marks behind a whole sentence; Whisper writes "…" where one goes on."""


class InterimLooks:
    """Looks at the words of one turn after the other before it is over. Sans-I/O.

    Args:
        outbox: takes work and news.
        pace: of transcripts.
        language: of the call.
    """

    def __init__(self, outbox: EffectQueue, pace: Pace, language: CallLanguage) -> None:
        self._out = outbox
        self._pace = pace
        self._language = language
        self._agreement = LocalAgreement()
        self._latest: Interim | None = None
        self._earlier: Interim | None = None
        self._guess = ""

    def begin(self) -> None:
        """A turn begins, or goes on: nothing is known yet of its words."""
        self._agreement.reset()
        self._guess = ""
        self._latest = self._earlier = None

    def look(self, turn: Turn, end: int, ticket: Ticket, now: float, *, prompt: str, optional: bool) -> None:
        """Have a growing turn transcribed, unless that is under way and not less urgent.

        Args:
            turn: the open turn.
            end: sample after the last one heard.
            ticket: of the transcription.
            now: monotonic time.
            prompt: what speech to text is told before it.
            optional: made for the listeners, and not because the turn may be over.
        """
        before = self._latest
        if before is not None and before.pending:
            if optional or not before.optional:
                return
            before.ticket.cancel()
        self._earlier = before
        self._latest = look = Interim(self._out.new_job(), end, now, ticket, optional)
        self._pace.asked(look.job, now)
        spoken = self._language
        self._out.do(
            Transcribe(
                look.job,
                turn.group,
                turn.segment_start,
                end,
                ticket,
                spoken.forced,
                spoken.prior,
                prompt,
                optional=optional,
            )
        )

    def take(self) -> Interim | None:
        """The latest look, which is the caller's from now on."""
        latest, self._latest = self._latest, None
        return latest

    def outdate(self, look: Interim) -> None:
        """Take in that a look that was taken is covered by what comes now; what it says may still be a guess."""
        # What still waits in a lane is cancelled by that; what runs is let run.
        look.ticket.cancel()
        self._earlier = look

    def transcribed(self, job: int, believed: Transcript | None, turn: Turn, now: float, *, failed: bool) -> None:
        """Take in a transcript, if it is one of a look.

        Args:
            job: the transcription's.
            believed: None where there is none that the engine believes.
            turn: in hand.
            now: monotonic time.
            failed: there is none at all.
        """
        latest = self._latest
        if latest is not None and job == latest.job:
            latest.pending, latest.transcript = False, believed
            self._pace.looked(now, now - latest.asked_at, refused=failed)
            if believed is not None and not turn.committed:
                self._confirm(turn, believed)
        if self._earlier is not None and job == self._earlier.job:
            self._earlier.transcript = believed

    def guess(self, turn: Turn, end: int) -> str:
        """The words of the last look that has some, where they may be all of an open turn; empty where not.

        Args:
            turn: in hand.
            end: sample after the last one that may hold words.
        """
        looks = (look for look in (self._latest, self._earlier) if look is not None and look.transcript is not None)
        last = next(looks, None)
        if last is None or last.transcript is None:
            return ""
        if end - last.end > GUESS_S * HEARING_RATE or last.end <= turn.segment_start:
            return ""
        text = turn.whole(clean_transcript(last.transcript))
        whole = text.endswith(WHOLE) and (turn.draft is not None or len(text.split()) >= GUESSED_WORDS)
        self._guess = text if whole else ""
        return self._guess

    def is_guess(self, said: str | None) -> bool:
        """Whether these are the words that were guessed last."""
        return bool(said) and said == self._guess

    def _confirm(self, turn: Turn, transcript: Transcript) -> None:
        words = turn.whole(clean_transcript(transcript)).split()
        turn.overheard = " ".join(words)
        newly = self._agreement.push(words)
        if newly:
            delta = (" " if turn.confirmed else "") + " ".join(newly)
            turn.confirmed += delta
            self._out.emit(TranscriptDelta(turn.item_id, delta))
