"""The pauses of a recording, what kind each is, and what turn-taking made of it."""

import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.call.events import PlaybackStarted, SpeechStarted, SpeechStopped
from pipeline.call.state import CallPhase, Phase
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.call.turn_taking.decisions import Decision, follow
from pipeline.call.turn_taking.policy import TurnTaking
from server.testing.recorded_call import Judged, RecordedCall, Recording

LABELS = Path(__file__).with_name("turns.toml")

SHORTEST_S = 0.2
"""Shorter ones are no pauses."""

NEAR_S = 0.15
"""A label belongs to the pause that begins this near to it."""

NOTICED_S = 0.1
"""Speech is noticed so late at most; a commit before that falls into the pause."""

_FOREVER_S = 1e6

Kind = Literal["inside", "finished", "unlabelled"]


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence between two stretches of speech.

    Attributes:
        start, end: seconds of the recording.
        kind: inside a sentence, or behind a finished one.
        after: the word before it.
        level: voice activity alone does not show it.
    """

    start: float
    end: float
    kind: Kind = "unlabelled"
    after: str = ""
    level: bool = False

    @property
    def length_s(self) -> float:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Outcome:
    """What turn-taking made of a pause.

    Attributes:
        pause: this one.
        scores: what the turn model said in it, in order.
        committed_s: silence at which the turn was taken as over; None: it never was.
        sounded: a reply sounded before the speaker went on.
        healed: the speaker went on and the turn was taken up again, as one with what came.
    """

    pause: Pause
    scores: tuple[float, ...]
    committed_s: float | None = None
    sounded: bool = False
    healed: bool = False


def labels_of(name: str) -> list[Pause]:
    """The labelled pauses of a recording, by its file name; empty when nobody labelled it."""
    with LABELS.open("rb") as file:
        labelled = tomllib.load(file).get(name, {})
    return [Pause(**label) for label in labelled.get("pauses", [])]


def text_of(name: str) -> str:
    """The words of a recording, by its file name; empty when nobody wrote them down."""
    with LABELS.open("rb") as file:
        return str(tomllib.load(file).get(name, {}).get("text", ""))


def one_wait(config: TurnTakingConfig, wait_s: float) -> TurnTakingConfig:
    """The policy that commits after so much silence, whatever models, words and earlier pauses say."""
    return replace(
        config,
        complete_wait_s=wait_s,
        likely_wait_s=wait_s,
        unsure_wait_s=wait_s,
        incomplete_wait_s=wait_s,
        unfinished_wait_s=wait_s,
        group_wait_s=wait_s,
        words_wait_s=0.0,
        patience_step_s=0.0,
        patience_max_s=0.0,
    )


def find_pauses(recording: Recording, config: TurnTakingConfig, labels: Sequence[Pause] = ()) -> list[Pause]:
    """The pauses that a policy of endless patience sees in a recording, labelled where there is a label."""
    call, found, silent_from = CallPhase(Phase.LISTENING), [], 0.0
    policy = TurnTaking(one_wait(config, _FOREVER_S), call)
    for window in recording.all_windows():
        for decision in follow(call, policy.hear(window.probability, window.at, max(window.levels_db))):
            if decision is Decision.EARLY_SILENCE:
                silent_from = policy.last_speech
            elif decision is Decision.SPEECH_RESUMED:
                start, end = recording.second(silent_from), recording.second(window.at) - config.resume_s
                if end - start >= SHORTEST_S:
                    found.append(_labelled(Pause(start, end), labels))
    return found


def _labelled(pause: Pause, labels: Sequence[Pause]) -> Pause:
    near = next((label for label in labels if abs(label.start - pause.start) <= NEAR_S), None)
    return pause if near is None else replace(near, start=pause.start, end=pause.end)


def outcomes(call: RecordedCall, pauses: Sequence[Pause]) -> list[Outcome]:
    """What a call that was played to its end made of each pause."""
    return [_outcome(call, pause) for pause in pauses]


def _outcome(call: RecordedCall, pause: Pause) -> Outcome:
    def within(judged: Judged) -> bool:
        return pause.start < judged.at <= pause.end

    scores = tuple(judged.score for judged in call.judged if within(judged))
    told = [(call.recording.second(at), event) for at, event in call.events]
    for index, (at, event) in enumerate(told):
        if isinstance(event, SpeechStopped) and pause.start < at <= pause.end + NOTICED_S:
            next_speech = next((later for later in told[index:] if isinstance(later[1], SpeechStarted)), None)
            resumed = next_speech[1] if next_speech else None
            sounded = any(
                isinstance(later, PlaybackStarted) and second <= pause.end + NOTICED_S for second, later in told[index:]
            )
            healed = isinstance(resumed, SpeechStarted) and resumed.item_id == event.item_id
            return Outcome(pause, scores, at - pause.start, sounded, healed)
    return Outcome(pause, scores)


def count_commits(results: Sequence[Outcome]) -> Counter[Kind]:
    """How many pauses of each kind were taken for the end of the turn."""
    return Counter(result.pause.kind for result in results if result.committed_s is not None)
