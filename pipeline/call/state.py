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


class Trigger(enum.Enum):
    """What can change the state."""

    CONNECTED = "connected"
    """Media flows both ways."""
    SPEECH_STARTED = "speech_started"
    """The user began to speak while nothing was to be heard from Morgan."""
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
    INTERRUPTED = "interrupted"
    """The user spoke over the reply and meant it."""
    STOPPED = "stopped"
    """The client asked for silence."""
    ENDED = "ended"
    """Hang-up, from either side."""


TRANSITIONS: dict[tuple[State, Trigger], State] = {
    (State.CONNECTING, Trigger.CONNECTED): State.LISTENING,
    (State.LISTENING, Trigger.SPEECH_STARTED): State.USER_SPEAKING,
    (State.LISTENING, Trigger.TURN_COMMITTED): State.THINKING,
    (State.LISTENING, Trigger.REPLY_BEGUN): State.THINKING,
    (State.USER_SPEAKING, Trigger.TURN_COMMITTED): State.THINKING,
    (State.USER_SPEAKING, Trigger.TURN_DROPPED): State.LISTENING,
    (State.THINKING, Trigger.SPEECH_STARTED): State.USER_SPEAKING,
    (State.THINKING, Trigger.TURN_COMMITTED): State.THINKING,
    (State.THINKING, Trigger.TURN_DROPPED): State.LISTENING,
    (State.THINKING, Trigger.REPLY_BEGUN): State.THINKING,
    (State.THINKING, Trigger.REPLY_AUDIBLE): State.SPEAKING,
    (State.THINKING, Trigger.REPLY_ENDED): State.LISTENING,
    (State.THINKING, Trigger.STOPPED): State.LISTENING,
    (State.SPEAKING, Trigger.REPLY_ENDED): State.LISTENING,
    (State.SPEAKING, Trigger.INTERRUPTED): State.USER_SPEAKING,
    (State.SPEAKING, Trigger.TURN_COMMITTED): State.THINKING,
    (State.SPEAKING, Trigger.STOPPED): State.LISTENING,
    **{(state, Trigger.ENDED): State.ENDED for state in State if state is not State.ENDED},
}
