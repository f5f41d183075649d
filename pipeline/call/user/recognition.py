"""The user's side of a call: their turn, its drafts, its transcripts."""

import math

from pipeline.audio import HEARING_RATE
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import AskTurnModel, Transcribe
from pipeline.call.events import SpeechStarted
from pipeline.call.options import CallOptions
from pipeline.call.user.heard_sound import HeardSound
from pipeline.call.user.interim_looks import InterimLooks
from pipeline.call.user.language import CallLanguage
from pipeline.call.user.overlap import SpeechOverReply, Stretch
from pipeline.call.user.pace import Pace
from pipeline.call.user.turn import Draft, Head, Interim, Turn
from pipeline.call.user.voice_meter import SPOKEN_S, VoiceMeter
from pipeline.engines.protocols import Transcript
from pipeline.engines.stt.hallucination import clean_transcript
from pipeline.scheduling.lanes import Ticket, Urgency

BREATH_S = 0.7
"""Speech that goes on within this of the silence in which the turn was transcribed is one utterance with it."""


class Recognition:
    """Follows the user's turn.

    Attributes:
        turn: the open turn, or the last one.
        sound: where the user's audio ends, and where the speech in it does.
        call_language: follows the language of the call.
        meter: knows where there was voice.
        pace: of transcripts.
        overlap: what is said over the reply.
    """

    def __init__(self, options: CallOptions, outbox: EffectQueue, language: CallLanguage) -> None:
        self.turn: Turn | None = None
        self.sound = HeardSound()
        self.call_language = language
        self.meter = VoiceMeter()
        self._options = options
        self._out = outbox
        self.pace = Pace(options.transcript_s, known_s=options.known_transcript_s, look_ahead=options.look_ahead)
        self._looks = InterimLooks(outbox, self.pace, language)
        self._score_job: int | None = None
        self.overlap = SpeechOverReply(outbox, self.pace, language)

    @property
    def language(self) -> str:
        """The language that the call is in, or most likely so, ISO 639-1."""
        return self.call_language.current

    # Sound -----------------------------------------------------------------------------------------------

    def _start_of(self, since: float) -> int:
        """First sample to be transcribed of speech that began at an instant."""
        return max(0, self.sound.sample_at(since) - int(self._options.turn_taking.pre_roll_s * HEARING_RATE))

    def begin(self, since: float, now: float) -> Turn:
        """A new turn whose speech began at a monotonic time."""
        start = self._start_of(since)
        if self.overlap.joined:
            # It was transcribed together with a turn that this one does not go on with.
            self.overlap.forget()
        self.turn = Turn(self._out.new_id("item"), start, start)
        self._open(now)
        return self.turn

    def reopen(self, since: float, now: float) -> Turn:
        """The committed turn goes on: what it said stands before what comes."""
        before = self.turn
        if before is None:
            return self.begin(since, now)
        if not before.text:
            # Committed, but its words are still on their way: it simply was not over.
            before.committed = False
            if before.late:
                before.hear_again()
            elif before.draft is not None:
                before.take_up(since - before.draft.seen_at)
            self._open(now)
            return before
        if self.overlap.joined and self._follows_closely(before, since):
            self.turn = Turn(
                before.item_id, before.start, before.segment_start, before.heads, before.before, continued=True
            )
        else:
            # What the committed words come from is not heard again.
            covered = before.draft.end if before.draft is not None else 0
            start = covered if self.overlap.joined else max(self._start_of(since), covered)
            if self.overlap.joined:
                self.overlap.forget()
            self.turn = Turn(before.item_id, before.start, start, before=before.text, continued=True)
        self.overlap.joined = False
        self._open(now)
        return self.turn

    def begin_at(self, start: int, now: float) -> Turn:
        """A turn whose beginning, a sample, the client knows; it is told of only as it ends."""
        self.overlap.forget()
        self.turn = Turn(self._out.new_id("item"), start, start)
        self._begin_words(now)
        return self.turn

    def _follows_closely(self, turn: Turn, since: float) -> bool:
        """Whether speech goes on with a turn in the same breath: the two are transcribed as one."""
        end = turn.draft.end if turn.draft is not None else 0
        return self.sound.sample_at(since) - end <= BREATH_S * HEARING_RATE

    def _open(self, now: float) -> None:
        assert self.turn is not None
        self._begin_words(now)
        self._out.emit(SpeechStarted(self.turn.item_id, self.turn.start * 1000 // HEARING_RATE))

    def _begin_words(self, now: float) -> None:
        """Nothing is known yet of the words of the turn."""
        self._looks.begin()
        self.pace.begin(now)
        self.sound.turn_began()

    # Drafts -----------------------------------------------------------------------------------------------

    def draft(self, words_end: float, now: float) -> Draft | None:
        """An early silence: have the turn so far transcribed (unless speculation is off) and judged.

        Args:
            words_end: time up to which there may be words. An interim transcript up to there has all of them.
            now: monotonic time.
        """
        turn = self.turn
        if turn is None or turn.committed:
            return None
        self._score_job = None
        taken_over = self._take_over(turn, words_end, now)
        if taken_over is not None:
            return taken_over
        interim = self._looks.take()
        if interim is not None and self.overlap.words is None and self._covers(interim, words_end, now):
            return self._adopt(turn, interim, now)
        if interim is not None:
            self._looks.outdate(interim)
        draft = Draft(self._out.new_job(), self.sound.end, now, Ticket(Urgency.SPECULATION, now))
        turn.draft = draft
        if self.overlap.words is not None:
            transcript, self.overlap.words = self.overlap.words, None
            self.settle(draft, transcript, now)
            return draft
        if self._options.speculate:
            draft.order_at = now + self.pace.deferred_s(turn.in_vain, grouped=turn.grouped)
            self.order(now)
        return draft

    def order(self, now: float) -> None:
        """Have the draft transcribed if it is time."""
        turn = self.turn
        if turn is None or turn.draft is None or turn.draft.ordered or now < turn.draft.order_at:
            return
        turn.draft.end = self.sound.end
        self._transcribe(turn, turn.draft, now)

    def _covers(self, interim: Interim, words_end: float, now: float) -> bool:
        known = interim.pending or interim.transcript is not None
        return self._options.speculate and known and interim.end >= self.sound.end_of_words(words_end, now)

    def _adopt(self, turn: Turn, interim: Interim, now: float) -> Draft:
        """The interim transcript is the draft's: nothing was said since."""
        interim.ticket.urgency = Urgency.SPECULATION
        draft = Draft(interim.job, interim.end, now, interim.ticket, ordered=True, ordered_at=interim.asked_at)
        draft.adopted = interim.optional
        turn.draft = draft
        if not interim.pending:
            self.settle(draft, interim.transcript, now)
        return draft

    def hurry(self, now: float) -> None:
        """The words of the draft are all that the end of the turn waits for."""
        if self.turn is None or self.turn.draft is None:
            return
        if self.turn.draft.order_at < math.inf:
            self.turn.draft.order_at = now
            self.order(now)
        for ticket in (*(head.ticket for head in self.turn.heads), self.turn.draft.ticket):
            ticket.urgency = Urgency.FINAL_TRANSCRIPT

    def ask_turn_model(self) -> None:
        """Ask whether the turn is over, with the silence heard until now."""
        turn = self.turn
        if turn is None or turn.draft is None:
            return
        self._score_job = self._out.new_job()
        self._out.do(AskTurnModel(self._score_job, turn.group, turn.start, self.sound.end, turn.draft.ticket))

    def is_current_score(self, job: int) -> bool:
        """Whether an answer of the turn model is to the last question."""
        return job == self._score_job

    def _transcribe(self, turn: Turn, draft: Draft, now: float) -> None:
        draft.ordered = True
        self._ask(turn, draft, turn.segment_start, now)

    def _ask(self, turn: Turn, stretch: Draft | Head, start: int, now: float) -> None:
        self.pace.asked(stretch.job, now)
        self._out.do(
            Transcribe(
                stretch.job,
                turn.group,
                start,
                stretch.end,
                stretch.ticket,
                self.call_language.forced,
                self.call_language.prior,
                self._prompt(turn),
            )
        )

    def _prompt(self, turn: Turn) -> str:
        """What speech to text is told before the words of a turn's stretch."""
        return " ".join(part for part in (self._options.stt_prompt, turn.whole("")[-200:]) if part)

    def _ask_again(self, turn: Turn, stretch: Draft | Head, start: int, now: float) -> None:
        """The optional transcript that a stretch had adopted is none: the engine has not given it the time it needs."""
        stretch.adopted, stretch.job = False, self._out.new_job()
        self._ask(turn, stretch, start, now)

    def commit(self, last_speech: float, now: float) -> Turn | None:
        """The turn is over: the user waits for its draft from now on.

        Args:
            last_speech: end of the last window with speech; what was loud after that was no speech.
            now: monotonic time.
        """
        turn = self.turn
        if turn is None:
            return None
        draft = turn.draft or self.draft(last_speech, now)
        turn.committed = True
        turn.instants.committed = now
        turn.instants.speech_ended = min(self.sound.audible_until, last_speech)
        if draft is not None:
            turn.instants.silence_seen = draft.seen_at if draft.ordered_at is None else draft.ordered_at
            self.hurry(now)
            if not draft.ordered and draft.words is None:
                self._transcribe(turn, draft, now)
        return turn

    def settle(self, draft: Draft, transcript: Transcript | None, now: float) -> None:
        """Take in a draft's transcript."""
        turn = self.turn
        assert turn is not None
        draft.words = self._words(turn, transcript) or ""
        draft.failed = transcript is None
        self._complete(turn, draft, now)

    def _complete(self, turn: Turn, draft: Draft, now: float) -> None:
        """Put the words of the whole turn together, if they are all there."""
        if draft.words is None or not turn.heads_known:
            return
        draft.failed = draft.failed or any(head.failed for head in turn.heads)
        draft.text = turn.whole(draft.words)
        draft.transcribed_at = now

    def _words(self, turn: Turn, transcript: Transcript | None) -> str | None:
        """The words of a stretch of the turn, None when there is no transcript."""
        if transcript is None:
            return None
        text = clean_transcript(transcript)
        if text:
            turn.confidence = min(turn.confidence, transcript.confidence)
            turn.language = transcript.language or turn.language
            turn.language_probability = transcript.language_probability
        else:
            turn.disbelieved = transcript.text.strip() or turn.disbelieved
        return text

    def voice_s(self, turn: Turn) -> float:
        """Seconds of voice in a turn."""
        return self.meter.seconds(turn.start, self.sound.end)

    def spoken(self, turn: Turn) -> bool:
        """Whether somebody spoke in a turn, whether or not there are words."""
        return self.voice_s(turn) >= SPOKEN_S

    def language_after(self, turn: Turn) -> str:
        """The language in which a turn is to be answered."""
        return self.call_language.after(turn.language, turn.language_probability, self.voice_s(turn))

    def settle_language(self, turn: Turn) -> str:
        """The turn is part of the conversation; returns the language that the call is in from now on."""
        return self.call_language.settle(turn.language, turn.language_probability, self.voice_s(turn))

    def transcribed(self, job: int, transcript: Transcript | None, now: float) -> bool:
        """Take in a transcript; True when the words of the current draft are complete with it."""
        self.pace.answered(job, now, failed=transcript is None)
        turn = self.turn
        if turn is None:
            return False
        # Doubted words are taken from who has heard them as well as it can, never shown and never adopted.
        believed = None if transcript is None or transcript.doubted else transcript
        if turn.draft is not None and job == turn.draft.job:
            if turn.draft.words is not None:
                return False  # an answer that was given already, or given up
            if turn.draft.adopted and believed is None:
                self._ask_again(turn, turn.draft, turn.segment_start, now)
                return False
            self.pace.looked(now, 0.0)
            self.settle(turn.draft, transcript, now)
            return turn.draft.text is not None
        head = turn.head_of(job)
        if head is not None:
            if head.adopted and believed is None:
                self._ask_again(turn, head, head.start, now)
                return False
            words = self._words(turn, transcript)
            head.text, head.failed = words or "", words is None
            if turn.draft is not None:
                self._complete(turn, turn.draft, now)
            return turn.draft is not None and turn.draft.text is not None
        self._looks.transcribed(job, believed, turn, now, failed=transcript is None)
        return False

    def guess(self) -> str:
        """The words of a transcript that was begun just before the draft: often all that there are, and known sooner.

        Empty where there is none, or it ends in the middle of a sentence.
        """
        turn = self.turn
        if turn is None or turn.committed or not turn.heads_known or not (self.pace.eager or self.pace.ahead):
            return ""
        if turn.draft is None and not self.pace.ahead:
            return ""
        if turn.draft is not None and turn.draft.text is not None:
            return ""
        return self._looks.guess(turn, turn.draft.end if turn.draft is not None else self.sound.end)

    def may_be_all(self, said: str | None) -> bool:
        """Whether these may still be all words of the turn in hand."""
        turn = self.turn
        if turn is None:
            return False
        return (turn.draft is not None and turn.draft.text is not None) or self._looks.is_guess(said)

    # Interim transcripts ---------------------------------------------------------------------------------------------

    def interim(self, now: float) -> None:
        """Have the growing turn transcribed, if it is time and nothing more urgent is under way."""
        if self._options.interim and self.pace.interim_due(now):
            self._look(Ticket(Urgency.INTERIM, now + 1), now, optional=True)

    def interim_at_dip(self, now: float) -> None:
        """A moment of silence: begin with what is transcribed if it lasts, unless such moments come too often."""
        if self._options.interim and self._options.speculate and self.pace.dip_due(now):
            self._look(Ticket(Urgency.SPECULATION, now), now, optional=False)

    def _look(self, ticket: Ticket, now: float, *, optional: bool) -> None:
        turn = self.turn
        if turn is None or turn.draft is not None or turn.committed or not turn.heads_known:
            return
        self._looks.look(turn, self.sound.end, ticket, now, prompt=self._prompt(turn), optional=optional)

    # Speech over a reply ---------------------------------------------------------------------------------------------

    def judge_overlap(self, since: float, at: float, now: float, *, ended: bool, going_on: bool) -> None:
        """Have what was said over a reply transcribed, to see whether it was meant.

        Args:
            since: monotonic time at which it began.
            at: of the last of it that was heard; long ago where audio comes late.
            now: monotonic time.
            ended: they stopped; else they are going on, and one look at a time will do.
            going_on: it is no answer to the reply, of which nothing was to be heard yet.
        """
        if not ended and (self.overlap.looking or at - since < self.pace.look_after_s):
            return
        turn = self.turn
        # What the committed words come from is not heard again.
        covered = turn.draft.end if turn is not None and turn.draft is not None else 0
        start = max(self._start_of(since), min(covered, self.sound.end))
        prompt = self._prompt(turn) if turn is not None else ""
        self.overlap.look(Stretch(start, self.sound.end), turn, now, prompt=prompt, ended=ended, going_on=going_on)

    def _take_over(self, turn: Turn, words_end: float, now: float) -> Draft | None:
        """The look at the end of the overlap, which is still on its way, is the turn's draft."""
        look = self.overlap.last_look()
        if look is None or not look.ended or look.end < self.sound.end_of_words(words_end, now):
            return None
        turn.draft = Draft(look.job, look.end, now, look.ticket, ordered=True, ordered_at=look.asked_at)
        return turn.draft
