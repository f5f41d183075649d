"""Tools in a call, in virtual time: when they run, what the user hears meanwhile, what is remembered of them."""

from typing import Any

import pytest

from pipeline.call.effects import Cancel, RunTool
from pipeline.call.events import CallFault, PlaybackStarted, ReplyDone, ReplyTextCompleted, ToolCalled, ToolReturned
from pipeline.call.options import CallOptions
from pipeline.call.reply.tool_rounds import INTERRUPTED
from pipeline.call.state import State
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration, ToolDescription
from pipeline.tools.own_tool import own_tool
from pipeline.tools.toolbox import Toolbox
from tests.pipeline.call.simulation import Delays, Say, Simulation

QUESTION = Say(1.0, 2.8, "What is the weather in Paris?")
WEATHER = ToolCall("call_1", "weather", '{"city": "Paris"}')
DECLARED = ToolDeclaration(name="weather", description="The weather.", function="builtins:dict", timeout_s=30)
REPLY = "It is sunny in Paris, at twenty one degrees."


def options(rounds: int = 4, filler: str = "One moment.") -> CallOptions:
    return CallOptions(tools=Toolbox([DECLARED], rounds=rounds), tool_filler=filler, filler_after_s=1.0)


def call(
    *script: Say,
    asks: tuple[tuple[str, ToolCall], ...] = (("", WEATHER),),
    tool: float | None = 0.2,
    fail: frozenset[str] = frozenset(),
    seconds: float = 14,
    wanted: CallOptions | None = None,
) -> Simulation:
    delays = Delays(tool=tool)
    told = wanted or options()
    return Simulation(script=list(script), options=told, asks=asks, reply=REPLY, delays=delays, fail=fail).run(seconds)


def test_the_result_of_a_tool_reaches_the_model_and_the_user_hears_the_answer() -> None:
    done = call(QUESTION)
    assert [spec.name for spec in done.asked[0].request.tools] == ["weather"]
    question, result = done.asked[-1].request.messages[-2:]
    assert (question.role, question.tool_calls) == ("assistant", (WEATHER,))
    assert (result.role, result.content, result.tool_call_id) == ("tool", "21 degrees", "call_1")
    assert [event.text for event in done.all(ReplyDone)] == [REPLY]
    assert [entry.role for entry in done.context.entries] == ["user", "assistant", "tool", "assistant"]
    assert done.machine.state is State.LISTENING


def test_a_guess_runs_no_tool_before_the_turn_is_over() -> None:
    """The user goes on after a pause: what the guess wanted is never done."""
    done = call(Say(1.0, 2.0, "Tell me", score=0.05), Say(2.6, 3.6, "about the weather."))
    assert len(done.asked) > 2
    assert len(done.effects(RunTool)) == 1
    assert done.when(ToolCalled) >= 3.6


def test_a_quick_tool_is_waited_for_in_silence() -> None:
    done = call(QUESTION, tool=0.5)
    assert [event.text for event in done.all(ReplyTextCompleted)] == [REPLY]


def test_a_slow_tool_is_announced_once_and_the_answer_follows() -> None:
    done = call(QUESTION, tool=4.0)
    began = done.when(ToolCalled)
    assert 1.0 <= done.when(PlaybackStarted) - began <= 1.4
    assert [event.text for event in done.all(ReplyDone)] == [f"One moment. {REPLY}"]
    assert len(done.all(PlaybackStarted)) == 1
    assert done.context.entries[-1].text == f"One moment. {REPLY}"
    assert not done.all(CallFault)


def test_what_the_model_says_before_it_asks_is_spoken_while_the_tool_runs_and_not_said_twice() -> None:
    done = call(QUESTION, asks=(("Let me look.", WEATHER),), tool=3.0)
    assert done.when(PlaybackStarted) < done.when(ToolReturned)
    assert [event.text for event in done.all(ReplyDone)] == [f"Let me look. {REPLY}"]
    assert done.asked[-1].request.messages[-2].content == "Let me look."
    assert [entry.text for entry in done.context.entries if entry.role == "assistant"] == ["", f"Let me look. {REPLY}"]


def test_the_model_may_ask_again_and_must_answer_after_its_last_round() -> None:
    done = call(QUESTION, asks=(("", WEATHER), ("", WEATHER)), wanted=options(rounds=2))
    assert [asked.request.tool_choice for asked in done.asked] == ["auto", "auto", "none"]
    assert [event.text for event in done.all(ReplyDone)] == [REPLY]


def test_a_model_that_asks_without_end_is_stopped_and_the_user_hears_an_apology() -> None:
    done = call(QUESTION, asks=(("", WEATHER),) * 9, wanted=options(rounds=2), seconds=20)
    assert len(done.effects(RunTool)) == 2
    assert [event.text for event in done.all(ReplyDone)][-1] == done.options.apology


def test_an_interruption_cancels_the_tool_and_the_model_learns_that_it_was() -> None:
    stop = Say(5.0, 6.5, "Never mind, tell me about Rome.")
    done = call(QUESTION, stop, tool=20.0, seconds=8)
    (work,) = done.effects(RunTool)
    assert work.group in [effect.group for effect in done.effects(Cancel)]
    (returned,) = done.all(ToolReturned)
    assert (returned.result.content, returned.result.failed) == (INTERRUPTED, True)
    assert done.when(ToolReturned) < 6.5
    assert [message.content for message in done.asked[-1].request.messages if message.role == "tool"] == [INTERRUPTED]


def test_a_tool_that_takes_its_time_is_no_stuck_call() -> None:
    """Longer than the call waits for engines: the tool's own deadline counts."""
    done = call(QUESTION, tool=25.0, seconds=40)
    assert not done.all(CallFault)
    assert [event.status for event in done.all(ReplyDone)] == ["completed"]


def test_a_tool_that_never_answers_is_given_up_after_its_deadline() -> None:
    done = call(QUESTION, tool=None, seconds=60, wanted=options(filler=""))
    assert "no_reply" in [event.code for event in done.all(CallFault)]
    assert done.machine.state is State.LISTENING


def test_a_model_that_fails_behind_the_filler_makes_the_call_say_so() -> None:
    done = call(QUESTION, tool=3.0, fail=frozenset({"llm_after_tools"}))
    assert [event.text for event in done.all(ReplyDone)] == [f"One moment. {done.options.apology}"]


@pytest.mark.parametrize("tool", [0.0, 0.95, 1.05, 2.0])
def test_whenever_the_result_comes_the_answer_is_heard_to_its_end(tool: float) -> None:
    done = call(QUESTION, tool=tool)
    assert done.all(ReplyDone)[-1].text.endswith(REPLY)
    assert done.machine.state is State.LISTENING


async def never(arguments: dict[str, Any]) -> str:
    raise AssertionError("virtual calls run no tools")


@pytest.mark.parametrize("waits_for_user", [True, False])
def test_nothing_is_said_while_it_is_the_user_who_takes_their_time(waits_for_user: bool) -> None:
    told = ToolDescription(name="weather", description="Keys.", timeout_s=30, waits_for_user=waits_for_user)
    tool = own_tool(told, never)
    wanted = CallOptions(tools=Toolbox().having(tool), tool_filler="One moment.", filler_after_s=1.0)
    done = call(QUESTION, tool=4, wanted=wanted, seconds=20)
    said = " ".join(event.text for event in done.all(ReplyDone))
    assert ("One moment." in said) is not waits_for_user
    assert REPLY in said
