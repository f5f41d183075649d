"""The end of the user's turn: its words are known, it is committed or typed, and an answer is on its way."""

from pipeline.call.context import Entry
from pipeline.call.effects import Cancel, Prefill
from pipeline.call.events import (
    SpeechStopped,
    TranscriptCompleted,
    TranscriptFailed,
    TurnCommitted,
    TurnDropped,
    TurnUnclear,
)
from pipeline.call.inputs import Remembered, TurnScored
from pipeline.call.reply_lifecycle import ReplyLifecycle
from pipeline.call.shared_state import SharedState
from pipeline.call.state import State, Trigger
from pipeline.call.user.recalling import Recalling
from pipeline.call.user.turn import Draft, Turn
from pipeline.call.wish import AS_ALWAYS
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.groups import More, wanted
from pipeline.text.unfinished import is_question, what_follows


class Endpointing:
    """Applies what is learnt of the turn in hand, up to the release of its answer.

    Args:
        floor: of the call.
        replying: gives the answer.
        recalling: fetches what the words remind of.
    """

    def __init__(self, floor: SharedState, replying: ReplyLifecycle, recalling: Recalling) -> None:
        self._floor = floor
        self._options, self._context, self._out = floor.options, floor.context, floor.out
        self._turns, self._listening, self._answering = floor.turns, floor.listening, floor.answering
        self._replying = replying
        self._recalling = recalling
        self._unclear_in_a_row = 0

    def scored(self, message: TurnScored, now: float) -> None:
        """Take in the turn model's answer."""
        if not self._listening.is_current_score(message.job):
            return
        if message.completeness is None:
            self._floor.counts["turn_model_failed"] += 1
            return
        self._turns.score(message.completeness)
        self._floor.decide(self._turns.tick(now), now)

    def drafted(self, now: float) -> None:
        """The words of the current draft are known: work on the answer, or give it if the turn is over."""
        turn = self._listening.turn
        if turn is None or turn.draft is None or turn.draft.text is None:
            return
        if turn.committed:
            if not turn.text:
                self._answer(turn, now)
            return
        text = turn.draft.text
        more = self._what_follows(turn, text)
        turn.grouped = more in (More.GROUP, More.PERHAPS)
        self._turns.evidence.words(more, question=is_question(text))
        answers = self._options.answers_turns
        if answers and text and not turn.draft.failed and not self._recalling.must_wait(turn, text, now):
            self._prepare(turn, text, now)
            self._replying.advance(now)
        self._floor.decide(self._turns.tick(now), now)

    def guess(self, now: float) -> None:
        """The turn may be over, and its last words are not known: begin with those of a moment ago, if they may be all.

        Nothing is said before the words are known; where they come out the same, the language model is ahead.
        """
        turn, text = self._listening.turn, self._listening.guess()
        if turn is None or not text or not self._recalling.ready(turn, text):
            return
        if self._options.answers_turns and self._what_follows(turn, text) is More.NO:
            self._prepare(turn, text, now)

    def _prepare(self, turn: Turn, text: str, now: float) -> None:
        """Begin a reply to what may be all words of a turn."""
        waiting_since = now if turn.draft is None else turn.draft.seen_at
        self._answering.prepare(turn.item_id, text, self._listening.language_after(turn), waiting_since)

    def _what_follows(self, turn: Turn, text: str) -> More:
        """What the words say of what is to come, as the answer to the last reply."""
        said = [entry for entry in self._context.entries if entry.item_id != turn.item_id]
        reply = next((entry.text for entry in reversed(said) if entry.role == "assistant"), "")
        language = turn.language or "en"
        # A letter or two are easily taken for another language than the question was in.
        codes = dict.fromkeys((language, self._options.language or language, "en"))
        asked, code = next(((kind, code) for code in codes if (kind := wanted(reply, code))), (None, language))
        return what_follows(text, code, asked, " ".join(entry.text for entry in said[-4:]))

    def remembered(self, message: Remembered, now: float) -> None:
        """Take in memories."""
        waited = self._recalling.waiting
        if not self._recalling.remembered(message.job, message.memories):
            return
        if waited:
            self.reminded(now)
        elif self._floor.state is State.USER_SPEAKING:
            self.guess(now)
            if message.memories:
                self.prefill_overheard(now)

    def reminded(self, now: float) -> None:
        """The memories that the turn in hand waited for are there, or given up."""
        turn = self._listening.turn
        if turn is None or turn.draft is None or not turn.draft.text or turn.text:
            return
        if turn.committed:
            self._answer(turn, now)
        elif self._options.answers_turns:
            self._prepare(turn, turn.draft.text, now)
            self._replying.advance(now)

    def commit(self, at: float, *, by_client: bool = False) -> None:
        """The policy takes the turn as over, or the client who knows where it ends says so."""
        turn = self._listening.commit(self._turns.last_speech, at)
        if turn is None:
            return
        self._out.emit(SpeechStopped(turn.item_id, self._listening.sound.end // 16, by_client))
        if not by_client:
            self._floor.change(Trigger.TURN_COMMITTED)
            self._floor.watchdog.thinking(at)
        if turn.draft is not None and turn.draft.text is not None:
            self._answer(turn, at)

    def _answer(self, turn: Turn, now: float) -> None:
        """The turn is over and its words are known."""
        draft = turn.draft
        assert draft is not None
        text = draft.text or ""
        turn.instants.transcribed = draft.transcribed_at
        if draft.failed:
            self._fail(turn, now, "speech to text failed")
            return
        if not text:
            self._drop(turn, now)
            return
        if self._recalling.must_wait(turn, text, now):
            return
        if not self._options.answers_turns:
            self._add_turn(turn, text)
            self._listened(turn, now)
            return
        self._take_the_floor(now)
        wish = self._replying.take_wish()
        if wish is not None:
            self._answering.conclude("", now)
            self._add_turn(turn, text)
            self._replying.wish(wish, now)
            return
        self._prepare(turn, text, now)
        self._add_turn(turn, text)
        self._replying.tell_latency(turn)
        self._answering.release(now)
        self._replying.advance(now)

    def _fail(self, turn: Turn, now: float, problem: str) -> None:
        """There will be no words of the turn."""
        turn.settled = True
        self._out.emit(TranscriptFailed(turn.item_id, problem))
        if not self._options.answers_turns:
            self._floor.counts["stt_failed"] += 1
            self._listened(turn, now)
            return
        self._take_the_floor(now)
        self._replying.apologise("stt_failed", problem, turn.item_id, now)

    def _take_the_floor(self, now: float) -> None:
        """A turn that the client has ended is to be answered: a reply that sounds gives way to it."""
        if self._answering.awaits_words:
            return
        if self._floor.state is State.SPEAKING:
            self._answering.cut("turn_detected")
        if self._floor.state in (State.LISTENING, State.SPEAKING):
            self._floor.change(Trigger.TURN_COMMITTED)
            self._floor.watchdog.thinking(now)

    def _listened(self, turn: Turn, now: float) -> None:
        """The turn is dealt with, and gets no answer unless the client has asked for one."""
        self._answering.discard()
        self._answering.conclude("", now)
        if not self._replying.fulfil(turn.item_id, now) and self._floor.state is State.THINKING:
            self._floor.change(Trigger.REPLY_ENDED)
            self._turns.drop_turn(now)

    def given_up(self, now: float) -> None:
        """The turn in hand was taken back before it was over."""
        if self._floor.state is State.USER_SPEAKING:
            self._floor.change(Trigger.TURN_DROPPED)
        self._replying.fulfil(None, now)

    def excuse(self, now: float) -> None:
        """The words of the committed turn are late: say so, as the beginning of the answer to them."""
        turn, options = self._listening.turn, self._options
        if turn is None or not turn.awaits_words or self._floor.state not in (State.THINKING, State.LISTENING):
            return
        late = now - turn.awaited_since >= options.delay_apology_after_s
        says = options.answers_turns and AS_ALWAYS.is_spoken(options) and not self._replying.wished
        language = self._listening.language
        if late and says and not turn.late and options.phrase("delay_apology", language)[0]:
            turn.late = True
            self._take_the_floor(now)
            self._answering.await_words(turn.item_id, language, turn.awaited_since, now)
            self._replying.advance(now)

    def give_up(self, now: float) -> bool:
        """The words of the committed turn do not come any more; False where none are awaited."""
        turn = self._listening.turn
        if turn is None or not turn.awaits_words or turn.draft is None:
            return False
        turn.give_up()
        turn.draft.words = turn.draft.text = ""
        self._out.do(Cancel(turn.group))
        self._fail(turn, now, "no words came in time")
        return True

    def _add_turn(self, turn: Turn, text: str) -> None:
        turn.text = text
        turn.settled = True
        self._unclear_in_a_row = 0
        language = self._listening.settle_language(turn)
        self._floor.counts["turns"] += 1
        previous = self._context.last_id
        self._out.emit(TurnCommitted(turn.item_id, previous, turn.continued, text if turn.typed else None))
        if not turn.typed:
            seconds = (self._listening.sound.end - turn.start) / 16_000
            spoken = turn.language or language
            self._out.emit(TranscriptCompleted(turn.item_id, text, spoken, seconds, turn.confidence, language))
        self._context.add(Entry(turn.item_id, "user", text, recalled=self._context.recalled))

    def _drop(self, turn: Turn, now: float) -> None:
        """There are no words: a noise is passed over, a user who spoke is told."""
        turn.settled = True
        self._answering.discard()
        self._turns.drop_turn(now)
        if not self._listening.spoken(turn):
            self._floor.counts["dropped"] += 1
            self._out.emit(TurnDropped(turn.item_id))
            if not self._answering.conclude("", now):
                self._left_unanswered(now)
            return
        self._floor.counts["unclear"] += 1
        self._unclear_in_a_row += 1
        self._out.emit(TurnUnclear(turn.item_id, turn.disbelieved, self._listening.voice_s(turn)))
        spoken = self._answering.spoken_in(self._listening.language)
        text, language = self._options.phrase("unclear_prompt", spoken)
        asks = bool(text) and self._options.answers_turns and self._unclear_in_a_row <= self._options.unclear_prompts
        if self._answering.conclude(text if asks else "", now):
            return
        if not asks:
            self._left_unanswered(now)
            return
        self._take_the_floor(now)
        self._floor.watchdog.thinking(now)
        self._answering.say(text, language, now)

    def _left_unanswered(self, now: float) -> None:
        if self._floor.state in (State.USER_SPEAKING, State.THINKING):
            self._floor.change(Trigger.TURN_DROPPED)
        self._replying.fulfil(None, now)

    def typed(self, text: str, now: float) -> None:
        """The user typed a turn; what they were saying does not count any more."""
        if self._floor.state is State.CONNECTING or not text.strip():
            return
        speaking = self._listening.turn
        if speaking is not None and not speaking.committed:
            self._out.do(Cancel(speaking.group))
            self._out.emit(TurnDropped(speaking.item_id))
        self._answering.cut("turn_detected")
        self._listening.overlap.forget()
        self._turns.drop_turn(now)
        end = self._listening.sound.end
        turn = Turn(self._out.new_id("item"), end, end, committed=True, typed=True)
        turn.draft = Draft(self._out.new_job(), end, now, Ticket(), text=text.strip())
        self._listening.turn = turn
        self._floor.change(Trigger.TURN_COMMITTED)
        self._floor.watchdog.thinking(now)
        self._answer(turn, now)

    def prefill_overheard(self, now: float) -> None:
        """Let the language model read the words of the running turn that are certain, and what they remind of."""
        turn = self._listening.turn
        if turn is not None and (turn.confirmed or self._context.recalled):
            self.prefill(now, turn.confirmed)

    def prefill(self, now: float, said: str | None = None) -> None:
        """Let the language model read what was said so far while no answer is waited for.

        Args:
            now: monotonic time.
            said: the words of the running turn that are certain.
        """
        self._answering.answer_in(self._listening.language)
        request = AS_ALWAYS.request(self._context, self._options, said)
        self._out.do(Prefill("prefill", request, Ticket(Urgency.LOOK_AHEAD, now)))
