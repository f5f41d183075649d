"""The call as one state machine: inputs in, effects out, no clock, no tasks, no waiting.

`CallMachine.handle` is called with one input at a time by the actor (the only writer) and with virtual time by the
tests. What the call is doing is one value, `state`, changed only by `TRANSITIONS`; the user's side and Morgan's side
are `Listening` and `Answering`; when to do what is `TurnTaking`.
"""

from collections import Counter
from collections.abc import Callable
from typing import TypeAlias, assert_never

from pipeline.call.answering import Answering, CancelReason
from pipeline.call.context import Context, Entry
from pipeline.call.effects import Cancel, Effect, Prefill
from pipeline.call.events import (
    CallEnded,
    CallFault,
    SpeechStopped,
    StateChanged,
    TranscriptCompleted,
    TranscriptFailed,
    TurnCommitted,
    TurnDropped,
    TurnLatency,
)
from pipeline.call.inputs import (
    AudioHeard,
    Connected,
    HangUp,
    Input,
    PieceEnded,
    PieceSpoken,
    PlayoutDrained,
    PlayoutStarted,
    PlayoutStarved,
    Remembered,
    ReplyText,
    ReplyTextEnded,
    StopReply,
    Tick,
    ToolRan,
    ToolsAsked,
    Transcribed,
    TurnScored,
    UserTyped,
    VoiceHeard,
)
from pipeline.call.listening import Listening
from pipeline.call.options import CallOptions
from pipeline.call.outbox import Outbox, random_id
from pipeline.call.ports import Speaker
from pipeline.call.recalling import Recalling
from pipeline.call.state import TRANSITIONS, State, Trigger
from pipeline.call.turn import Draft, Turn
from pipeline.call.watchdog import Watchdog
from pipeline.lanes import Ticket, Urgency
from pipeline.text.backchannel import is_backchannel
from pipeline.text.unfinished import expects_more
from pipeline.turn_taking import Decision, TurnTaking

ReplyWork: TypeAlias = ReplyText | ReplyTextEnded | ToolsAsked | ToolRan | PieceSpoken | PieceEnded
"""What engines and tools did for a reply."""


