"""When each call ends before a restart, in virtual time."""

from dataclasses import dataclass

from pipeline.call.state import State
from server.calls.drain import QUIET_S, Drain, Step

PATIENCE_S = 30.0


@dataclass
class Talk:
    """A call that is in some state."""

    id: str
    state: State = State.LISTENING
    resumable: bool = True
    says_goodbye: bool = False


class Course:
    """Goes through a drain in steps of 50 ms and does what is wanted; a goodbye takes a second."""

    def __init__(self, *calls: Talk, patience_s: float = PATIENCE_S) -> None:
        self.calls = {call.id: call for call in calls}
        self.now = 100.0
        self.done: list[tuple[float, str, Step]] = []
        self._drain = Drain(self.now, patience_s)
        self._goodbyes: dict[str, float] = {}

    def until(self, second: float) -> "Course":
        while self.now < 100.0 + second:
            for call_id, step in self._drain.steps(list(self.calls.values()), self.now):
                self.done.append((round(self.now - 100, 2), call_id, step))
                if step is Step.END:
                    del self.calls[call_id]
                elif step is Step.SAY_GOODBYE:
                    self.calls[call_id].state = State.SPEAKING
                    self._goodbyes[call_id] = self.now + 1
            for call_id, at in list(self._goodbyes.items()):
                if self.now >= at:
                    del self._goodbyes[call_id]
                    self.calls[call_id].state = State.LISTENING
            self.now += 0.05
        return self

    def ended(self) -> dict[str, float]:
        return {call_id: at for at, call_id, step in self.done if step is Step.END}


def test_calls_that_can_go_on_end_together_as_soon_as_nobody_says_anything() -> None:
    course = Course(Talk("a"), Talk("b", State.SPEAKING)).until(3)
    assert course.done == []
    course.calls["b"].state = State.LISTENING
    course.until(5)
    a, b = course.ended()["a"], course.ended()["b"]
    assert a == b
    # What went out last has left the far end's buffer, too.
    assert 3 + QUIET_S <= a <= 3 + QUIET_S + 0.15


def test_a_turn_that_begins_meanwhile_is_waited_for_as_well() -> None:
    course = Course(Talk("a")).until(0.5)
    course.calls["a"].state = State.USER_SPEAKING
    course.until(10)
    assert course.done == []
    course.calls["a"].state = State.LISTENING
    assert 10.5 < course.until(12).ended()["a"] < 11


def test_a_call_that_cannot_go_on_lives_as_long_as_it_may_and_hears_goodbye_once() -> None:
    course = Course(Talk("phone", resumable=False, says_goodbye=True), Talk("page")).until(19.9)
    assert course.done == []
    course.until(30)
    assert [(call_id, step) for _, call_id, step in course.done if call_id == "phone"] == [
        ("phone", Step.SAY_GOODBYE),
        ("phone", Step.END),
    ]
    ended = course.ended()
    assert ended["page"] <= 20.1
    assert 21 <= ended["phone"] <= 22.5


def test_a_program_that_nobody_talks_to_aloud_ends_without_a_goodbye() -> None:
    course = Course(Talk("realtime", resumable=False)).until(30)
    assert [step for _, _, step in course.done] == [Step.END]


def test_an_endless_reply_is_ended_early_once_and_at_the_end_there_is_no_more_waiting() -> None:
    course = Course(Talk("a", State.SPEAKING)).until(40)
    assert [(round(at), call_id, step) for at, call_id, step in course.done] == [
        (25, "a", Step.END_REPLY),
        (30, "a", Step.END),
    ]


def test_in_the_last_seconds_a_call_that_falls_silent_does_not_wait_for_another_one() -> None:
    course = Course(Talk("a", State.SPEAKING), Talk("b", State.SPEAKING)).until(22)
    course.calls["a"].state = State.LISTENING
    course.until(24)
    assert list(course.ended()) == ["a"]


def test_a_short_patience_is_shared_out_and_without_any_all_end_at_once() -> None:
    short = Course(Talk("a", State.SPEAKING), patience_s=4.0).until(5)
    assert [step for _, _, step in short.done] == [Step.END_REPLY, Step.END]
    assert 3.0 <= short.done[0][0] < 3.1
    assert Course(Talk("a", State.SPEAKING), Talk("b"), patience_s=0.0).until(0.1).ended() == {"a": 0.0, "b": 0.0}
