"""Tools that the client has to approve: what becomes of them when it does so while somebody speaks, in virtual time."""

from pipeline.call.effects import RunTool
from pipeline.call.events import ApprovalAsked, PlaybackStarted, ReplyDone
from pipeline.call.options import CallOptions
from pipeline.call.requests import ApproveTool, SayText
from pipeline.call.state import State
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox
from tests.pipeline.call.simulation import Say, Simulation

WISH = Say(1.0, 2.6, "Please delete my shopping list.")
DELETE = ToolCall("call_1", "delete_list", "{}")
LONG = "There is a great deal that I could tell you about lists of this kind and about others, if you have the time."


def call(*script: Say) -> Simulation:
    declared = ToolDeclaration(name="delete_list", description="x", function="builtins:dict")
    wanted = CallOptions(tools=Toolbox([declared]), approval=("delete_list",), tool_filler="")
    return Simulation(script=[WISH, *script], options=wanted, asks=(("", DELETE),), reply=LONG)


def approve(done: Simulation) -> None:
    (asked,) = done.all(ApprovalAsked)
    done.post(ApproveTool(asked.item_id, True, ""))


def unexpected(done: Simulation) -> dict[str, int]:
    return {name: count for name, count in done.machine.counts.items() if name.startswith("unexpected")}


def test_an_approval_over_another_reply_stops_it_and_the_tool_runs() -> None:
    done = call().run(5)
    done.post(SayText(LONG))
    done.run(1)
    assert done.machine.state is State.SPEAKING
    approve(done)
    done.run(12)
    assert len(done.effects(RunTool)) == 1
    assert [event.status for event in done.all(ReplyDone)][1:] == ["cancelled", "completed"]
    assert not unexpected(done)


def test_an_approval_while_the_user_speaks_waits_until_nobody_does() -> None:
    done = call(Say(6.0, 12.0, "I would also like to hear how you are otherwise today, and what the time is.")).run(9)
    assert done.machine.state is State.USER_SPEAKING
    approve(done)
    done.run(2)
    assert not done.effects(RunTool)
    assert done.machine.state is State.USER_SPEAKING
    done.run(30)
    (work,) = done.effects(RunTool)
    assert work.call.name == "delete_list"
    starts = [second for second, event in done.events if isinstance(event, PlaybackStarted)]
    assert all(second > 12.0 for second in starts)
    assert not unexpected(done)
