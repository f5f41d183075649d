"""MCP servers in a Realtime session: listed, approved of, called, and told in OpenAI's words."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.call.effects import RunTool
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDescription
from pipeline.tools.toolbox import NO_TOOLS, Tool, Toolbox
from tests.server.realtime.talking import Talk
from tests.serving import free_port

MCP = {"type": "mcp", "server_label": "time", "require_approval": "never"}
CALL = ToolCall("call_1", "time_now", "{}")
PATIENCE_S = 60.0


class Clock:
    """Runs the tools; in virtual time nobody asks it."""

    async def run(self, arguments: dict[str, Any]) -> str:
        return "noon"


def tool(name: str, *, read_only: bool = False) -> Tool:
    description = ToolDescription(name=f"time_{name}", description=f"It is {name}.")
    return Tool(description, Clock(), server="time", own_name=name, read_only=read_only)


async def session(*, guests: tuple[str, ...] = (), **wanted: Any) -> Talk:
    """A session with the server's own MCP server in it."""
    tools = NO_TOOLS.plus([tool("now", read_only=True), tool("set")])
    tools.guest_hosts = guests
    talk = Talk(options=CallOptions(tools=tools))
    talk.update(tools=[{**MCP, **wanted}])
    await asyncio.sleep(0)
    return talk


def respond(talk: Talk) -> Any:
    talk.type("What time is it?")
    talk.say("response.create")
    talk.run(16)
    return talk.all("response.done")[-1]["response"]


async def test_the_tools_of_a_server_are_listed() -> None:
    talk = await session()
    listed = talk.kinds()[-4:]
    assert listed == [
        "conversation.item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "conversation.item.done",
    ]
    item = talk.told[-1]["item"]
    assert (item["type"], item["server_label"]) == ("mcp_list_tools", "time")
    assert [each["name"] for each in item["tools"]] == ["now", "set"]
    assert talk.one("session.updated")["session"]["tools"] == [MCP]


async def test_a_call_is_told_as_one_of_the_server_and_answered_in_the_same_response() -> None:
    talk = await session()
    talk.call.calls = (CALL,)
    since = len(talk.told)
    done = respond(talk)
    kinds = [kind for kind in talk.kinds(since) if "mcp" in kind or kind == "response.done"]
    assert kinds == [
        "response.mcp_call_arguments.delta",
        "response.mcp_call_arguments.done",
        "response.mcp_call.in_progress",
        "response.mcp_call.completed",
        "response.done",
    ]
    made, message = done["output"]
    assert (made["type"], made["server_label"], made["name"], made["output"]) == (
        "mcp_call",
        "time",
        "now",
        "21 degrees",
    )
    assert message["type"] == "message"


async def test_only_allowed_tools_are_offered() -> None:
    talk = await session(allowed_tools=["now"])
    respond(talk)
    assert [each.name for each in talk.call.asked[-1].request.tools] == ["time_now"]
    talk = await session(allowed_tools={"read_only": False})
    respond(talk)
    assert [each.name for each in talk.call.asked[-1].request.tools] == ["time_set"]


async def asked_for_approval() -> tuple[Talk, str]:
    talk = await session(require_approval={"always": {"tool_names": ["now"]}})
    talk.call.calls = (CALL,)
    done = respond(talk)
    (request,) = done["output"]
    assert (request["type"], request["name"], request["arguments"]) == ("mcp_approval_request", "now", "{}")
    assert not talk.call.effects(RunTool)
    return talk, request["id"]


def answer(talk: Talk, request_id: str, approve: bool, **more: Any) -> list[Any]:
    item = {"type": "mcp_approval_response", "approval_request_id": request_id, "approve": approve, **more}
    return talk.say("conversation.item.create", item=item)


async def test_a_tool_runs_once_the_client_has_approved_of_it() -> None:
    talk, request_id = await asked_for_approval()
    answer(talk, request_id, True)
    talk.run(10)
    assert len(talk.call.effects(RunTool)) == 1
    made, message = talk.all("response.done")[-1]["response"]["output"]
    assert (made["type"], made["approval_request_id"], made["output"]) == ("mcp_call", request_id, "21 degrees")
    assert message["type"] == "message"
    answer(talk, request_id, True)
    assert talk.error()["param"] == "item.approval_request_id"


async def test_a_tool_that_the_client_refuses_does_not_run_and_the_model_learns_why() -> None:
    talk, request_id = await asked_for_approval()
    answer(talk, request_id, False, reason="Not now.")
    talk.run(10)
    assert not talk.call.effects(RunTool)
    assert "response.mcp_call.failed" in talk.kinds()
    assert "Not now." in talk.call.asked[-1].request.messages[-1].content
    made, _ = talk.all("response.done")[-1]["response"]["output"]
    assert (made["type"], made["output"], made["error"]["type"]) == ("mcp_call", None, "tool_execution_error")


async def test_whatever_is_not_said_has_to_be_approved_of() -> None:
    talk = Talk(options=CallOptions(tools=NO_TOOLS.plus([tool("now")])))
    talk.update(tools=[{"type": "mcp", "server_label": "time"}])
    await asyncio.sleep(0)
    talk.call.calls = (CALL,)
    assert respond(talk)["output"][0]["type"] == "mcp_approval_request"


