"""The states of a call and what leads from one to the next: the whole table, to be read at a glance."""

import enum


class State(enum.Enum):
    """What a call is doing, as its user would put it."""

    CONNECTING = "connecting"
    LISTENING = "listening"
    USER_SPEAKING = "user_speaking"
    THINKING = "thinking"
    SPEAKING = "speaking"
    ENDED = "ended"


class Phase(enum.Enum):
    """The same in full: what comes next depends on this and nothing else.

    Attributes:
        state: what the user is told. Kept and not looked up: it is read ten times in each tick of a call.
    """

    state: State

    CONNECTING = "connecting"
    LISTENING = "listening"
    USER_SPEAKING = "user_speaking"
    USER_PAUSING = "user_pausing"
    """The user is silent, and their turn may be over."""
    THINKING = "thinking"
    SPEAKING = "speaking"
    DUCKED = "ducked"
    """Somebody may be speaking over the reply, which is quieter."""
    PAUSED = "paused"
    """Somebody is speaking over the reply, which waits."""
    WEIGHING = "weighing"
    """They have stopped, and the reply waits for their words."""
    ENDED = "ended"

    @property
    def overlapped(self) -> bool:
        """Whether somebody speaks over the reply, or has done so a moment ago."""
        return self in OVERLAPPED

    @property
    def quiet(self) -> bool:
        """Whether the user is not speaking, as far as is known."""
        return self.state is not State.USER_SPEAKING and not self.overlapped


OVERLAPPED = (Phase.DUCKED, Phase.PAUSED, Phase.WEIGHING)

_STATES = {Phase.USER_PAUSING: State.USER_SPEAKING, **dict.fromkeys(OVERLAPPED, State.SPEAKING)}

for _phase in Phase:
    _phase.state = _STATES.get(_phase) or State(_phase.value)


class Trigger(enum.Enum):
    """What can change the phase."""

    CONNECTED = "connected"
    """Media flows both ways."""
    SPEECH_STARTED = "speech_started"
    """The user began to speak while nothing was to be heard from Morgan."""
    FELL_SILENT = "fell_silent"
    """The user's turn may be over."""
    SPEECH_RESUMED = "speech_resumed"
    """It was only a pause."""
    TURN_COMMITTED = "turn_committed"
    """The user's turn is over, or they typed one."""
    TURN_DROPPED = "turn_dropped"
    """What sounded like a turn held no words."""
    REPLY_BEGUN = "reply_begun"
    """Morgan has something to say unasked: a greeting, an idle prompt."""
    REPLY_AUDIBLE = "reply_audible"
    """The first frame of a reply went out."""
    REPLY_ENDED = "reply_ended"
    """The last frame of a reply went out, or there was nothing to say."""
    REPLY_GIVEN_UP = "reply_given_up"
    """An engine gave no sign of the rest of a reply; an apology follows."""
    OVERLAP_BEGAN = "overlap_began"
    """There is a voice over the reply."""
    OVERLAP_LASTED = "overlap_lasted"
    """It is more than a click or a cough."""
    OVERLAP_ENDED = "overlap_ended"
    """It stopped; its words tell whether it was meant."""
    OVERLAP_RESUMED = "overlap_resumed"
    """It is there again before they are known."""
    OVERLAP_PASSED = "overlap_passed"
    """It was nothing."""
    INTERRUPTED = "interrupted"
    """The user spoke over the reply and meant it."""
    STOPPED = "stopped"
    """The client asked for silence."""
    ENDED = "ended"
    """Hang-up, from either side."""


TRANSITIONS: dict[tuple[Phase, Trigger], Phase] = {
    (Phase.CONNECTING, Trigger.CONNECTED): Phase.LISTENING,
    (Phase.LISTENING, Trigger.SPEECH_STARTED): Phase.USER_SPEAKING,
    (Phase.LISTENING, Trigger.TURN_COMMITTED): Phase.THINKING,
    (Phase.LISTENING, Trigger.REPLY_BEGUN): Phase.THINKING,
    (Phase.USER_SPEAKING, Trigger.FELL_SILENT): Phase.USER_PAUSING,
    (Phase.USER_SPEAKING, Trigger.TURN_COMMITTED): Phase.THINKING,
    (Phase.USER_SPEAKING, Trigger.TURN_DROPPED): Phase.LISTENING,
    (Phase.USER_PAUSING, Trigger.TURN_DROPPED): Phase.LISTENING,
    (Phase.USER_PAUSING, Trigger.SPEECH_RESUMED): Phase.USER_SPEAKING,
    (Phase.USER_PAUSING, Trigger.TURN_COMMITTED): Phase.THINKING,
    (Phase.THINKING, Trigger.SPEECH_STARTED): Phase.USER_SPEAKING,
    (Phase.THINKING, Trigger.TURN_COMMITTED): Phase.THINKING,
    (Phase.THINKING, Trigger.REPLY_BEGUN): Phase.THINKING,
    (Phase.THINKING, Trigger.TURN_DROPPED): Phase.LISTENING,
    (Phase.THINKING, Trigger.REPLY_AUDIBLE): Phase.SPEAKING,
    (Phase.THINKING, Trigger.REPLY_ENDED): Phase.LISTENING,
    (Phase.THINKING, Trigger.STOPPED): Phase.LISTENING,
    (Phase.SPEAKING, Trigger.REPLY_GIVEN_UP): Phase.THINKING,
    (Phase.SPEAKING, Trigger.OVERLAP_BEGAN): Phase.DUCKED,
    (Phase.DUCKED, Trigger.OVERLAP_LASTED): Phase.PAUSED,
    (Phase.DUCKED, Trigger.OVERLAP_PASSED): Phase.SPEAKING,
    (Phase.PAUSED, Trigger.OVERLAP_ENDED): Phase.WEIGHING,
    (Phase.WEIGHING, Trigger.OVERLAP_RESUMED): Phase.PAUSED,
    (Phase.WEIGHING, Trigger.OVERLAP_PASSED): Phase.SPEAKING,
    **{(phase, Trigger.INTERRUPTED): Phase.USER_SPEAKING for phase in OVERLAPPED},
    **{(phase, Trigger.REPLY_ENDED): Phase.LISTENING for phase in (Phase.SPEAKING, *OVERLAPPED)},
    **{(phase, Trigger.STOPPED): Phase.LISTENING for phase in (Phase.SPEAKING, *OVERLAPPED)},
    **{(phase, Trigger.TURN_COMMITTED): Phase.THINKING for phase in (Phase.SPEAKING, *OVERLAPPED)},
    **{(phase, Trigger.ENDED): Phase.ENDED for phase in Phase if phase is not Phase.ENDED},
}


class CallPhase:
    """The one value that says what a call is doing.

    Attributes:
        phase: changed by `change` alone.
    """

    def __init__(self, phase: Phase = Phase.CONNECTING) -> None:
        self.phase = phase

    def change(self, trigger: Trigger) -> bool:
        """Follow the table; False for a trigger that it does not know in this phase, which changes nothing."""
        after = TRANSITIONS.get((self.phase, trigger))
        if after is None:
            return False
        self.phase = after
        return True
