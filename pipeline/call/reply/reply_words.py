"""The words of a reply as the language model gives them: told to clients, and excused while there are none."""

from pipeline.call.effect_queue import EffectQueue
from pipeline.call.events import CallFault, ReplyTextCompleted, ReplyTextDelta
from pipeline.call.options import CallOptions
from pipeline.call.reply.filler import Filler
from pipeline.call.reply.reply import Reply
from pipeline.call.reply.thinking import Thinking

VOICE_LATE_S = 1.0
"""The voice is given this for its first sound, however late the words were."""


class ReplyWords:
    """The text of one reply on its way in.

    Args:
        reply: that the text is of.
        options: what is said where the user waits for too long, or the language model fails.
        outbox: takes the news.

    Attributes:
        filler: said while the reply waits.
    """

    def __init__(self, reply: Reply, options: CallOptions, outbox: EffectQueue) -> None:
        self.filler = Filler(reply, options)
        self._reply = reply
        self._apology, _ = options.phrase("apology", reply.language)
        self._delay, _ = options.phrase("delay_apology", reply.language)
        self._delay_after_s = options.delay_apology_after_s
        self._voice_late = False
        self._unspeakable, _ = options.phrase("unspeakable", reply.language)
        self._out = outbox
        self._thinking = Thinking()
        self._told = 0

    @property
    def patient_until(self) -> float:
        """Monotonic time until which a thought of the language model may last."""
        return self._thinking.patient_until

    def released(self, since: float) -> None:
        """The turn is over: since then the user has waited, monotonic."""
        self._thinking.released(since)

    def think(self, now: float) -> None:
        """The language model has a thought, of which nothing is said."""
        self._thinking.goes_on(now)

    def add(self, text: str, now: float) -> None:
        """The language model gave the next characters."""
        self._thinking.pause()
        self._reply.add_text(text, now)

    def end(self, now: float, *, failed: bool) -> None:
        """The language model is done; where nothing, or nothing but a filler, can be heard, the user is told why."""
        self._thinking.pause()
        if failed and self.filler.alone:
            self._reply.add_text(self._apology, now)
        elif not failed and self._reply.speaks and self._reply.answers is not None:
            failed = not self._heard_of(now)
        self._reply.end_text(now, failed)

    def _heard_of(self, now: float) -> bool:
        """Whether the user hears anything of the reply, were it that its words cannot be said; False: it has none."""
        self._reply.pause_text(now)
        if self._reply.first_clause_at is None and self._reply.text.strip():
            self._reply.add_text(self._unspeakable, now)
        return bool(self._reply.text.strip())

    def give_up(self, now: float) -> None:
        """Wait for the language model no more."""
        self._reply.give_up()
        self.end(now, failed=True)

    def excuse(self, now: float, *, tools_busy: bool) -> None:
        """Say that it takes a moment, where the user waits for too long."""
        self._excuse_voice(now)
        if self._reply.text_ended:
            return
        if self._thinking.awaited_since is not None:
            self.filler.wait(self._thinking.awaited_since, now)
        elif self._thinking.released_at is not None and not tools_busy:
            self.filler.silent(self._thinking.released_at, now)

    def _excuse_voice(self, now: float) -> None:
        """The words are there and the voice gives no sign of them: tell clients, and say so if that is at hand."""
        reply, since = self._reply, self._thinking.released_at
        if self._voice_late or since is None or reply.said is None or now - since < self._delay_after_s:
            return
        piece = reply.silent_piece()
        if reply.sounded or piece is None or piece.asked_at is None or self.filler.alone:
            return
        if now - piece.asked_at < VOICE_LATE_S:
            return
        self._voice_late = True
        self._out.emit(CallFault("tts_late", "the voice gives no sound yet"))
        if self._delay:
            reply.excuse(self._delay, now)

    def tell(self) -> None:
        """Tell clients of the words that are new, and that there are no more."""
        reply = self._reply
        if len(reply.text) > self._told:
            self._out.emit(ReplyTextDelta(reply.reply_id, reply.item_id, reply.text[self._told :]))
            self._told = len(reply.text)
        if reply.text_ended and not reply.text_told:
            reply.text_told = True
            self._out.emit(ReplyTextCompleted(reply.reply_id, reply.item_id, reply.text.strip()))
