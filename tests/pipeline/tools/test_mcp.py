"""MCP servers for real: programs of this machine and one behind HTTP, which fail in the ways that servers fail."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import pytest_asyncio
from pydantic import SecretStr, ValidationError

from pipeline.engines.protocols import ToolCall
from pipeline.tools.mcp.declaration import McpServer
from pipeline.tools.mcp.servers import McpServers
from pipeline.tools.toolbox import MAX_RESULT, Toolbox, ToolResult
from tests.serving import free_port

PATIENCE_S = 100.0
ROOT = str(Path(__file__).parents[3])


def program(name: str = "t", **more: object) -> McpServer:
    told: dict[str, object] = {
        "name": name,
        "command": sys.executable,
        "args": ("-m", "tests.pipeline.tools.mcp_server"),
        "cwd": ROOT,
    }
    return McpServer(**{**told, **more})  # type: ignore[arg-type]


async def opened(*servers: McpServer) -> tuple[Toolbox, McpServers]:
    source = McpServers(servers)
    box = Toolbox(source=source)
    box.start()
    assert await source.listed(PATIENCE_S), source.problems
    return box, source


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box() -> AsyncIterator[Toolbox]:
    with patch("pipeline.tools.mcp.connection.REFRESH_S", 1.0):
        made, _ = await opened(program(env={"MINE": SecretStr("1")}, timeout_s=100))
        yield made
        await made.close()


async def ran(box: Toolbox, name: str, arguments: str = "{}") -> ToolResult:
    return await box.run(ToolCall("call_1", name, arguments))


def names(box: Toolbox) -> list[str]:
    return [spec.name for spec in box.now().specs]


async def until_listed(box: Toolbox, name: str, *, there: bool = True) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (name in names(box)) is not there:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.asyncio(loop_scope="module")
async def test_tools_of_a_program_are_offered_under_its_name_and_run(box: Toolbox) -> None:
    assert {"t_add", "t_wait", "t_grow_it"} <= set(names(box))
    result = await ran(box.now(), "t_add", '{"a": 2, "b": 3}')
    assert (result.content, result.failed) == ("5", False)


@pytest.mark.asyncio(loop_scope="module")
async def test_what_a_tool_does_not_declare_never_reaches_it(box: Toolbox) -> None:
    result = await ran(box.now(), "t_add", '{"a": 2, "b": 3, "c": 4}')
    assert result.failed
    assert "'c' was unexpected" in result.content


@pytest.mark.asyncio(loop_scope="module")
async def test_a_program_gets_nothing_of_morgans_environment(box: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORGAN_API_KEYS", "secret-secret-secret-secret")
    other, _ = await opened(program("fresh"))
    kept = set((await ran(other.now(), "fresh_environment")).content.split())
    await other.close()
    assert "MORGAN_API_KEYS" not in kept
    assert kept <= {"HOME", "LOGNAME", "PATH", "SHELL", "TERM", "USER", "LC_CTYPE"}
    assert "MINE" in (await ran(box.now(), "t_environment")).content.split()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_result_has_an_end(box: Toolbox) -> None:
    result = await ran(box.now(), "t_endless")
    assert len(result.content) == MAX_RESULT


@pytest.mark.asyncio(loop_scope="module")
async def test_a_tool_that_fails_says_why(box: Toolbox) -> None:
    result = await ran(box.now(), "t_fail")
    assert result.failed


@pytest.mark.asyncio(loop_scope="module")
async def test_tools_that_come_later_are_offered_to_later_conversations(box: Toolbox) -> None:
    before = box.now()
    await ran(before, "t_grow_it")
    await until_listed(box, "t_later")
    assert "t_later" not in [spec.name for spec in before.specs]
    assert (await ran(box.now(), "t_later")).content == "grown"


@pytest.mark.asyncio(loop_scope="module")
async def test_a_call_that_is_given_up_does_not_hold_up_the_next(box: Toolbox) -> None:
    waiting = asyncio.create_task(ran(box.now(), "t_wait", '{"seconds": 600}'))
    await asyncio.sleep(0.2)
    waiting.cancel()
    assert (await ran(box.now(), "t_add", '{"a": 1, "b": 1}')).content == "2"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("end", ["t_die", "t_huge"])
async def test_a_program_that_ends_or_says_too_much_is_begun_anew(box: Toolbox, end: str) -> None:
    result = await ran(box.now(), end)
    assert result.failed
    await until_listed(box, "t_add")
    assert (await ran(box.now(), "t_add", '{"a": 1, "b": 1}')).content == "2"


async def test_a_server_that_is_not_there_costs_the_others_nothing() -> None:
    source = McpServers([program(), McpServer(name="gone", command="/no/such/program"), dead_http()])
    box = Toolbox(source=source)
    box.start()
    await until_listed(box, "t_add")
    assert (await ran(box.now(), "t_add", '{"a": 1, "b": 1}')).content == "2"
    assert "FileNotFoundError" in source.problems["gone"]
    assert not [name for name in names(box) if name.startswith(("gone", "far"))]
    await box.close()
    assert (await ran(box.now(), "t_add", '{"a": 1, "b": 1}')).failed


def dead_http() -> McpServer:
    return McpServer(name="far", url=f"http://127.0.0.1:{free_port()}/mcp")


async def test_which_tools_are_offered_and_how_is_for_the_owner_to_say() -> None:
    box, _ = await opened(program(tools=("add", "wait"), confirm=("add",), background=("wait",), timeout_s=300))
    now = box.now()
    assert [spec.name for spec in now.specs] == ["t_add", "t_wait"]
    add, wait = now.find("t_add"), now.find("t_wait")
    assert add is not None
    assert wait is not None
    assert (add.confirm, add.background, add.timeout_s) == (True, False, 120)
    assert (wait.confirm, wait.background, wait.timeout_s) == (False, True, 300)
    assert [spec.name for spec in now.in_writing().specs] == ["t_wait"]
    await box.close()


@pytest.fixture
def http_server() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "tests.pipeline.tools.mcp_server", "http", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    yield f"http://127.0.0.1:{port}/mcp"
    process.kill()
    process.wait()


async def test_a_server_behind_http_is_found_when_it_comes_and_lost_when_it_goes(http_server: str) -> None:
    box, source = await opened(McpServer(name="far", url=http_server))
    assert (await ran(box.now(), "far_add", '{"a": 2, "b": 3}')).content == "5"
    assert (await ran(box.now(), "far_huge")).failed
    await until_listed(box, "far_add")
    now = box.now()
    assert (await ran(now, "far_die")).failed
    await until_listed(box, "far_add", there=False)
    assert (await ran(now, "far_add", '{"a": 2, "b": 3}')).failed
    assert source.problems["far"]
    await box.close()


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"name": "x"}, "either command or url"),
        ({"name": "x", "command": "a", "url": "http://b"}, "either command or url"),
        ({"name": "x", "url": "http://b", "args": ("c",)}, "go with command"),
        ({"name": "x", "command": "a", "headers": {"b": "c"}}, "go with url"),
        ({"name": "a b", "command": "a"}, "pattern"),
        ({"name": "x", "command": "a", "timeout_s": 300}, "in the background"),
    ],
)
def test_a_server_that_cannot_be_is_explained(told: dict[str, object], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        McpServer(**told)  # type: ignore[arg-type]