async def test_an_answer_to_nothing_is_explained() -> None:
    talk = await session()
    answer(talk, "item_x", True)
    assert talk.error()["code"] == "item_not_found"
    answer(talk, talk.type("Hello."), True)
    assert talk.error()["param"] == "item.approval_request_id"


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"server_label": "space"}, "invalid_value"),
        ({"server_url": "https://example.org/mcp"}, "invalid_value"),
        ({"server_label": "x", "server_url": "http://169.254.169.254/latest"}, "unsupported_parameter"),
        ({"server_label": "x", "server_url": "https://good.example@evil.example/"}, "unsupported_parameter"),
        ({"server_label": "x", "server_url": "file:///etc/passwd"}, "invalid_value"),
        ({"server_label": "x", "server_url": "http://["}, "invalid_value"),
        ({"server_label": "x", "server_url": "http://a]b/mcp"}, "invalid_value"),
        ({"server_label": "x", "server_url": "http://\u2100.example/"}, "invalid_value"),
        ({"server_label": "x", "server_url": "http://example.org:99999/"}, "invalid_value"),
        ({"server_label": "x", "server_url": "http:///mcp"}, "invalid_value"),
        ({"connector_id": "connector_gmail"}, "unsupported_parameter"),
        ({"colour": "red"}, "unknown_parameter"),
    ],
)
async def test_a_server_that_may_not_be_named_is_refused_by_name(wanted: dict[str, str], code: str) -> None:
    talk = await session(guests=("good.example",))
    talk.update(tools=[{**MCP, **wanted}])
    error = talk.error()
    assert error["code"] == code
    assert error["param"].startswith("session.tools")


async def test_servers_in_a_single_response_are_refused_by_name() -> None:
    talk = await session()
    talk.say("response.create", response={"tools": [MCP]})
    assert talk.error()["param"] == "response.tools"


async def test_a_client_brings_a_server_along_and_its_secrets_are_told_nobody() -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.pipeline.tools.mcp_server", "http", str(port)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL)  # noqa: ASYNC220
    try:
        tools = Toolbox(guest_hosts=("127.0.0.1",))
        talk = Talk(options=CallOptions(tools=tools))
        theirs = {**MCP, "server_label": "mine", "server_url": f"http://127.0.0.1:{port}/mcp", "allowed_tools": ["add"]}
        talk.update(tools=[{**theirs, "authorization": "secret", "headers": {"X-Key": "secret"}}])
        async with asyncio.timeout(PATIENCE_S):
            while not talk.all("conversation.item.done"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [each["name"] for each in talk.one("conversation.item.done")["item"]["tools"]] == ["add"]
        assert "secret" not in str(talk.told)
        result = await talk.options.tools.run(ToolCall("call_1", "mine_add", '{"a": 2, "b": 3}'))
        assert result.content == "5"
        talk.update(tools=[])
        assert talk.options.tools.specs == ()
        talk.session.close()
    finally:
        process.kill()
        process.wait()


async def test_a_server_that_is_not_there_is_told_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.realtime.mcp_tools.LIST_S", 0.2)
    talk = Talk(options=CallOptions(tools=Toolbox(guest_hosts=("*",))))
    talk.update(tools=[{**MCP, "server_label": "x", "server_url": f"http://127.0.0.1:{free_port()}/mcp"}])
    async with asyncio.timeout(PATIENCE_S):
        while not talk.all("mcp_list_tools.failed"):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert respond(talk)["status"] == "completed"
    talk.session.close()


async def test_a_server_that_fails_in_an_unknown_way_is_told_to_have_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("nobody expected this")

    monkeypatch.setattr("server.realtime.mcp_tools._opened", broken)
    talk = await session(guests=("good.example",), server_label="guest", server_url="https://good.example/mcp")
    async with asyncio.timeout(PATIENCE_S):
        while not talk.all("mcp_list_tools.failed"):  # noqa: ASYNC110 - it is told in a thread's time
            await asyncio.sleep(0.01)


class Mute:
    """A server that never tells its tools, nor ends the wait for them when it is closed."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()

    def tools(self) -> list[Tool]:
        return []

    async def listed(self, timeout_s: float) -> bool:
        self.asked.set()
        await asyncio.sleep(timeout_s)
        return False

    async def close(self) -> None:
        self.closed.set()


GUEST = {"server_label": "guest", "server_url": "https://good.example/mcp"}


@pytest.mark.parametrize("how", ["the call ends", "the session goes on without it"])
async def test_a_server_that_nobody_wants_any_more_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    mute = Mute()
    monkeypatch.setattr("server.realtime.mcp_tools._opened", lambda wanted: mute)
    before = asyncio.all_tasks()
    talk = await session(guests=("good.example",), **GUEST)
    async with asyncio.timeout(PATIENCE_S):
        await mute.asked.wait()
        # Its patience of 20 s has not begun to pass: what is to end ends within a few turns of the loop.
        if how == "the call ends":
            talk.session.close()
        else:
            talk.update(tools=[])
        for _ in range(5):
            await asyncio.sleep(0)
    assert mute.closed.is_set()
    assert asyncio.all_tasks() == before
    assert not talk.all("mcp_list_tools.completed")


async def test_what_a_client_says_once_its_call_is_over_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr("server.realtime.mcp_tools._opened", opened.append)
    talk = await session(guests=("good.example",))
    talk.session.close()
    before = asyncio.all_tasks()
    assert talk.update(tools=[{**MCP, **GUEST}]) == []
    response = {"conversation": "none", "output_modalities": ["text"], "instructions": "Say hello."}
    assert talk.say("response.create", response=response) == []
    assert asyncio.all_tasks() == before
    assert not opened
