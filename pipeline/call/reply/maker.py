"""The making of a reply: in whose voice and language it is, who writes it, what it does in place of words."""

from pipeline.call.context import Context
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.effects import Generate
from pipeline.call.options import CallOptions
from pipeline.call.reply.background import BackgroundTools
from pipeline.call.reply.consent import Consent
from pipeline.call.reply.reply import Reply
from pipeline.call.reply.reply_words import ReplyWords
from pipeline.call.reply.tool_rounds import ToolRounds
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.usual_time import UsualTime
from pipeline.call.wish import AS_ALWAYS, ReplyWish
from pipeline.engines.protocols import ToolCall
from pipeline.scheduling.lanes import Ticket


class ReplyMaker:
    """Makes one reply at a time.

    Attributes:
        reply: the reply in hand, None when there is none.
        words: the text of it, or of the last one; None before the first.
        consent: what the user is asked before a tool may do it.
        background: tools that run while the talk goes on.
    """

    def __init__(self, options: CallOptions, context: Context, outbox: EffectQueue, voices: VoiceChoice) -> None:
        self.reply: Reply | None = None
        self.words: ReplyWords | None = None
        self.consent = Consent()
        self.background = BackgroundTools(outbox)
        self._options = options
        self._context = context
        self._out = outbox
        self._voices = voices
        self._tools: ToolRounds | None = None
        self._voice_time = UsualTime(options.known_sound_s)

    def spoken_in(self, language: str) -> str:
        """The language, ISO 639-1, that a caller who speaks this one hears: that of the voice."""
        return self._voices.prepared_in(self._voices.speaking(language), language)

    def answer_in(self, language: str) -> None:
        """The caller speaks this language, ISO 639-1: have the language model answer in it, if it can be heard then."""
        spoken = AS_ALWAYS.is_spoken(self._options)
        self._context.answer_in(self._voices.answers_in(language) if spoken else language)

    def _new_reply(
        self,
        answers: str | None,
        said: str | None,
        language: str | None,
        ticket: Ticket,
        wish: ReplyWish = AS_ALWAYS,
        *,
        at_hand: bool = False,
    ) -> Reply:
        options = self._options
        own_voice = self._voices.at_hand(language)
        voice = own_voice if at_hand else wish.voice or self._voices.speaking(language)
        self.reply = Reply(
            self._out.new_id("resp"),
            self._out.new_id("item"),
            answers=answers,
            said=said,
            voice=voice,
            speed=1.0 if at_hand else options.speed,
            language=self._voices.prepared_in(voice, language),
            ticket=ticket,
            speaks=wish.is_spoken(options),
            wish=wish,
            voice_time=self._voice_time,
            own_voice=own_voice,
        )
        self.words = ReplyWords(self.reply, options, self._out)
        self._tools = ToolRounds(
            self.reply, options, self._context, self._out, self.words.filler, self.consent, self.background
        )
        return self.reply

    def _generate(self, reply: Reply, said: str, language: str) -> Reply:
        """Have a reply to these words written, or done."""
        self.answer_in(language)
        if not self._carries_out(said, language):
            request = reply.wish.request(self._context, self._options, said)
            self._out.do(Generate(reply.reply_id, reply.group, request, reply.ticket))
        return reply

    def _carries_out(self, said: str, language: str) -> bool:
        """Whether the user has agreed with these words to what a tool is to do: the new reply does it, then."""
        call = self.consent.granted(said, language)
        if call is None or self._tools is None:
            return False
        # Under an id of its own: that it was not done yet stands under the other one.
        self._tools.begin_with(ToolCall(self._out.new_id("call"), call.name, call.arguments))
        return True
