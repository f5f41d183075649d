"""Speech over a reply: transcribed to see whether it was meant, as an interruption or as more of the turn before."""

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.audio import HEARING_RATE
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Cancel, Transcribe
from pipeline.call.user.language import CallLanguage
from pipeline.call.user.pace import Pace
from pipeline.call.user.turn import Turn
from pipeline.engines.protocols import Transcript
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.backchannel import backchannel_prompt
from pipeline.text.going_on import can_be_said, words_added

CLEAR_WORD = 0.58
"""Confidence of the transcript below which speech over a reply was no word. Over Opus, prompted with
`backchannel_prompt`, "stop", "wait", "no" and such get 0.63 and more, an "mhm" taken for words at most 0.52."""

LIKELY_WORD = 0.54
"""The same where words are likelier than a noise: so soon after the user's turn that they may be going on with it."""

JOINED_S = 10.0
"""Longer turns are not transcribed anew for what is said behind them."""


class Stretch(NamedTuple):
    """Audio between two samples.

    Attributes:
        start: the first.
        end: the one after the last.
    """

    start: int
    end: int

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return (self.end - self.start) / HEARING_RATE


@dataclass(frozen=True, slots=True)
class OverlapLook:
    """A transcription of what is said over a reply.

    Attributes:
        job: of the transcription.
        end: sample after the last one that it covers.
        asked_at: monotonic time.
        ticket: place in the lane.
        ended: made when they stopped; others are made while they go on, and may end in half a word.
        seconds: of audio over the reply, of which the words are wanted.
        joined: of the turn before the reply as well, which they are going on with.
    """

    job: int
    end: int
    asked_at: float
    ticket: Ticket
    ended: bool
    seconds: float
    joined: bool = False


@dataclass(frozen=True, slots=True)
class OverlapWords:
    """What is said over a reply.

    Attributes:
        text: "" for no word, or none that is clear.
        clear: the words are sure, or it is sure that there are none.
        ended: these are all the words there were.
        added: words that the turn before the reply has more with them; None when they were heard by themselves.
    """

    text: str
    clear: bool
    ended: bool
    added: int | None = None


class SpeechOverReply:
    """Follows what is said over one reply.

    A letter or a syllable by itself is heard as an "mhm" as easily as not; behind the words that it goes on with it is
    heard for what it is.

    Args:
        outbox: takes the transcriptions asked for.
        pace: of transcripts.
        language: of the call.

    Attributes:
        words: the transcript of all of it, once it is known to be that.
        joined: it is transcribed together with the turn that it goes on with.
    """

    def __init__(self, outbox: EffectQueue, pace: Pace, language: CallLanguage) -> None:
        self.words: Transcript | None = None
        self.joined = False
        self._out = outbox
        self._pace = pace
        self._language = language
        self._looks: list[OverlapLook] = []

    @property
    def looking(self) -> bool:
        """Whether a transcript of it is on its way."""
        return bool(self._looks)

    def look(self, alone: Stretch, turn: Turn | None, now: float, *, prompt: str, ended: bool, going_on: bool) -> None:
        """Have it transcribed.

        Args:
            alone: the audio of it.
            turn: the turn that is answered.
            now: monotonic time.
            prompt: what the words of that turn follow, where it is heard together with them.
            ended: they stopped; else they are going on.
            going_on: it is no answer to the reply, of which nothing was to be heard yet.
        """
        for before in self._looks:
            # What still waits in a lane is covered by this one.
            before.ticket.cancel()
        spoken = self._language
        joined = turn if going_on and turn is not None and _can_be_joined(turn) else None
        self.joined = joined is not None
        start = joined.segment_start if joined is not None else alone.start
        ticket = Ticket(Urgency.FINAL_TRANSCRIPT, now)
        look = OverlapLook(self._out.new_job(), alone.end, now, ticket, ended, alone.seconds, self.joined)
        self._looks.append(look)
        self._pace.asked(look.job, now)
        told = prompt if self.joined else backchannel_prompt(spoken.current)
        self._out.do(Transcribe(look.job, "overlap", start, look.end, ticket, spoken.forced, spoken.prior, told))

    def transcribed(
        self, job: int, transcript: Transcript | None, turn: Turn | None, *, going_on: bool
    ) -> OverlapWords | None:
        """What the transcript says, None when it is of something else.

        A draft that is made before the words are forgotten takes them as its own, when they are all that was said.

        Args:
            job: the transcription's.
            transcript: None when it failed.
            turn: that the reply answers.
            going_on: said so soon after the user's turn that it may belong to it.
        """
        index = next((index for index, look in enumerate(self._looks) if look.job == job), None)
        if index is None:
            return None
        look = self._looks[index]
        del self._looks[: index + 1]
        # Where a later look is on its way, more was said.
        ended = look.ended and not self._looks
        if ended:
            self.words = transcript
        if transcript is None:
            return OverlapWords("", clear=False, ended=ended)
        text = clean_transcript(transcript)
        if look.joined and turn is not None and turn.draft is not None:
            added = words_added(turn.draft.words or "", text)
            if can_be_said(added, look.seconds):
                return OverlapWords(text, clear=True, ended=ended, added=added)
            return OverlapWords("", clear=False, ended=ended)
        clear = not text or transcript.confidence >= (LIKELY_WORD if going_on else CLEAR_WORD)
        return OverlapWords(text if clear else "", clear, ended)

    def last_look(self) -> OverlapLook | None:
        """The look that is on its way, if any, which is the caller's from now on."""
        look = self._looks[-1] if self._looks else None
        self._looks.clear()
        return look

    def overdue(self, now: float, limit_s: float) -> bool:
        """Whether the words have been waited for too long; they are then given up."""
        if not self._looks or now - self._looks[-1].asked_at < limit_s:
            return False
        self._looks.clear()
        self._out.do(Cancel("overlap"))
        return True

    def forget(self) -> None:
        """What was said over the reply does not matter any more."""
        self._looks.clear()
        self.words = None
        self.joined = False


def _can_be_joined(turn: Turn) -> bool:
    draft = turn.draft
    return draft is not None and bool(draft.words) and turn.stretch_s(draft.end) <= JOINED_S
