"""State that both halves of a call share: whose turn it is, the policy that decides on it, and counts."""

from collections import Counter, deque

from pipeline.call.context import Context
from pipeline.call.effect_queue import EffectQueue
from pipeline.call.events import CallFault, StateChanged
from pipeline.call.options import CallOptions
from pipeline.call.reply.playback import Playback
from pipeline.call.reply.player import ReplyPlayer
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.call.state import CallPhase, State, Trigger
from pipeline.call.turn_taking.decisions import Decision
from pipeline.call.turn_taking.policy import TurnTaking
from pipeline.call.user.language import CallLanguage
from pipeline.call.user.recognition import Recognition
from pipeline.call.watchdog import Watchdog


class SharedState:
    """The floor of one call.

    Args:
        options: what this call asked for.
        context: the conversation, possibly with what was said before.
        outbox: takes what is to be done.
        voices: that replies can be spoken with.

    Attributes:
        call: what the call is doing.
        decisions: of the policy, with the monotonic times that they are of, which are still to be carried out.
        counts: of turns, replies, interruptions, faults and everything else worth a number.
        turns: the policy.
        listening: the user's side.
        answering: Morgan's side.
        playback: the outgoing audio.
    """

    def __init__(
        self,
        options: CallOptions,
        context: Context,
        outbox: EffectQueue,
        voices: VoiceChoice,
    ) -> None:
        self.options = options
        self.context = context
        self.out = outbox
        self.voices = voices
        self.call = CallPhase()
        self.decisions: deque[tuple[Decision, float]] = deque()
        self.counts: Counter[str] = Counter()
        self.turns = TurnTaking(options.turn_taking, self.call)
        self.listening = Recognition(
            options, outbox, CallLanguage(options.language, options.expected_language, voices.language)
        )
        self.playback = Playback(outbox)
        self.answering = ReplyPlayer(options, context, self.playback, outbox, voices)
        self.watchdog = Watchdog()

    @property
    def state(self) -> State:
        """What the call is doing, as its user would put it."""
        return self.call.phase.state

    def change(self, trigger: Trigger) -> bool:
        """Follow the table; a trigger that it does not know in this state is counted and changes nothing."""
        before = self.state
        if not self.call.change(trigger):
            self.counts["unexpected_" + trigger.value] += 1
            return False
        if self.state is not before:
            self.out.emit(StateChanged(self.state))
        return True

    def decide(self, decisions: list[Decision], at: float) -> None:
        """Have decisions carried out: right behind what is being done now, before what was decided earlier."""
        self.decisions.extendleft((decision, at) for decision in reversed(decisions))

    def reply_over(self, trigger: Trigger, at: float) -> None:
        """The reply in hand has ended by itself or was stopped: nothing sounds, and the user has not taken the floor.

        A text that was written while the user spoke, or after they took their turn back, changes nothing.
        """
        if self.state not in (State.THINKING, State.SPEAKING):
            return
        decisions = self.turns.reply_over(at)
        self.change(trigger)
        self.decide(decisions, at)

    def heal(self, what: str) -> None:
        """Count and tell of something that was stuck."""
        self.counts["healed"] += 1
        self.out.emit(CallFault("healed", what))
