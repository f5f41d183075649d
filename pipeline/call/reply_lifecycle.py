"""Morgan's half of a call's machine: a reply from its first words to its last sample, said, cut short or given up."""

from collections import deque
from dataclasses import replace
from typing import TypeAlias, assert_never

from pipeline.call.events import CallFault, IdleTimedOut, TurnLatency
from pipeline.call.inputs import PieceEnded, PieceSpoken, ReplyText, ReplyTextEnded, ToolRan, ToolsAsked
from pipeline.call.reply.background import GROUP
from pipeline.call.reply.player import CancelReason
from pipeline.call.shared_state import SharedState
from pipeline.call.state import State, Trigger
from pipeline.call.user.turn import Turn
from pipeline.call.wish import AS_ALWAYS, ReplyWish
from pipeline.engines.protocols import ToolCall
from pipeline.text.phrases import PhraseName
from pipeline.tools.toolbox import ToolResult

ReplyWork: TypeAlias = ReplyText | ReplyTextEnded | ToolsAsked | ToolRan | PieceSpoken | PieceEnded
"""What engines and tools did for a reply."""


class ReplyLifecycle:
    """Applies what happens to replies.

    Args:
        floor: of the call.
    """

    def __init__(self, floor: SharedState) -> None:
        self._floor = floor
        self._options, self._out = floor.options, floor.out
        self._turns, self._listening, self._answering = floor.turns, floor.listening, floor.answering
        self._wished: ReplyWish | None = None
        self._approved: deque[tuple[ToolCall, ToolResult | None]] = deque()

    def work(self, message: ReplyWork, now: float) -> None:
        """Take in what engines and tools did for the reply in hand; what is for another one comes too late."""
        if isinstance(message, ToolRan) and message.reply == GROUP:
            self._floor.counts["tools"] += 1
            self._answering.background.returned(message.job, message.result)
            return
        reply, words = self._answering.reply, self._answering.words
        if reply is None or words is None or message.reply != reply.reply_id:
            return
        match message:
            case ReplyText(thinking=True):
                words.think(now)
            case ReplyText():
                words.add(message.text, now)
                if not reply.speaks:
                    # Words are all that there will be of it: they are no silence.
                    self._floor.watchdog.thinking(now)
            case ReplyTextEnded():
                reply.count(message.usage)
                reply.cut_short = reply.cut_short or message.cut_short
                words.end(now, failed=message.failed)
            case ToolsAsked():
                reply.count(message.usage)
                self._answering.ask_tools(message.calls, now)
            case ToolRan():
                self._floor.counts["tools"] += 1
                self._answering.tool_ran(message.job, message.result, now)
            case PieceSpoken():
                self._answering.voice_gave_up = False
                reply.add_audio(message.piece, message.chunk, now)
            case PieceEnded():
                reply.end_piece(message.piece, message.failed)
            case _:
                assert_never(message)
        self.advance(now)

    def advance(self, now: float) -> None:
        """Play, tell and order what is due."""
        turn, reply = self._listening.turn, self._answering.reply
        if reply is None:
            return
        if self._answering.ends_early(now):
            self._answering.cut_early()
            self._floor.reply_over(Trigger.STOPPED, now)
            return
        parked = not (reply.released or self._listening.may_be_all(reply.said))
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
        if reply.failed and not reply.speaks:
            self._floor.counts["llm_failed"] += 1
            self._out.emit(CallFault("llm_failed", "the language model failed"))
        elif reply.failed and reply.said is not None and not reply.text:
            self.apologise("llm_failed", "the language model failed", reply.answers, now)
            return
        elif reply.failed and reply.said is not None:
            # The sound of the apology may be at hand, where no other can be made.
            self.apologise("tts_failed", "text to speech failed", reply.answers, now)
            return
        elif reply.failed:
            self._floor.counts["tts_failed"] += 1
            self._out.emit(CallFault("tts_failed", "text to speech failed"))
        self._floor.reply_over(Trigger.REPLY_ENDED, now)

    def apologise(self, code: str, message: str, answers: str | None, now: float) -> None:
        """An engine failed: tell of it, and say sorry."""
        self._floor.counts[code] += 1
        self._out.emit(CallFault(code, message))
        self._floor.watchdog.thinking(now)
        if self._answering.awaits_words and self._answering.words is not None:
            self._answering.words.give_up(now)
            self.advance(now)
            return
        self._answering.cut("turn_detected")
        spoken = self._answering.spoken_in(self._listening.language)
        text, language = self._options.phrase("apology", spoken)
        # A voice that fails says nothing anew.
        self._answering.say(text, language, now, answers, at_hand=code == "tts_failed")

    def say_phrase(self, name: PhraseName, now: float) -> None:
        """Say one of Morgan's own phrases unasked, in the language of the call, if nobody is speaking."""
        spoken = self._answering.spoken_in(self._listening.language)
        text, language = self._options.phrase(name, spoken)
        if text:
            self.say(text, now, language)

    def say(self, text: str, now: float, language: str | None = None) -> None:
        """Say something unasked, if nobody is speaking.

        Args:
            text: as it is.
            now: monotonic time.
            language: that it is in, ISO 639-1; None where that is not known.
        """
        if self._floor.state is State.LISTENING and self._floor.change(Trigger.REPLY_BEGUN):
            self._floor.watchdog.thinking(now)
            self._answering.say(text, language, now)

    def wish(self, wish: ReplyWish, now: float) -> None:
        """The client asks for a reply: it comes at once, or when the turn in hand has its words."""
        turn = self._listening.turn
        if self._floor.state is State.USER_SPEAKING or (
            turn is not None and turn.committed and not turn.text and not turn.settled
        ):
            self._wished = wish
        else:
            self._respond(wish, None, now)

    @property
    def wished(self) -> bool:
        """Whether the client has asked for a reply that waits for the words of the turn."""
        return self._wished is not None

    def take_wish(self) -> ReplyWish | None:
        """The reply that the client asked for while the words of the turn were not known."""
        wish, self._wished = self._wished, None
        return wish

    def fulfil(self, answers: str | None, now: float) -> bool:
        """Give the reply that was asked for, if one was."""
        wish = self.take_wish()
        if wish is not None:
            self._respond(wish, answers, now)
        return wish is not None

    def report(self, now: float) -> None:
        """Tell what came of a tool in the background, or do what the client has approved, once nobody speaks."""
        if self._approved and self._floor.state is State.LISTENING:
            self._carry_out_approved(now)
            return
        result = self._answering.background.due(self._floor.state is State.LISTENING, now)
        if result is not None:
            call = replace(result.call, id=self._out.new_id("call"))
            self._carry_out(call, now, replace(result, call=call))

    def approve(self, item_id: str, approved: bool, reason: str, now: float) -> None:
        """The client has decided on what a tool was asked: it is done, or the model learns that it is not."""
        call = self._answering.consent.approvals.pop(item_id, None)
        if call is None:
            return
        refused = None
        if not approved:
            refused = ToolResult(call, f"Error: not done, the user has refused it. {reason}".strip(), failed=True)
        self._approved.append((call, refused))
        if self._floor.state is State.SPEAKING:
            self._answering.cut("turn_detected")
            self._floor.reply_over(Trigger.STOPPED, now)
        elif self._floor.state is State.THINKING:
            self._answering.cut("turn_detected")
            self._carry_out_approved(now)
            return
        self.report(now)

    def _carry_out_approved(self, now: float) -> None:
        call, refused = self._approved.popleft()
        self._carry_out(call, now, refused)

    def _carry_out(self, call: ToolCall, now: float, result: ToolResult | None = None) -> None:
        self._floor.change(Trigger.REPLY_BEGUN)
        self._floor.watchdog.thinking(now)
        self._answering.carry_out(call, self._listening.language, now, result)
        self.advance(now)

    def break_silence(self, now: float) -> None:
        """Neither side has said anything for a while: have the language model say something."""
        if self._floor.state is not State.LISTENING or not self._floor.counts["replies"]:
            return
        idle_ms = round(self._options.turn_taking.idle_prompt_s * 1000)
        end_ms = self._listening.sound.end // 16
        self._out.emit(IdleTimedOut(self._out.new_id("item"), max(0, end_ms - idle_ms), end_ms))
        said = f"(The user has not said anything for {idle_ms / 1000:g} seconds.)"
        self._respond(AS_ALWAYS, None, now, said)

    def _respond(self, wish: ReplyWish, answers: str | None, now: float, said: str | None = None) -> None:
        self._floor.change(Trigger.REPLY_BEGUN)
        self._floor.watchdog.thinking(now)
        self._answering.respond(wish, answers, self._listening.language, now, said)
        self.advance(now)

    def truncate(self, item_id: str, audio_end_ms: int, now: float) -> None:
        """The client knows how much of a reply was heard."""
        reply = self._answering.reply
        if reply is None or reply.item_id != item_id:
            self._answering.truncate(item_id, audio_end_ms)
            return
        self._answering.cut("client_cancelled", at_ms=audio_end_ms)
        self._floor.reply_over(Trigger.STOPPED, now)

    def started(self, at: float) -> None:
        """The playout began to sound."""
        if not self._answering.started():
            return
        self._floor.counts["replies"] += 1
        self._floor.change(Trigger.REPLY_AUDIBLE)
        reply, turn = self._answering.reply, self._listening.turn
        assert reply is not None
        self._turns.reply_began(reply.level_db, at)
        if turn is not None and reply.answers == turn.item_id and turn.instants.played is None:
            turn.instants.played = at + reply.lead_s()
            if not reply.awaits_words:
                self.tell_latency(turn)

    def tell_latency(self, turn: Turn) -> None:
        """How long the user has waited for a sound, if there has been one; of a turn that is part of the talk."""
        total = turn.instants.voice_to_voice_ms()
        if total is not None:
            self._out.emit(TurnLatency(turn.item_id, total, turn.instants.stages()))

    def drained(self, at: float) -> None:
        """Everything that was written has gone out."""
        reply = self._answering.reply
        if reply is not None and reply.finished and reply.audible and self._answering.playback.dry:
            self.finish(at)

    def finish(self, at: float) -> None:
        """The reply was heard to its end."""
        self._answering.complete()
        self._floor.reply_over(Trigger.REPLY_ENDED, at)

    def stop(self, now: float) -> None:
        """The client asked for silence."""
        if self._answering.reply is None or not self._answering.reply.released:
            return
        self._cut_short("client_cancelled", now)

    def _cut_short(self, reason: CancelReason, now: float) -> None:
        self._answering.cut(reason)
        self._floor.reply_over(Trigger.STOPPED, now)

    def give_up_thinking(self, now: float) -> None:
        """Say sorry, once; a voice that cannot even say that leaves the floor to the user."""
        reply = self._answering.reply
        if reply is not None:
            reply.give_up()
        if reply is None or reply.said is not None:
            self.apologise("no_reply", "no reply came in time", None, now)
        else:
            self._cut_short("turn_detected", now)

    def give_up_voice(self, now: float) -> None:
        """The voice gives no sign: say sorry with what is at hand; where that is not, leave the floor to the user."""
        reply, code, problem = self._answering.reply, "tts_failed", "the voice gave no sound in time"
        if reply is None:
            return
        reply.give_up()
        known, self._answering.voice_gave_up = self._answering.voice_gave_up, True
        if reply.said is not None:
            self._apologise_instead(code, problem, now)
            return
        if not known:
            self._floor.counts[code] += 1
            self._out.emit(CallFault(code, problem))
        self._cut_short("turn_detected", now)

    def give_up_speaking(self, now: float) -> None:
        """No more comes of a reply of which something was heard: say sorry, be it behind that it takes a moment."""
        reply, words = self._answering.reply, self._answering.words
        if reply is None or words is None or not reply.waiting:
            self.finish(now)
        elif reply.silent_piece() is not None:
            self.give_up_voice(now)
        elif words.filler.alone:
            self._floor.counts["no_reply"] += 1
            self._out.emit(CallFault("no_reply", "no reply came in time"))
            self._floor.watchdog.thinking(now)
            words.give_up(now)
            self.advance(now)
        else:
            reply.give_up()
            self._apologise_instead("no_reply", "the rest of the reply did not come in time", now)

    def _apologise_instead(self, code: str, message: str, now: float) -> None:
        """Say sorry in place of the reply in hand, which may sound."""
        reply = self._answering.reply
        sounds = self._floor.state is State.SPEAKING
        if sounds:
            self._floor.change(Trigger.REPLY_GIVEN_UP)
        # What the user says over it does not go on with a turn that was half answered.
        self.apologise(code, message, None if sounds or reply is None else reply.answers, now)
