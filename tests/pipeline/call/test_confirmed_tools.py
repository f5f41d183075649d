"""Tools that run only after the user has said yes, in virtual time."""

import pytest

from pipeline.call.effects import RunTool
from pipeline.call.events import ReplyDone, ToolReturned
from pipeline.call.inputs import ToolsAsked, UserTyped
from pipeline.call.options import CallOptions
from pipeline.call.reply.consent import ASKED, ONE_AT_A_TIME
from pipeline.call.turn_taking.config import TurnTakingConfig
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.toolbox import Toolbox
from tests.pipeline.call.simulation import Delays, Say, Simulation

WISH = Say(1.0, 2.6, "Please delete my shopping list.")
DELETE = ToolCall("call_1", "delete_list", '{"name": "shopping"}')
QUESTION = "Shall I go ahead with this: delete list, name shopping?"
REPLY = "It is gone."
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def declared(name: str = "delete_list", **more: object) -> ToolDeclaration:
    return ToolDeclaration(
        name=name,
        description="x",
        function="builtins:dict",
        parameters=SCHEMA,
        confirm=True,
        **more,  # type: ignore[arg-type]
    )


def call(
    *script: Say,
    asks: tuple[tuple[str, ToolCall], ...] = (("", DELETE),),
    tools: tuple[ToolDeclaration, ...] = (declared(),),
    seconds: float = 16,
    **options: object,
) -> Simulation:
    wanted = CallOptions(tools=Toolbox(tools), **options)  # type: ignore[arg-type]
    return Simulation(script=[WISH, *script], options=wanted, asks=asks, reply=REPLY).run(seconds)


def answers(done: Simulation) -> list[str]:
    return [event.text for event in done.all(ReplyDone)]


def test_the_user_is_asked_and_a_yes_runs_it() -> None:
    done = call(Say(9.0, 9.6, "Yes, please."))
    assert answers(done) == [QUESTION, REPLY]
    (work,) = done.effects(RunTool)
    assert (work.call.name, work.call.arguments) == (DELETE.name, DELETE.arguments)
    # It does not run before the yes is a turn.
    assert [event.result.content for event in done.all(ToolReturned)] == [ASKED, "21 degrees"]
    assert done.when(ToolReturned, 1) > 9.6


def test_the_model_sees_that_it_was_not_done_and_then_that_it_was() -> None:
    done = call(Say(9.0, 9.6, "Yes, please."))
    told = [(message.role, message.content) for message in done.asked[-1].request.messages[1:]]
    assert told == [
        ("user", "Please delete my shopping list."),
        ("assistant", ""),
        ("tool", ASKED),
        ("assistant", QUESTION),
        ("user", "Yes, please."),
        ("assistant", ""),
        ("tool", "21 degrees"),
    ]


@pytest.mark.parametrize("said", ["No.", "Yes, but only the old ones.", "Okay.", "What is on it?", "Ja."])
def test_all_else_does_not(said: str) -> None:
    done = call(Say(9.0, 10.0, said))
    assert not done.effects(RunTool)
    assert answers(done)[-1] == REPLY


def test_a_yes_to_something_later_does_not() -> None:
    done = call(Say(9.0, 10.0, "What is on it?"), Say(14.0, 14.6, "Yes."), seconds=20)
    assert len(answers(done)) == 3
    assert not done.effects(RunTool)


def test_a_yes_before_the_question_was_heard_does_not() -> None:
    done = call(Say(3.6, 5.0, "Yes and wait a moment."), Say(9.0, 9.6, "Yes."), seconds=14)
    assert not done.effects(RunTool)


def test_a_yes_to_are_you_still_there_does_not() -> None:
    done = call(Say(15.0, 15.6, "Yes."), seconds=20, turn_taking=TurnTakingConfig(idle_prompt_s=4.0))
    assert done.options.idle_prompt in answers(done)
    assert not done.effects(RunTool)


def test_the_question_and_the_yes_are_in_the_language_of_the_call() -> None:
    done = call(Say(9.0, 9.6, "Ja, bitte.", language="de"), language="de")
    assert answers(done)[0].startswith("Soll ich das wirklich tun")
    assert len(done.effects(RunTool)) == 1


def test_the_owners_own_question_is_asked() -> None:
    done = call(tools=(declared(confirm_question="Really delete {name}?"),), seconds=9)
    assert answers(done) == ["Really delete shopping?"]


def test_arguments_that_do_not_fit_are_told_the_model_and_nobody_is_asked() -> None:
    done = call(asks=(("", ToolCall("call_1", "delete_list", '{"name": 3}')),), seconds=9)
    assert answers(done) == [REPLY]
    assert "do not fit" in done.asked[-1].request.messages[-1].content


def test_of_two_wishes_one_is_asked_about() -> None:
    other = ToolCall("call_2", "burn_list", DELETE.arguments)
    wanted = CallOptions(tools=Toolbox((declared(), declared("burn_list"))))
    done = Simulation(script=[WISH], options=wanted, reply=REPLY, delays=Delays(llm_first=None)).run(4)
    done.post(ToolsAsked(done.asked[-1].reply, (DELETE, other)))
    done.run(6)
    assert [event.result.content for event in done.all(ToolReturned)] == [ASKED, ONE_AT_A_TIME]
    assert answers(done) == [QUESTION]


def test_a_typed_yes_counts_as_well() -> None:
    done = call(seconds=9)
    done.post(UserTyped("yes"))
    done.run(6)
    assert answers(done) == [QUESTION, REPLY]
    assert len(done.effects(RunTool)) == 1


def test_the_model_that_asks_again_makes_morgan_ask_again() -> None:
    done = call(
        Say(9.0, 9.8, "No, leave it."), asks=(("", DELETE), ("", ToolCall("call_2", *DELETE_AGAIN))), seconds=18
    )
    assert not done.effects(RunTool)
    assert answers(done) == [QUESTION, QUESTION]


DELETE_AGAIN = (DELETE.name, DELETE.arguments)


def test_a_tool_that_ran_before_is_not_run_by_another_yes() -> None:
    done = call(Say(9.0, 9.6, "Yes."), Say(14.0, 14.6, "Yes."), seconds=20)
    assert len(done.effects(RunTool)) == 1