class CallMachine:
    """One call.

    Args:
        options: what this call asked for.
        context: the conversation, possibly with what was said before.
        speaker: the outgoing audio.
        new_id: makes ids; tests hand in a predictable one.
        recall: whether somebody answers what `Recall` asks.

    Attributes:
        state: see `TRANSITIONS`.
        counts: of turns, replies, interruptions, faults and everything else worth a number.
    """

    def __init__(
        self,
        options: CallOptions,
        context: Context,
        speaker: Speaker,
        new_id: Callable[[str], str] = random_id,
        *,
        recall: bool = False,
    ) -> None:
        self.options = options
        self.context = context
        self.state = State.CONNECTING
        self.counts: Counter[str] = Counter()
        self._out = Outbox(new_id)
        self._turns = TurnTaking(options.turn_taking)
        self._listening = Listening(options, self._out)
        self._answering = Answering(options, context, speaker, self._out)
        self._recalling = Recalling(recall, context, self._out)
        self._watchdog = Watchdog()

    @property
    def network_delay_s(self) -> float:
        """Seconds that a frame takes to the user's ear."""
        return self._answering.network_delay_s

    @network_delay_s.setter
    def network_delay_s(self, seconds: float) -> None:
        self._answering.network_delay_s = seconds

    def handle(self, message: Input, now: float) -> list[Effect]:
        """Apply one input.

        Args:
            message: what happened.
            now: monotonic time.

        Returns:
            What is to be done about it, in order.
        """
        if self.state is State.ENDED:
            return []
        match message:
            case VoiceHeard():
                self._on_voice(message)
            case Tick():
                self._on_tick(now)
            case Transcribed():
                self._on_transcribed(message, now)
            case TurnScored():
                self._on_scored(message, now)
            case ReplyText() | ReplyTextEnded() | ToolsAsked() | ToolRan() | PieceSpoken() | PieceEnded():
                self._on_reply_work(message, now)
            case PlayoutStarted():
                self._on_playout_started(message.at)
            case PlayoutDrained():
                self._on_playout_drained(message.at)
            case PlayoutStarved():
                self.counts["starved"] += 1
            case Connected():
                self._on_connected(now)
            case UserTyped():
                self._on_typed(message.text, now)
            case Remembered():
                self._on_remembered(message, now)
            case StopReply():
                self._on_stop(now)
            case HangUp():
                self._on_hang_up(message.reason)
            case AudioHeard():
                pass
            case _:
                assert_never(message)
        return self._out.drain()

    def _change(self, trigger: Trigger) -> bool:
        """Follow the table; a trigger that it does not know in this state is counted and changes nothing."""
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            self.counts["unexpected_" + trigger.value] += 1
            return False
        if after is not self.state:
            self.state = after
            self._out.emit(StateChanged(after))
        return True

    # Beginning and end -----------------------------------------------------------------------------------------------

    def _on_connected(self, now: float) -> None:
        if self.state is not State.CONNECTING:
            return
        self._change(Trigger.CONNECTED)
        if self.options.greeting:
            self._say(self.options.greeting, now)
        else:
            self._prefill(now)

    def _on_hang_up(self, reason: str) -> None:
        self._answering.cut("client_cancelled")
        if self._listening.turn is not None:
            self._out.do(Cancel(self._listening.turn.group))
        self._out.do(Cancel("overlap"))
        self._change(Trigger.ENDED)
        self._out.emit(CallEnded(reason))

    # The user speaks -------------------------------------------------------------------------------------------------

    def _on_voice(self, voice: VoiceHeard) -> None:
        if self.state is State.CONNECTING:
            return
        self._listening.hear(voice)
        probability = 0.0 if self._answering.is_echo(voice.loudness) else voice.probability
        reply = self._answering.reply
        if reply is not None and reply.audible and not reply.interruptible:
            return
        self._decide(self._turns.hear(probability, voice.at, max(voice.levels_db)), voice.at)
        if self.state is State.USER_SPEAKING and self._turns.in_turn and not self._turns.silent:
            self._listening.interim(voice.at)

    def _decide(self, decisions: list[Decision], at: float) -> None:
        for decision in decisions:
            match decision:
                case Decision.SPEECH_STARTED:
                    self._begin_turn(at)
                case Decision.EARLY_SILENCE:
                    self._draft(at)
                case Decision.ASK_AGAIN:
                    self._listening.ask_turn_model()
                case Decision.SPEECH_RESUMED:
                    self._take_up(at)
                case Decision.HURRY:
                    self._listening.hurry()
                case Decision.COMMIT:
                    self._commit(at)
                case Decision.DUCK:
                    self.counts["ducked"] += 1
                    self._answering.duck()
                case Decision.PAUSE:
                    self.counts["paused"] += 1
                    self._answering.pause()
                case Decision.UNDUCK:
                    self.counts["resumed"] += 1
                    self._listening.forget_overlap()
                    self._answering.go_on()
                case Decision.OVERLAP_ENDED:
                    self._listening.judge_overlap(at - self._turns.speech_began, at)
                case Decision.INTERRUPT:
                    self._interrupt(at)
                case Decision.IDLE_PROMPT:
                    self._say(self.options.idle_prompt, at)
                case Decision.IDLE_HANGUP:
                    self._on_hang_up("idle")
                case _:
                    assert_never(decision)

    def _begin_turn(self, at: float) -> None:
        """The user begins to speak while nothing sounds; while Morgan still thinks, that goes on with their turn."""
        speech_s = at - self._turns.speech_began
        if self.state is State.THINKING:
            answered = self._answering.reply
            self._answering.cut("turn_detected", keep=False)
            if answered is None or answered.answers is not None:
                self._reopen(speech_s, at)
            else:
                self._listening.begin(speech_s, at)
        else:
            self._listening.begin(speech_s, at)
        self._change(Trigger.SPEECH_STARTED)
        self._prefill(at)

    def _reopen(self, speech_s: float, at: float) -> None:
        self.counts["reopened"] += 1
        self._turns.reopen()
        turn = self._listening.reopen(speech_s, at)
        self.context.remove(turn.item_id)

    def _interrupt(self, at: float) -> None:
        """The user means it. Said so soon after their turn that it belongs to it, it makes one turn with it."""
        speech_s = at - self._turns.speech_began
        reply = self._answering.reply
        heard = self._answering.heard()
        answers_turn = reply is not None and reply.answers is not None
        continues = answers_turn and (not heard or self._turns.continues_turn(self._turns.speech_began))
        self._answering.cut("turn_detected", keep=not continues)
        if continues:
            self._reopen(speech_s, at)
        else:
            self.counts["interruptions"] += 1
            self._listening.begin(speech_s, at)
        self._change(Trigger.INTERRUPTED)
        self._prefill(at)

    def _take_up(self, at: float) -> None:
        turn = self._listening.turn
        if turn is None or turn.draft is None:
            return
        turn.take_up(at - turn.draft.seen_at)

    def _draft(self, at: float) -> None:
        draft = self._listening.draft(at)
        if draft is None:
            return
        if draft.text is not None:
            self._on_drafted(at)
        elif self.options.speculate:
            self._turns.words_pending()

    # The user is done ------------------------------------------------------------------------------------------------

    def _on_scored(self, message: TurnScored, now: float) -> None:
        if not self._listening.is_current_score(message.job):
            return
        if message.completeness is None:
            self.counts["turn_model_failed"] += 1
            return
        self._turns.score(message.completeness)
        self._decide(self._turns.tick(now), now)

    def _on_transcribed(self, message: Transcribed, now: float) -> None:
        words = self._listening.overlap_transcribed(message.job, message.transcript)
        if words is not None:
            meant = bool(words) and not is_backchannel(words, self._listening.language or "en")
            self._decide(self._turns.overlap_words(meant), now)
            self._listening.forget_overlap()
        elif self._listening.transcribed(message.job, message.transcript, now):
            self._on_drafted(now)
        elif self._listening.turn is not None and self._turns.in_turn:
            self._recalling.overhear(self._listening.turn)
            self._prefill_overheard(now)

    def _on_drafted(self, now: float) -> None:
        """The words of the current draft are known: work on the answer, or give it if the turn is over."""
        turn = self._listening.turn
        if turn is None or turn.draft is None or turn.draft.text is None:
            return
        if turn.committed:
            if not turn.text:
                self._answer(turn, now)
            return
        text = turn.draft.text
        self._turns.words(expects_more(text, turn.language or "en"))
        if text and not turn.draft.failed and not self._recalling.must_wait(turn, text, now):
            self._answering.prepare(turn.item_id, text, turn.language, now)
            self._advance(now)
        self._decide(self._turns.tick(now), now)

    def _on_remembered(self, message: Remembered, now: float) -> None:
        waited = self._recalling.waiting
        if not self._recalling.remembered(message.job, message.memories):
            return
        if waited:
            self._on_reminded(now)
        elif message.memories and self._turns.in_turn:
            self._prefill_overheard(now)

    def _on_reminded(self, now: float) -> None:
        """The memories that the turn in hand waited for are there, or given up."""
        turn = self._listening.turn
        if turn is None or turn.draft is None or not turn.draft.text or turn.text:
            return
        if turn.committed:
            self._answer(turn, now)
        else:
            self._answering.prepare(turn.item_id, turn.draft.text, turn.language, now)
            self._advance(now)

    def _commit(self, at: float) -> None:
        turn = self._listening.commit(self._turns.last_speech, at)
        if turn is None:
            return
        self._out.emit(SpeechStopped(turn.item_id, self._listening.heard_until // 16))
        self._change(Trigger.TURN_COMMITTED)
        self._watchdog.thinking(at)
        if turn.draft is not None and turn.draft.text is not None:
            self._answer(turn, at)

    def _answer(self, turn: Turn, now: float) -> None:
        """The turn is over and its words are known."""
        draft = turn.draft
        assert draft is not None
        text = draft.text or ""
        turn.instants.transcribed = draft.transcribed_at
        if draft.failed:
            self.counts["stt_failed"] += 1
            self._out.emit(TranscriptFailed(turn.item_id, "speech to text failed"))
            self._apologise("stt_failed", "speech to text failed", turn.item_id, now)
            return
        if not text:
            self._drop(turn, now)
            return
        if self._recalling.must_wait(turn, text, now):
            return
        self._answering.prepare(turn.item_id, text, turn.language or self._listening.language, now)
        self._add_turn(turn, text)
        self._answering.release(now)
        self._advance(now)

    def _add_turn(self, turn: Turn, text: str) -> None:
        turn.text = text
        self.counts["turns"] += 1
        previous = self.context.last_id
        self._out.emit(TurnCommitted(turn.item_id, previous, turn.continued, text if turn.typed else None))
        if not turn.typed:
            seconds = (self._listening.heard_until - turn.start) / 16_000
            self._out.emit(TranscriptCompleted(turn.item_id, text, turn.language or "en", seconds, turn.confidence))
        self.context.add(Entry(turn.item_id, "user", text, recalled=self.context.recalled))

    def _drop(self, turn: Turn, now: float) -> None:
        self.counts["dropped"] += 1
        self._answering.discard()
        self._turns.drop_turn(now)
        self._out.emit(TurnDropped(turn.item_id))
        self._change(Trigger.TURN_DROPPED)

    def _on_typed(self, text: str, now: float) -> None:
        if self.state is State.CONNECTING or not text.strip():
            return
        speaking = self._listening.turn
        if speaking is not None and not speaking.committed:
            self._out.do(Cancel(speaking.group))
            self._out.emit(TurnDropped(speaking.item_id))
        self._answering.cut("turn_detected")
        self._listening.forget_overlap()
        self._turns.drop_turn(now)
        end = self._listening.heard_until
        turn = Turn(self._out.new_id("item"), end, end, committed=True, typed=True)
        turn.draft = Draft(self._out.new_job(), end, now, Ticket(), text.strip())
        self._listening.turn = turn
        self._change(Trigger.TURN_COMMITTED)
        self._watchdog.thinking(now)
        self._answer(turn, now)

    # Morgan answers --------------------------------------------------------------------------------------------------

    def _on_reply_work(self, message: ReplyWork, now: float) -> None:
        reply = self._answering.reply
        if reply is None or message.reply != reply.reply_id:
            return
        match message:
            case ReplyText():
                reply.add_text(message.text, now)
            case ReplyTextEnded():
                self._answering.end_text(message.failed, now)
            case ToolsAsked():
                self._answering.ask_tools(message.calls, now)
            case ToolRan():
                self.counts["tools"] += 1
                self._answering.tool_ran(message.job, message.result, now)
            case PieceSpoken():
                reply.add_audio(message.piece, message.chunk, now)
            case PieceEnded():
                reply.end_piece(message.piece, message.failed)
            case _:
                assert_never(message)
        self._advance(now)

    def _advance(self, now: float) -> None:
        turn, reply = self._listening.turn, self._answering.reply
        if reply is None:
            return
        parked = not reply.released and (turn is None or turn.draft is None or turn.draft.text is None)
        if self._answering.advance(now, parked) and turn is not None and reply.answers == turn.item_id:
            instants = turn.instants
            instants.first_token, instants.first_clause = reply.first_text_at, reply.first_clause_at
            instants.first_audio, instants.released = reply.first_audio_at, now
        if self._answering.over:
            self._end_unheard(now)

    def _end_unheard(self, now: float) -> None:
        """The reply ended without a sound."""
        reply = self._answering.reply
        assert reply is not None
        self._answering.complete()
        if reply.failed and reply.said is not None and not reply.text:
            self._apologise("llm_failed", "the language model failed", reply.answers, now)
            return
        if reply.failed:
            self.counts["tts_failed"] += 1
            self._out.emit(CallFault("tts_failed", "text to speech failed"))
        self._change(Trigger.REPLY_ENDED)
        self._decide(self._turns.reply_audible(False, now), now)

    def _apologise(self, code: str, message: str, answers: str | None, now: float) -> None:
        self.counts[code] += 1
        self._out.emit(CallFault(code, message))
        self._watchdog.thinking(now)
        self._answering.cut("turn_detected")
        self._answering.say(self.options.apology, self._listening.language, now, answers)

    def _say(self, text: str, now: float) -> None:
        """Say something unasked, if nobody is speaking."""
        if self.state is State.LISTENING and self._change(Trigger.REPLY_BEGUN):
            self._watchdog.thinking(now)
            self._answering.say(text, self._listening.language or self.options.language or "en", now)

    def _on_playout_started(self, at: float) -> None:
        if not self._answering.started(at):
            return
        self.counts["replies"] += 1
        self._change(Trigger.REPLY_AUDIBLE)
        reply, turn = self._answering.reply, self._listening.turn
        assert reply is not None
        self._turns.reply_level(reply.level_db)
        self._decide(self._turns.reply_audible(True, at), at)
        if turn is not None and reply.answers == turn.item_id and turn.instants.played is None:
            turn.instants.played = at + reply.lead_s()
            total = turn.instants.voice_to_voice_ms()
            if total is not None:
                self._out.emit(TurnLatency(turn.item_id, total, turn.instants.stages()))

    def _on_playout_drained(self, at: float) -> None:
        reply = self._answering.reply
        if reply is not None and reply.finished and reply.audible and self._answering.dry:
            self._finish_reply(at)

    def _finish_reply(self, at: float) -> None:
        self._answering.complete()
        self._change(Trigger.REPLY_ENDED)
        self._decide(self._turns.reply_audible(False, at), at)

    def _on_stop(self, now: float) -> None:
        if self._answering.reply is None or not self._answering.reply.released:
            return
        self._cut_short("client_cancelled", now)

    def _cut_short(self, reason: CancelReason, now: float) -> None:
        self._answering.cut(reason)
        self._change(Trigger.STOPPED)
        self._decide(self._turns.reply_audible(False, now), now)

    def _prefill_overheard(self, now: float) -> None:
        """Let the language model read the words of the running turn that are certain, and what they remind of."""
        turn = self._listening.turn
        if turn is not None and (turn.confirmed or self.context.recalled):
            self._prefill(now, turn.confirmed)

    def _prefill(self, now: float, said: str | None = None) -> None:
        """Let the language model read what was said so far while nobody waits for it.

        Args:
            now: monotonic time.
            said: the words of the running turn that are certain.
        """
        options = self.options
        request = self.context.request(said, options.max_tokens, options.temperature, options.tools.specs)
        self._out.do(Prefill("prefill", request, Ticket(Urgency.BACKGROUND, now)))

    # The clock -----------------------------------------------------------------------------------------------

    def _on_tick(self, now: float) -> None:
        if self.state is State.CONNECTING:
            return
        self._decide(self._turns.tick(now), now)
        if self.state is State.ENDED:
            return
        if self._recalling.overdue(now):
            self._on_reminded(now)
        self._advance(now)
        self._watchdog.excuse(self._answering.tools_answered_by)
        if self._listening.overlap_overdue(now, self._watchdog.overlap_limit_s):
            self._heal("overlap_words_late")
            self._decide(self._turns.overlap_words(False), now)
        if self.state is State.THINKING and self._watchdog.thought_too_long(now):
            self._heal("no_reply")
            self._give_up_thinking(now)
        if self.state is State.SPEAKING and self._watchdog.silent_too_long(
            now, dry=self._answering.dry, working=self._waits_for_engines()
        ):
            self._heal("speaking_without_audio")
            self._finish_reply(now)

    def _give_up_thinking(self, now: float) -> None:
        """Say sorry, once; a voice that cannot even say that leaves the floor to the user."""
        reply = self._answering.reply
        if reply is None or reply.said is not None:
            self._apologise("no_reply", "no reply came in time", None, now)
        else:
            self._cut_short("turn_detected", now)

    def _waits_for_engines(self) -> bool:
        reply = self._answering.reply
        return reply is not None and reply.waiting

    def _heal(self, what: str) -> None:
        self.counts["healed"] += 1
        self._out.emit(CallFault("healed", what))
