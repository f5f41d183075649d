"""The policy by itself, window by window: when a turn is over, and what it learns from a speaker who goes on."""

import pytest

from pipeline.call.state import CallPhase, Phase
from pipeline.call.turn_taking.config import WINDOW_S, TurnTakingConfig
from pipeline.call.turn_taking.decisions import Decision, follow
from pipeline.call.turn_taking.policy import TurnTaking
from pipeline.text.groups import More


class Talk:
    """A user who speaks and falls silent, and a turn model that answers within a window."""

    def __init__(self) -> None:
        self.call = CallPhase(Phase.LISTENING)
        self.policy = TurnTaking(call=self.call)
        self.now = 10.0
        self.decisions: list[Decision] = []

    def speak(self, seconds: float) -> None:
        for _ in range(round(seconds / WINDOW_S)):
            self._hear(0.95, -20.0)

    def fall_silent(self, seconds: float, score: float) -> float | None:
        """Be silent; returns the silence in which the turn was committed, if it was."""
        for _ in range(round(seconds / WINDOW_S)):
            found = self._hear(0.02, -70.0)
            self.policy.score(score)
            if Decision.COMMIT in found:
                return self.policy.silence(self.now)
        return None

    def hear_silence(self, windows: int) -> None:
        """Be silent; the turn model says nothing."""
        for _ in range(windows):
            self._hear(0.02, -70.0)

    def say(self, seconds: float = 1.0, score: float = 0.95) -> float | None:
        """Speak and be silent for long."""
        self.speak(seconds)
        return self.fall_silent(4.0, score)

    def go_on_after(self, pause_s: float) -> None:
        """Speak on so long after the last speech, although the turn was committed meanwhile."""
        self.fall_silent(pause_s - self.policy.silence(self.now), 0.95)
        self.speak(2 * WINDOW_S)
        self.policy.reopen()

    def _hear(self, probability: float, level_db: float) -> list[Decision]:
        self.now += WINDOW_S
        found = follow(self.call, self.policy.hear(probability, self.now, level_db))
        self.decisions += found
        return found


CONFIG = TurnTakingConfig()
COMPLETE = CONFIG.complete_wait_s + 2 * WINDOW_S


def test_a_complete_turn_is_over_at_once() -> None:
    silence = Talk().say(score=0.95)
    assert silence is not None
    assert silence <= COMPLETE


def test_an_incomplete_turn_is_waited_for() -> None:
    silence = Talk().say(score=0.02)
    assert silence is not None
    assert silence >= 2.0


def test_words_that_ask_for_more_outweigh_a_turn_model_that_hears_an_end() -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(0.1, 0.95)
    talk.policy.evidence.words(More.YES)
    assert talk.fall_silent(1.2, 0.95) is None


def test_a_commit_waits_for_words_that_are_on_their_way_and_comes_with_them() -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(0.1, 0.95)
    talk.policy.evidence.words_pending(0.15)
    assert talk.fall_silent(0.2, 0.95) is None
    talk.policy.evidence.words(More.NO)
    assert talk.policy.tick(talk.now) == [Decision.COMMIT]


def test_words_on_their_way_are_asked_to_hurry_once_nothing_else_is_missing() -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(0.1, 0.95)
    talk.policy.evidence.words_pending(0.15)
    assert Decision.HURRY not in talk.decisions
    talk.fall_silent(0.2, 0.95)
    assert talk.decisions.count(Decision.HURRY) == 1


def test_words_that_do_not_come_delay_a_commit_only_so_long() -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(0.1, 0.95)
    talk.policy.evidence.words_pending(0.15)
    silence = talk.fall_silent(2.0, 0.95)
    assert silence is not None
    assert COMPLETE < silence <= CONFIG.words_wait_s + 2 * WINDOW_S


def test_no_turn_ends_while_a_voice_is_just_coming_back() -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(CONFIG.complete_wait_s - WINDOW_S, 0.95)
    talk.speak(WINDOW_S)
    assert talk.policy.tick(talk.now + WINDOW_S) == []
    talk.speak(WINDOW_S)
    assert talk.decisions[-1] is Decision.SPEECH_RESUMED


def test_who_goes_on_after_a_commit_is_given_the_pause_that_they_made() -> None:
    talk = Talk()
    talk.say()
    pause = talk.policy.silence(talk.now) + 0.3
    talk.go_on_after(pause)
    silence = talk.say()
    assert silence is not None
    assert pause < silence <= pause + 0.3


def test_a_pause_too_long_to_be_waited_out_makes_nobody_wait() -> None:
    talk = Talk()
    talk.say()
    talk.go_on_after(1.6)
    silence = talk.say()
    assert silence is not None
    assert silence <= COMPLETE + CONFIG.patience_step_s + WINDOW_S


def test_patience_is_forgotten_as_commits_stand() -> None:
    talk = Talk()
    talk.say()
    talk.go_on_after(0.5)
    waits = [talk.say() or 0.0 for _ in range(6)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > COMPLETE + 0.1
    assert waits[-1] <= COMPLETE


def test_the_turn_model_is_asked_when_the_words_are_about_to_be_known() -> None:
    """Half a second for the words, less what the turn model takes; at once where nothing is waited for."""
    slow, fast = Talk(), Talk()
    for talk, expected_s in ((slow, 0.5), (fast, 0.1)):
        talk.speak(1.0)
        talk.hear_silence(2)
        assert talk.decisions[-1] is Decision.EARLY_SILENCE
        talk.policy.evidence.words_pending(expected_s)
        talk.hear_silence(1)
    assert Decision.ASK not in slow.decisions
    assert Decision.ASK in fast.decisions
    slow.hear_silence(round(CONFIG.ask_latest_s / WINDOW_S))
    assert slow.decisions.count(Decision.ASK) == 1


@pytest.mark.parametrize(("more", "asked"), [(More.NO, True), (More.PERHAPS, True), (More.YES, False)])
def test_the_turn_model_is_asked_again_unless_the_words_decide(more: More, asked: bool) -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(0.2, 0.05)
    talk.policy.evidence.words(more)
    before = talk.decisions.count(Decision.ASK)
    talk.fall_silent(1.0, 0.05)
    assert (talk.decisions.count(Decision.ASK) > before) is asked


@pytest.mark.parametrize(
    ("more", "least_s"),
    [
        (More.PERHAPS, CONFIG.unsure_wait_s),
        (More.YES, CONFIG.unfinished_wait_s),
        (More.GROUP, CONFIG.group_wait_s),
    ],
)
def test_what_the_words_say_of_more_makes_the_wait(more: More, least_s: float) -> None:
    talk = Talk()
    talk.speak(1.0)
    talk.fall_silent(0.1, 0.95)
    talk.policy.evidence.words(more)
    silence = talk.fall_silent(4.0, 0.95)
    assert silence is not None
    assert least_s <= silence <= least_s + 2 * WINDOW_S
