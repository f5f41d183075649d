"""Tools that run while the talk goes on, in virtual time."""

from pipeline.call.effects import Cancel, RunTool
from pipeline.call.events import PlaybackStarted, ReplyDone, ToolReturned
from pipeline.call.options import CallOptions
from pipeline.call.reply.background import GROUP, MOST, QUIET_S, STARTED, TOO_MANY
from pipeline.call.state import State
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox
from tests.pipeline.call.simulation import Delays, Say, Simulation

WISH = Say(1.0, 2.6, "Please look for cheap flights.")
SEARCH = ToolCall("call_1", "search", "{}")
DECLARED = ToolDeclaration(name="search", description="x", function="builtins:dict", background=True, timeout_s=600)
REPLY = "I am on it."


def call(*script: Say, tool: float | None = 20.0, seconds: float = 40, asks: int = 1) -> Simulation:
    wanted = CallOptions(tools=Toolbox([DECLARED], rounds=8), tool_filler="")
    wanted.turn_taking = TurnTakingConfig(idle_prompt_s=0.0)
    calls = tuple(("", ToolCall(f"call_{number}", "search", "{}")) for number in range(1, asks + 1))
    return Simulation(script=[WISH, *script], options=wanted, asks=calls, reply=REPLY, delays=Delays(tool=tool)).run(
        seconds
    )


def test_the_talk_goes_on_and_the_result_comes_back_as_a_turn_of_its_own() -> None:
    """A tool of 20 s: its caller is answered at once, asks something else and is answered, then hears the result."""
    done = call(Say(8.0, 9.6, "And what time is it?"))
    replies = done.all(ReplyDone)
    assert len(replies) == 3
    assert [event.status for event in replies] == ["completed"] * 3
    assert done.when(PlaybackStarted, 1) < 12.0
    (work,) = done.effects(RunTool)
    assert work.group == GROUP
    assert [event.result.content for event in done.all(ToolReturned)] == [STARTED, "21 degrees"]
    assert done.when(ToolReturned, 1) > 22.0
    assert done.when(PlaybackStarted, 2) > done.when(ToolReturned, 1)
    assert done.machine.state is State.LISTENING


def test_the_model_is_told_the_result_behind_what_was_said_meanwhile() -> None:
    done = call(Say(8.0, 9.6, "And what time is it?"))
    *_, asked, result = done.asked[-1].request.messages
    assert [message.role for message in done.asked[-1].request.messages[1:]] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant", "assistant", "tool"),
    ]
    assert (result.content, result.tool_call_id) == ("21 degrees", asked.tool_calls[0].id)
    assert asked.tool_calls[0].id != SEARCH.id


def test_a_result_waits_until_nobody_speaks() -> None:
    """It comes while the user speaks, and then while Morgan answers."""
    done = call(Say(21.0, 25.0, "I would also like to know what time it is in Paris now."), seconds=45)
    told = [second for second, event in done.events if isinstance(event, PlaybackStarted)]
    finished = [second for second, event in done.events if isinstance(event, ReplyDone)]
    assert len(told) == len(finished) == 3
    assert told[1] > 25.0
    assert told[2] >= finished[1] + QUIET_S


def test_an_interruption_does_not_stop_it() -> None:
    done = call(Say(3.6, 5.0, "Wait, only in July."), seconds=40)
    assert GROUP not in [effect.group for effect in done.effects(Cancel)]
    assert done.all(ToolReturned)[-1].result.content == "21 degrees"


def test_no_more_than_a_few_at_once() -> None:
    done = call(asks=MOST + 1, tool=None, seconds=12)
    assert len(done.effects(RunTool)) == MOST
    assert [event.result.content for event in done.all(ToolReturned)] == [STARTED] * MOST + [TOO_MANY]


def test_a_filler_of_its_own_is_said_in_place_of_the_servers() -> None:
    slow = DECLARED.model_copy(update={"background": False, "timeout_s": 30.0, "filler": "Let me search."})
    wanted = CallOptions(tools=Toolbox([slow]), tool_filler="One moment.")
    done = Simulation(script=[WISH], options=wanted, asks=(("", SEARCH),), reply=REPLY, delays=Delays(tool=4.0)).run(14)
    assert [event.text for event in done.all(ReplyDone)] == [f"Let me search. {REPLY}"]


def test_the_filler_is_in_the_language_of_the_call() -> None:
    slow = DECLARED.model_copy(update={"background": False, "timeout_s": 30.0})
    wanted = CallOptions(tools=Toolbox([slow]), tool_filler="One moment.", language="de")
    done = Simulation(script=[WISH], options=wanted, asks=(("", SEARCH),), reply=REPLY, delays=Delays(tool=4.0)).run(14)
    assert done.all(ReplyDone)[0].text.startswith("Einen Moment.")
