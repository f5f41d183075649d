"""The call as one state machine: inputs in, effects out, no clock, no tasks, no waiting.

`CallMachine.handle` is called with one input at a time by the actor (the only writer) and with virtual time by the
tests. What the call is doing is one value, `CallPhase`, changed only by `TRANSITIONS`; the user's side and
Morgan's side are `Recognition` and `ReplyPlayer`; when to do what is `TurnTaking`. What the end of a turn leads to is
`Endpointing`, what becomes of replies is `ReplyLifecycle`.
"""

from collections.abc import Callable
from typing import assert_never

from pipeline.call.context import Context
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Cancel, Effect
from pipeline.call.endpointing import Endpointing
from pipeline.call.events import (
    CallEnded,
    KeyHeard,
)
from pipeline.call.inputs import (
    AudioHeard,
    ClientRequest,
    Connected,
    HangUp,
    Input,
    KeyPressed,
    PieceEnded,
    PieceSpoken,
    Playhead,
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
from pipeline.call.options import CallOptions
from pipeline.call.overdue import Overdue
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.reply_lifecycle import ReplyLifecycle
from pipeline.call.requests import Requests
from pipeline.call.shared_state import SharedState
from pipeline.call.state import Phase, State, Trigger
from pipeline.call.turn_taking.decisions import TRIGGERS, Decision
from pipeline.call.user.keypad import Keypad, pressed_turn
from pipeline.call.user.overlap import OverlapWords
from pipeline.call.user.recalling import Recalling
from pipeline.call.wish import AS_ALWAYS
from pipeline.text.backchannel import is_all_of, is_backchannel, takes_floor

WITHIN_A_STATE = TRIGGERS.keys() - {Decision.SPEECH_STARTED, Decision.COMMIT, Decision.INTERRUPT}
"""Decisions with which only the phase changes, before anything else; the others tell of a new state when it is due."""


class CallMachine:
    """One call.

    Args:
        options: what this call asked for.
        context: the conversation, possibly with what was said before.
        new_id: makes ids from a kind ("item", "resp").
        recall_s: within which `Recall` is answered; 0 where it is not.
        voices: that replies can be spoken with; None for only one, of no known language.

    Attributes:
        counts: of turns, replies, interruptions, faults and everything else worth a number.
        requests: applies what the client asks for by name.
    """

    def __init__(
        self,
        options: CallOptions,
        context: Context,
        new_id: Callable[[str], str],
        *,
        recall_s: float = 0.0,
        voices: VoiceChoice | None = None,
    ) -> None:
        self.options = options
        self.context = context
        self._out = EffectQueue(new_id)
        self._floor = floor = SharedState(options, context, self._out, voices or VoiceChoice(chosen=options.voice))
        self.counts = floor.counts
        self._now = 0.0
        self._keypad = Keypad()
        self._turns, self._listening, self._answering = floor.turns, floor.listening, floor.answering
        self._recalling = Recalling(recall_s, context, self._out)
        self._replying = ReplyLifecycle(floor)
        self._ending = Endpointing(floor, self._replying, self._recalling)
        self._overdue = Overdue(floor, self._replying, self._ending)
        self.requests = Requests(floor, self._replying, self._ending)

    @property
    def state(self) -> State:
        """What the call is doing, as its user would put it."""
        return self._floor.state

    def handle(self, message: Input, now: float, head: Playhead) -> list[Effect]:
        """Apply one input.

        Args:
            message: what happened.
            now: monotonic time.
            head: where the outgoing audio is now.

        Returns:
            What is to be done about it, in order.
        """
        if self.state is State.ENDED:
            return []
        self._now = now
        self._floor.playback.follow(head)
        self.context.pass_time(now)
        match message:
            case VoiceHeard():
                self._on_voice(message, now)
            case Tick():
                self._on_tick(now)
            case Transcribed():
                self._on_transcribed(message, now)
            case TurnScored():
                self._ending.scored(message, now)
            case ReplyText() | ReplyTextEnded() | ToolsAsked() | ToolRan() | PieceSpoken() | PieceEnded():
                self._replying.work(message, now)
            case PlayoutStarted():
                self._replying.started(message.at)
            case PlayoutDrained():
                self._replying.drained(message.at)
            case PlayoutStarved():
                self.counts["starved"] += 1
            case Connected():
                self._on_connected(now)
            case UserTyped():
                self._ending.typed(message.text, now)
            case KeyPressed():
                self._on_key(message, now)
            case Remembered():
                self._ending.remembered(message, now)
            case StopReply():
                self._replying.stop(now)
            case ClientRequest():
                self.requests.apply(message, now)
            case HangUp():
                self._on_hang_up(message.reason)
            case AudioHeard():
                pass
            case _:
                assert_never(message)
        self._carry_out()
        return self._out.drain()

    # Beginning and end -----------------------------------------------------------------------------------------------

    def _on_connected(self, now: float) -> None:
        if self.state is not State.CONNECTING:
            return
        self._floor.change(Trigger.CONNECTED)
        entries = self.context.entries
        if self.options.owed_reply and entries and entries[-1].role == "user":
            self._replying.wish(AS_ALWAYS, now)
        elif self.options.greeting:
            self._replying.say_phrase("greeting", now)
        else:
            self._ending.prefill(now)

    def _on_hang_up(self, reason: str) -> None:
        self._answering.cut("client_cancelled")
        if self._listening.turn is not None:
            self._out.do(Cancel(self._listening.turn.group))
        self._out.do(Cancel("overlap"))
        self._floor.change(Trigger.ENDED)
        self._out.emit(CallEnded(reason))

    # The user speaks -------------------------------------------------------------------------------------------------

    def _on_voice(self, voice: VoiceHeard, now: float) -> None:
        if self.state is State.CONNECTING:
            return
        self._listening.sound.hear(voice)
        probability = 0.0 if self._answering.echo.hear(voice, self._answering.reply, now) else voice.probability
        reply = self._answering.reply
        if reply is not None and reply.audible and not self.options.interruptible:
            return
        self._listening.meter.hear(voice, probability)
        if not self.options.hears_turns:
            return
        level, tail = max(voice.levels_db), max(voice.levels_db[2:])
        if voice.missing:
            self._decide(self._turns.miss(voice.at), voice.at)
            return
        self._decide(self._turns.hear(probability, voice.at, level, tail), voice.at)
        if self._floor.call.phase is Phase.USER_SPEAKING:
            self._listening.interim(voice.at)

    def _decide(self, decisions: list[Decision], at: float) -> None:
        """Carry out what the policy decides, with all that this leads to."""
        self._floor.decide(decisions, at)
        self._carry_out()

    def _carry_out(self) -> None:
        """Do what has been decided; what that leads the policy to decide comes next, before the rest."""
        while self._floor.decisions:
            decision, at = self._floor.decisions.popleft()
            if decision in WITHIN_A_STATE:
                self._floor.change(TRIGGERS[decision])
            match decision:
                case Decision.SPEECH_STARTED:
                    self._begin_turn(at)
                case Decision.DIP:
                    self._listening.interim_at_dip(at)
                case Decision.EARLY_SILENCE:
                    self._draft(at)
                case Decision.ASK:
                    self._listening.ask_turn_model()
                case Decision.SPEECH_RESUMED:
                    self._take_up(at)
                case Decision.HURRY:
                    self._listening.hurry(at)
                case Decision.COMMIT:
                    self._ending.commit(at)
                case Decision.DUCK:
                    self.counts["ducked"] += 1
                    self._answering.duck()
                case Decision.PAUSE:
                    self.counts["paused"] += 1
                    self._answering.pause()
                case Decision.UNDUCK:
                    self.counts["resumed"] += 1
                    self._listening.overlap.forget()
                    self._answering.go_on()
                case Decision.OVERLAP_WORDS:
                    self._judge_overlap(at, ended=False)
                case Decision.OVERLAP_ENDED:
                    self._judge_overlap(at, ended=True)
                case Decision.OVERLAP_RESUMED:
                    pass
                case Decision.INTERRUPT:
                    self._interrupt(at)
                case Decision.IDLE_PROMPT:
                    self._idle(at)
                case Decision.IDLE_HANGUP:
                    self._on_hang_up("idle")
                case _:
                    assert_never(decision)

    def _idle(self, at: float) -> None:
        if self.options.idle_replies:
            self._replying.break_silence(at)
        else:
            self._replying.say_phrase("idle_prompt", at)

    def _on_key(self, message: KeyPressed, now: float) -> None:
        """A key ends what Morgan says, as callers expect who know the menu; a tool that waits for keys has its own."""
        if self.state is State.CONNECTING:
            return
        self.counts["keys"] += 1
        self._out.emit(KeyHeard(message.key))
        if message.taken:
            return
        if self.state is State.SPEAKING:
            self._replying.stop(now)
        self._keypad.press(message.key, now)
        self._take_keys(now)

    def _take_keys(self, now: float) -> None:
        pressed = self._keypad.take(now)
        if pressed:
            self._ending.typed(pressed_turn(pressed), now)

    def _begin_turn(self, at: float) -> None:
        """The user begins to speak while nothing sounds; while Morgan still thinks, that goes on with their turn."""
        since = self._turns.speech_began
        if self.state is State.THINKING:
            answered = self._answering.reply
            self._answering.cut("turn_detected", keep=False)
            if answered is None or answered.answers is not None:
                self._reopen(at)
            else:
                self._listening.begin(since, at)
        else:
            self._listening.begin(since, at)
        self._floor.change(Trigger.SPEECH_STARTED)
        self._ending.prefill(at)

    def _reopen(self, at: float) -> None:
        self.counts["reopened"] += 1
        since = self._turns.going_on_since
        self._turns.reopen()
        if since < self._turns.speech_began and not self._listening.overlap.joined:
            # What was transcribed of the last burst alone lacks those before it.
            self._listening.overlap.forget()
        turn = self._listening.reopen(since, at)
        self.context.remove(turn.item_id)

    def _interrupt(self, at: float) -> None:
        """The user means it. Said so soon after their turn that it belongs to it, it makes one turn with it."""
        reply = self._answering.reply
        heard = self._answering.heard()
        answers_turn = reply is not None and reply.answers is not None
        unheard = not heard or self._answering.awaits_words
        continues = answers_turn and (unheard or self._turns.continues_turn(self._turns.speech_began))
        self._answering.cut("turn_detected", keep=not continues)
        if continues:
            self._reopen(at)
        else:
            self.counts["interruptions"] += 1
            self._listening.begin(self._turns.speech_began, at)
        self._floor.change(Trigger.INTERRUPTED)
        self._ending.prefill(at)

    def _take_up(self, at: float) -> None:
        turn = self._listening.turn
        if turn is None or turn.draft is None:
            return
        turn.take_up(at - turn.draft.seen_at)

    def _draft(self, at: float) -> None:
        draft = self._listening.draft(self._turns.words_end, at)
        if draft is None:
            return
        if draft.text is not None:
            self._ending.drafted(at)
        else:
            if self.options.speculate:
                self._turns.evidence.words_pending(self._listening.pace.transcript_s)
                self._ending.guess(at)
            self._floor.decide(self._turns.tick(at), at)

    def _on_transcribed(self, message: Transcribed, now: float) -> None:
        going_on = self._turns.continues_turn(self._turns.speech_began)
        listening = self._listening
        words = listening.overlap.transcribed(message.job, message.transcript, listening.turn, going_on=going_on)
        if words is not None:
            self._judge(words, now)
        elif self._listening.transcribed(message.job, message.transcript, now):
            self._ending.drafted(now)
        elif message.transcript is not None and self._listening.turn is not None and self.state is State.USER_SPEAKING:
            self._recalling.overhear(self._listening.turn)
            self._ending.guess(now)
            self._ending.prefill_overheard(now)

    def _judge_overlap(self, at: float, *, ended: bool) -> None:
        turns = self._turns
        self._listening.judge_overlap(turns.speech_began, at, self._now, ended=ended, going_on=turns.going_on)

    def _judge(self, words: OverlapWords, now: float) -> None:
        """The words that were said over the reply are known, or those so far."""
        language = self._listening.language or "en"
        if words.added is not None:
            # The last word of those who go on may be half of one.
            meant = words.added > (0 if words.ended else 1)
        elif words.ended:
            meant = bool(words.text) and not is_backchannel(words.text, language)
        else:
            meant = takes_floor(words.text, language)
        spoken_s = self._turns.last_speech - self._turns.speech_began
        # What was heard together with the turn before is known whatever it is; its text has the words of both.
        known = words.clear and (words.added is not None or is_all_of(words.text, spoken_s))
        self._decide(self._turns.overlap_words(meant, known=known, ended=words.ended), now)
        if meant or words.ended:
            self._listening.overlap.forget()

    # The clock -----------------------------------------------------------------------------------------------

    def _on_tick(self, now: float) -> None:
        if self.state is State.CONNECTING:
            return
        self._decide(self._turns.tick(now), now)
        if self.state is State.ENDED:
            return
        self._take_keys(now)
        self._listening.order(now)
        if self._recalling.overdue(now):
            self._ending.reminded(now)
        self._replying.advance(now)
        self._replying.report(now)
        self._carry_out()
        if self._listening.overlap.overdue(now, self._floor.watchdog.overlap_limit_s):
            self._floor.heal("overlap_words_late")
            self._decide(self._turns.overlap_words(False, known=False), now)
        self._overdue.look(now)
