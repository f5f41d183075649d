"""Decisions of the turn-taking policy, and the trigger in the table of states that belongs to each."""

import enum

from pipeline.call.state import CallPhase, Trigger


class Decision(enum.Enum):
    """What the policy wants done."""

    SPEECH_STARTED = "speech_started"
    """A turn begins."""
    DIP = "dip"
    """A moment of silence, as in front of a "p" or at the end of a turn."""
    EARLY_SILENCE = "early_silence"
    """The turn may be over: start to work on it."""
    ASK = "ask"
    """Ask the turn model, with the silence so far."""
    SPEECH_RESUMED = "speech_resumed"
    """It was a pause: what was begun at the early silence is out of date."""
    HURRY = "hurry"
    """The turn is over unless its words, which are not known yet, say otherwise: they are wanted now."""
    COMMIT = "commit"
    """The turn is over."""
    DUCK = "duck"
    """Somebody may be speaking over the reply."""
    PAUSE = "pause"
    """Somebody is speaking over the reply."""
    OVERLAP_WORDS = "overlap_words"
    """They go on; whether they mean it is told by the words so far."""
    OVERLAP_ENDED = "overlap_ended"
    """They stopped; whether they meant it is told by the words."""
    OVERLAP_RESUMED = "overlap_resumed"
    """They speak again before that is known."""
    UNDUCK = "unduck"
    """It was nothing."""
    INTERRUPT = "interrupt"
    """They mean it: give the reply up."""
    IDLE_PROMPT = "idle_prompt"
    IDLE_HANGUP = "idle_hangup"


TRIGGERS: dict[Decision, Trigger] = {
    Decision.SPEECH_STARTED: Trigger.SPEECH_STARTED,
    Decision.EARLY_SILENCE: Trigger.FELL_SILENT,
    Decision.SPEECH_RESUMED: Trigger.SPEECH_RESUMED,
    Decision.COMMIT: Trigger.TURN_COMMITTED,
    Decision.DUCK: Trigger.OVERLAP_BEGAN,
    Decision.PAUSE: Trigger.OVERLAP_LASTED,
    Decision.OVERLAP_ENDED: Trigger.OVERLAP_ENDED,
    Decision.OVERLAP_RESUMED: Trigger.OVERLAP_RESUMED,
    Decision.UNDUCK: Trigger.OVERLAP_PASSED,
    Decision.INTERRUPT: Trigger.INTERRUPTED,
}
"""The trigger of each decision that changes the phase of a call, which the policy reads and the machine changes."""


def follow(call: CallPhase, decisions: list[Decision]) -> list[Decision]:
    """Change the phase of a call by what the policy decided, where there is no machine that does; returns the same."""
    for decision in decisions:
        if decision in TRIGGERS:
            call.change(TRIGGERS[decision])
    return decisions
