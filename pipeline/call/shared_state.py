"""What both halves of a call share: whose turn it is, the policy that decides on it, and what has been counted."""

from collections import Counter
from collections.abc import Callable

from pipeline.call.context import Context
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.events import CallFault, StateChanged
from pipeline.call.options import CallOptions
from pipeline.call.ports import Speaker
from pipeline.call.reply.player import ReplyPlayer
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.state import TRANSITIONS, State, Trigger
from pipeline.call.turn_taking.policy import Decision, TurnTaking
from pipeline.call.user.language import CallLanguage
from pipeline.call.user.recognition import Recognition
from pipeline.call.watchdog import Watchdog


class SharedState:
    """The floor of one call.

    Args:
        options: what this call asked for.
        context: the conversation, possibly with what was said before.
        speaker: the outgoing audio.
        outbox: takes what is to be done.
        decide: carries out what the policy decided at a monotonic time.
        voices: that replies can be spoken with.

    Attributes:
        state: see `TRANSITIONS`.
        counts: of turns, replies, interruptions, faults and everything else worth a number.
        turns: the policy.
        listening: the user's side.
        answering: Morgan's side.
    """

    def __init__(
        self,
        options: CallOptions,
        context: Context,
        speaker: Speaker,
        outbox: EffectQueue,
        decide: Callable[[list[Decision], float], None],
        voices: VoiceChoice,
    ) -> None:
        self.options = options
        self.context = context
        self.out = outbox
        self.decide = decide
        self.voices = voices
        self.state = State.CONNECTING
        self.counts: Counter[str] = Counter()
        self.turns = TurnTaking(options.turn_taking)
        self.listening = Recognition(
            options, outbox, CallLanguage(options.language, options.expected_language, voices.language)
        )
        self.answering = ReplyPlayer(options, context, speaker, outbox, voices)
        self.watchdog = Watchdog()

    def change(self, trigger: Trigger) -> bool:
        """Follow the table; a trigger that it does not know in this state is counted and changes nothing."""
        after = TRANSITIONS.get((self.state, trigger))
        if after is None:
            self.counts["unexpected_" + trigger.value] += 1
            return False
        if after is not self.state:
            self.state = after
            self.out.emit(StateChanged(after))
        return True

    def heal(self, what: str) -> None:
        """Count and tell of something that was stuck."""
        self.counts["healed"] += 1
        self.out.emit(CallFault("healed", what))
