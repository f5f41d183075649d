"""Morgan's side of a call: the reply in hand, from the first guess at the turn's words to the last sample heard."""

from typing import Literal

from pipeline.audio import SPEECH_RATE
from pipeline.call.context import Context, Entry
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Cancel, Generate
from pipeline.call.events import (
    PlaybackCleared,
    PlaybackStarted,
    PlaybackStopped,
    ReplyCreated,
    ReplyDone,
    ReplyTruncated,
)
from pipeline.call.options import CallOptions
from pipeline.call.reply.maker import ReplyMaker
from pipeline.call.reply.past_replies import PastReplies
from pipeline.call.reply.playback import Playback
from pipeline.call.reply.reply import Reply
from pipeline.call.reply.reply_echo import ReplyEcho
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.wish import ReplyWish
from pipeline.engines.protocols import ToolCall
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.same_words import same_words
from pipeline.tools.toolbox import ToolResult

CancelReason = Literal["turn_detected", "client_cancelled"]


class ReplyPlayer(ReplyMaker):
    """Plays one reply at a time.

    Attributes:
        playback: its sound on the way out.
        echo: tells it from the user's voice.
        voice_gave_up: the voice gave no sign of the last reply, and has said nothing since.
    """

    def __init__(
        self, options: CallOptions, context: Context, playback: Playback, outbox: EffectQueue, voices: VoiceChoice
    ) -> None:
        super().__init__(options, context, outbox, voices)
        self.playback = playback
        self._past = PastReplies()
        self.echo = ReplyEcho(playback)
        self.voice_gave_up = False

    # Making -----------------------------------------------------------------------------------------------

    def prepare(self, answers: str, said: str, language: str, waiting_since: float) -> Reply:
        """Begin a reply to what may be the user's turn; one that answers the same words is kept.

        Args:
            answers: item id of the turn.
            said: its words.
            language: that the reply is in, ISO 639-1.
            waiting_since: when the user fell silent, monotonic: of several callers, who has waited longest goes first
                in every engine.
        """
        reply = self.reply
        if reply is not None and reply.awaits_words:
            return self._answer_words(reply, said, language)
        if reply is not None and not reply.released and reply.said is not None:
            if same_words(reply.said, said, language):
                return reply
            self.discard()
        reply = self._new_reply(answers, said, language, Ticket(Urgency.SPECULATION, waiting_since))
        return self._generate(reply, said, language)

    def await_words(self, answers: str, language: str, since: float, now: float) -> None:
        """The words of a turn that is over are late: begin the reply to them with saying so.

        Args:
            answers: item id of the turn.
            language: that the call is in, ISO 639-1.
            since: monotonic time since when the user has waited.
            now: monotonic time.
        """
        self.discard()
        reply = self._new_reply(answers, "", language, Ticket(Urgency.FIRST_AUDIO, since))
        reply.awaits_words = True
        self.release(now, since)

    def _answer_words(self, reply: Reply, said: str, language: str) -> Reply:
        """The words are there that the reply has begun to be late for."""
        reply.awaits_words, reply.said = False, said
        voice = self._voices.speaking(language)
        reply.speak_in(voice, self._voices.prepared_in(voice, language))
        self._generate(reply, said, language)
        self.consent.forget()
        return reply

    def conclude(self, text: str, now: float) -> bool:
        """There are no words to answer: end with this the reply that awaits them; False where none does."""
        reply = self.reply
        if reply is None or not reply.awaits_words:
            return False
        reply.awaits_words = False
        reply.add_text(text, now)
        reply.end_text(now)
        return True

    @property
    def awaits_words(self) -> bool:
        """Whether the reply in hand has only said that the words of the turn are late."""
        return self.reply is not None and self.reply.awaits_words

    def carry_out(self, call: ToolCall, language: str, now: float, result: ToolResult | None = None) -> None:
        """Reply with what comes, or has come, of a tool.

        Args:
            call: which has been approved of, or has been run in the background.
            language: that the reply is in, ISO 639-1.
            now: monotonic time.
            result: what came of it; None where it is still to be run.
        """
        self.discard()
        self._new_reply(None, "", language, Ticket(Urgency.FIRST_AUDIO, now))
        self.answer_in(language)
        if self._tools is not None:
            self._tools.begin_with(call, result)
        self.release(now)

    def respond(
        self, wish: ReplyWish, answers: str | None, language: str, now: float, said: str | None = None
    ) -> Reply:
        """Reply to the conversation as it is.

        Args:
            wish: how the reply is to be.
            answers: item id of the user's turn that it answers; None for none.
            language: that it is in, ISO 639-1.
            now: monotonic time.
            said: what the model is told on top, which is no part of the conversation.
        """
        self.discard()
        reply = self._new_reply(answers, "", language, Ticket(Urgency.FIRST_AUDIO, now), wish)
        self.answer_in(language)
        last = self._context.entries[-1] if self._context.entries else None
        if last is None or last.role != "user" or not self._carries_out(last.text, language):
            request = wish.request(self._context, self._options, said)
            self._out.do(Generate(reply.reply_id, reply.group, request, reply.ticket))
        self.release(now)
        return reply

    def say(
        self, text: str, language: str | None, now: float, answers: str | None = None, *, at_hand: bool = False
    ) -> Reply:
        """Say a fixed text: a greeting, a prompt, an apology.

        Args:
            text: as it is written.
            language: that it is in, ISO 639-1; None for that of the default voice.
            now: monotonic time.
            answers: item id of the user's turn; None for none.
            at_hand: as it was made ahead of calls, in place of the voice and the speed that the caller has chosen.
        """
        self.discard()
        reply = self._new_reply(answers, None, language, Ticket(Urgency.FIRST_AUDIO, now), at_hand=at_hand)
        reply.add_text(text, now)
        reply.end_text(now)
        self.release(now)
        self.advance(now)
        return reply

    def discard(self) -> None:
        """Forget a reply of which clients were not told yet."""
        if self.reply is not None and not self.reply.released:
            self._stop_work(self.reply)
            self._end_tools()
            self.reply = None

    def release(self, now: float, since: float | None = None) -> None:
        """The turn is over: tell of the reply; `advance` lets its audio out.

        Args:
            now: monotonic time.
            since: when the user began to wait for it; None for now.
        """
        reply, words = self.reply, self.words
        if reply is None or words is None or reply.released:
            return
        reply.release()
        if not reply.awaits_words:
            self.consent.forget()
        words.released(now if since is None else min(now, since))
        follows = reply.answers if reply.awaits_words else self._context.last_id
        self._out.emit(ReplyCreated(reply.reply_id, reply.item_id, follows, reply.speaks, reply.wish.name))

    def advance(self, now: float, parked: bool = False) -> bool:
        """Play, tell and order what is due; True when the first audio of the reply was just written.

        Args:
            now: monotonic time.
            parked: the reply answers words that are out of date unless they come again; no new work for it.
        """
        reply, words = self.reply, self.words
        if reply is None or words is None:
            return False
        self.echo.note(now)
        reply.hurry(now)
        if self._tools is not None:
            self._tools.advance(now)
        words.excuse(now, tools_busy=self._tools is not None and self._tools.busy)
        first = reply.play(self.playback)
        if not parked:
            self._out.do(*reply.next_pieces(self.playback, now))
        reply.pace(self.playback, now)
        if reply.released:
            words.tell()
        return first

    def ask_tools(self, calls: tuple[ToolCall, ...], now: float) -> None:
        """The language model wants tools before it goes on."""
        reply, words = self.reply, self.words
        if reply is None or words is None:
            return
        if self._tools is None or not self._tools.ask(calls, now):
            words.end(now, failed=not reply.text.strip())

    def tool_ran(self, job: int, result: ToolResult, now: float) -> None:
        """A tool has answered."""
        if self._tools is not None:
            self._tools.returned(job, result, now)

    @property
    def tools_answered_by(self) -> float:
        """Monotonic time until which the reply in hand waits for tools or for the end of a thought, or did."""
        thought_until = self.words.patient_until if self.words is not None else 0.0
        return max(thought_until, self._tools.answered_by if self._tools is not None else 0.0)

    def _end_tools(self) -> None:
        if self._tools is not None:
            self._tools.end()
            self._tools = None

    # Playing -----------------------------------------------------------------------------------------------

    def started(self) -> bool:
        """The playout began to sound; True when that is the beginning of the reply in hand."""
        reply = self.reply
        if reply is None or not reply.released or reply.audible or reply.start_position() is None:
            return False
        reply.audible = True
        self._out.emit(PlaybackStarted(reply.reply_id))
        return True

    @property
    def over(self) -> bool:
        """Whether the reply is released and will never sound: nothing to say, or no voice that could."""
        reply = self.reply
        return reply is not None and reply.released and reply.finished and reply.start_position() is None

    def complete(self) -> None:
        """The reply was heard to its end."""
        reply, words, self.reply = self.reply, self.words, None
        if reply is None or words is None:
            return
        self._end_tools()
        self.consent.over(reply.reply_id, heard=not reply.failed)
        text = reply.text.strip() if reply.start_position() is not None or not reply.speaks else ""
        self._past.keep(reply, self.playback.position)
        if text:
            self._context.add(Entry(reply.item_id, "assistant", text))
        status: Literal["failed", "completed"] = "failed" if reply.failed else "completed"
        words.tell()
        self._out.emit(
            ReplyDone(
                reply.reply_id,
                reply.item_id,
                status,
                None,
                text,
                reply.usage,
                reply.cut_short,
                self.audio_ms(reply.item_id) / 1000,
            )
        )
        if reply.audible:
            self._out.emit(PlaybackStopped(reply.reply_id))

    def end_by(self, by: float) -> None:
        """The reply in hand is to end early, see `Reply.end_by`."""
        if self.reply is not None:
            self.reply.end_by = by

    def ends_early(self, now: float) -> bool:
        """Whether a reply that is to end early is there: between two clauses, or between two words."""
        reply = self.reply
        if reply is None or self.playback.paused:
            return False
        end = reply.ends_at(self.playback.cut, now)
        return end is not None and self.playback.cut >= end

    def cut_early(self) -> None:
        """Stop the reply where it is: all of what went out is heard."""
        start = self.reply.start_position() if self.reply is not None else None
        heard_ms = None if start is None else -(-(self.playback.cut - start) * 1000 // SPEECH_RATE)
        self.cut("client_cancelled", at_ms=heard_ms)

    def heard(self) -> str:
        """The words of the reply in hand that have reached the user's ear."""
        if self.reply is None or not self.reply.audible:
            return ""
        return self.reply.heard(self.playback.reached(self.playback.position))

    def cut(self, reason: CancelReason, keep: bool = True, at_ms: int | None = None) -> str:
        """Stop the reply at once, in sound and behind it; returns the words that were heard.

        Args:
            reason: who wanted it.
            keep: whether what was heard stays in the conversation.
            at_ms: of its audio that was heard, where the client knows better.
        """
        reply, self.reply = self.reply, None
        if reply is None:
            return ""
        self._stop_work(reply)
        self._end_tools()
        if not reply.released:
            return ""
        position, start = self.playback.cut, reply.start_position()
        if at_ms is not None and start is not None:
            position = min(position, start + at_ms * SPEECH_RATE // 1000)
            heard = reply.heard(position)
        else:
            heard = reply.heard(self.playback.reached(position)) if reply.audible else ""
        if not reply.speaks:
            heard = reply.text.strip()
        self.consent.over(reply.reply_id, heard=reply.text_ended and heard == reply.text.strip())
        self._past.keep(reply, position)
        self.playback.flush()
        if keep and heard:
            self._context.add(Entry(reply.item_id, "assistant", heard, interrupted=True))
        if reply.audible:
            ms = max(0, position - (start or 0)) * 1000 // SPEECH_RATE
            self._out.emit(PlaybackCleared(reply.reply_id))
            self._out.emit(ReplyTruncated(reply.item_id, ms, heard))
        seconds = self.audio_ms(reply.item_id) / 1000
        self._out.emit(
            ReplyDone(reply.reply_id, reply.item_id, "cancelled", reason, heard, reply.usage, heard_s=seconds)
        )
        return heard

    def audio_ms(self, item_id: str) -> int:
        """Length of the audio of a reply that went out, 0 where that is not known."""
        reply = self.reply
        if reply is not None and reply.item_id == item_id:
            start = reply.start_position()
            return 0 if start is None else max(0, self.playback.position - start) * 1000 // SPEECH_RATE
        return self._past.audio_ms(item_id)

    def truncate(self, item_id: str, audio_end_ms: int) -> None:
        """Of a reply that is over, less was heard than went out."""
        heard = self._past.truncate(item_id, audio_end_ms)
        if heard is None:
            return
        self._context.cut(item_id, heard)
        self._out.emit(ReplyTruncated(item_id, audio_end_ms, heard))

    def _stop_work(self, reply: Reply) -> None:
        reply.ticket.cancel()
        for ticket in reply.tickets():
            ticket.cancel()
        self._out.do(Cancel(reply.group))

    # Overlap -----------------------------------------------------------------------------------------------

    def duck(self) -> None:
        """Somebody may be speaking: get quieter."""
        self.playback.duck(self._options.duck_gain)

    def pause(self) -> None:
        """Somebody is speaking: fall silent, ready to go on."""
        self.playback.pause()

    def go_on(self) -> None:
        """It was nothing: loud again, and after a pause from the beginning of the word that it broke off."""
        self.playback.duck(1.0)
        if self.playback.paused:
            self.playback.resume(self.reply.word_start(self.playback.position) if self.reply is not None else None)
