"""Tools are run for real: functions in threads of their own, endpoints over HTTP on loopback."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from pipeline.engines.protocols import ToolCall
from pipeline.tools.declaration import ToolDeclaration
from pipeline.tools.errors import ToolSetupError
from pipeline.tools.toolbox import CUT, MAX_RESULT, Toolbox, ToolResult
from tests.pipeline.tools import functions

NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}


def of_one(name: str, kind: str) -> dict[str, Any]:
    """A schema with one property."""
    return {"type": "object", "properties": {name: {"type": kind}}}


SECONDS = of_one("seconds", "number")


def declared(function: str, **more: Any) -> ToolDeclaration:
    return ToolDeclaration(
        name=function, description="x", function=f"tests.pipeline.tools.functions:{function}", **more
    )


async def ran(box: Toolbox, name: str, arguments: str = "{}") -> ToolResult:
    return await box.run(ToolCall("call_1", name, arguments))


async def test_a_function_gets_its_arguments_in_a_thread_of_its_own_and_returns_json() -> None:
    result = await ran(Toolbox([declared("add", parameters=NUMBERS)]), "add", '{"a": 2, "b": 3}')
    assert (result.content, result.failed) == ('{"sum": 5}', False)
    assert functions.ran_in[-1] == "tool-add"


async def test_an_async_function_does_not_run_on_the_loop_of_the_calls() -> None:
    result = await ran(
        Toolbox([declared("weather", parameters=of_one("city", "string"))]), "weather", '{"city": "Paris"}'
    )
    assert result.content == "It is sunny in Paris"
    assert functions.ran_in[-1] == "tool-weather"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "are not JSON"),
        ("[]", "not of type 'object'"),
        ('{"a": 2}', "'b' is a required property"),
        ('{"a": 2, "b": "x"}', "b: 'x' is not of type 'integer'"),
        ('{"a": 2, "b": 3, "c": 4}', "'c' was unexpected"),
        ("[" * 5_000, "are not JSON"),
        (" " * 40_000, "longer than"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_to_the_model_and_run_nothing(arguments: str, told: str) -> None:
    before = len(functions.ran_in)
    result = await ran(Toolbox([declared("add", parameters=NUMBERS)]), "add", arguments)
    assert result.failed
    assert told in result.content
    assert len(functions.ran_in) == before


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        (of_one("order", "integer"), '{"order": 7, "as_admin": true}'),
        ({"type": "object"}, '{"as_admin": true}'),
        (of_one("order", "integer"), '{"order": 7, "self": 1}'),
        (
            {
                "type": "object",
                "properties": {"order": {"$ref": "#/$defs/order"}},
                "$defs": {"order": of_one("number", "integer")},
            },
            '{"order": {"number": 7}, "as_admin": true}',
        ),
        (
            {"type": "object", "properties": {"order": of_one("number", "integer")}},
            '{"order": {"number": 7, "as_admin": true}}',
        ),
        (
            {"type": "object", "properties": {"orders": {"type": "array", "items": of_one("number", "integer")}}},
            '{"orders": [{"number": 7, "as_admin": true}]}',
        ),
        ({"type": "object", "allOf": [of_one("order", "integer")]}, '{"order": 7, "as_admin": true}'),
    ],
)
async def test_an_argument_that_no_schema_declares_reaches_no_function(
    parameters: dict[str, Any], arguments: str
) -> None:
    functions.got.clear()
    result = await ran(Toolbox([declared("whatever", parameters=parameters)]), "whatever", arguments)
    assert (result.failed, functions.got) == (True, [])
    assert "was unexpected" in result.content


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        ({"type": "object", "additionalProperties": {"type": "string"}}, '{"city": "Paris"}'),
        ({"type": "object", "patternProperties": {"^x_": {"type": "integer"}}}, '{"x_1": 1}'),
        ({"type": "object", "properties": {"where": {"type": "object"}}}, '{"where": {"city": "Paris"}}'),
        ({"type": "object", "$ref": "#/$defs/a", "$defs": {"a": of_one("city", "string")}}, '{"city": "Paris"}'),
        ({"type": "object", "anyOf": [of_one("city", "string"), of_one("town", "string")]}, '{"town": "Ulm"}'),
    ],
)
async def test_an_argument_that_a_schema_declares_in_any_way_gets_through(
    parameters: dict[str, Any], arguments: str
) -> None:
    functions.got.clear()
    assert not (await ran(Toolbox([declared("whatever", parameters=parameters)]), "whatever", arguments)).failed
    assert functions.got == [json.loads(arguments)]


async def test_an_unknown_tool_is_answered_with_the_known_ones() -> None:
    result = await ran(Toolbox([declared("add"), declared("weather")]), "subtract")
    assert (result.failed, result.content) == (True, "Error: there is no tool 'subtract'; there are add, weather")


async def test_what_a_function_raises_is_told_to_the_model() -> None:
    result = await ran(Toolbox([declared("broken")]), "broken")
    assert result.content == "Error: the tool failed: LookupError: no such thing"


async def test_a_result_that_is_no_json_is_a_failure() -> None:
    assert (await ran(Toolbox([declared("no_json")]), "no_json")).failed


async def test_a_long_result_is_cut_and_says_so() -> None:
    result = await ran(Toolbox([declared("endless")]), "endless")
    assert len(result.content) == MAX_RESULT
    assert result.content.endswith(CUT)


async def test_a_function_that_blocks_is_given_up_at_its_deadline_and_holds_nobody_up() -> None:
    box = Toolbox([declared("block", parameters=SECONDS, timeout_s=0.2)])
    functions.unblocked.clear()
    result, turns = await asyncio.gather(ran(box, "block", '{"seconds": 100}'), _turns(0.2))
    assert result.content == "Error: the tool took longer than 0.2 s"
    assert turns > 3
    functions.unblocked.set()


async def _turns(seconds: float) -> int:
    """How often the loop came round."""
    deadline, turns = time.monotonic() + seconds, 0
    while time.monotonic() < deadline:
        await asyncio.sleep(0.005)
        turns += 1
    return turns


async def test_cancelling_stops_an_async_function() -> None:
    functions.cancelled.clear()
    running = asyncio.create_task(ran(Toolbox([declared("wait", parameters=SECONDS)]), "wait", '{"seconds": 30}'))
    await asyncio.sleep(0.1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await asyncio.to_thread(functions.cancelled.wait, 5)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("no_such_module_here:f", "cannot be imported"),
        ("tests.pipeline.tools.functions:nothing", "is not there"),
        ("tests.pipeline.tools.functions:ran_in", "is no function"),
    ],
)
def test_a_function_that_is_not_there_stops_the_start(function: str, told: str) -> None:
    with pytest.raises(ToolSetupError, match=told):
        Toolbox([ToolDeclaration(name="x", description="x", function=function)])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({}, "either url or function"),
        ({"url": "http://localhost/", "function": "a:b"}, "either url or function"),
        ({"url": "ftp://localhost/"}, "https\\?"),
        ({"function": "a"}, "module:function"),
        ({"function": "a:b", "parameters": {"type": "array"}}, "must describe an object"),
        ({"function": "a:b", "parameters": {"type": 7}}, "is no JSON schema"),
        ({"function": "a:b", "headers": {"A": "b"}}, "headers go with url"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        ToolDeclaration(name="x", description="x", **wrong)


class Endpoint:
    """A tool over HTTP, on loopback."""

    def __init__(self) -> None:
        self.got: list[tuple[Any, str]] = []
        self.hung_up = asyncio.Event()
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.got.append((await request.json(), request.headers.get("Authorization", "")))
        return web.json_response({"temperature": 21})

    async def refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=404, text="no such city")

    async def hang(self, request: web.Request) -> web.Response:
        try:
            await asyncio.sleep(30)
        finally:
            self.hung_up.set()
        return web.Response()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    endpoint, app = Endpoint(), web.Application()
    app.router.add_post("/answer", endpoint.answer)
    app.router.add_post("/refuse", endpoint.refuse)
    app.router.add_post("/hang", endpoint.hang)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield endpoint
    await runner.cleanup()


async def test_an_endpoint_gets_the_arguments_and_its_answer_is_the_result(endpoint: Endpoint) -> None:
    headers = {"Authorization": "Bearer secret"}
    tool = ToolDeclaration(
        name="weather",
        description="x",
        url=f"{endpoint.url}/answer",
        headers=headers,
        parameters=of_one("city", "string"),
    )
    box = Toolbox([tool])
    result = await ran(box, "weather", '{"city": "Paris"}')
    await box.close()
    assert (result.content, result.failed) == ('{"temperature": 21}', False)
    assert endpoint.got == [({"city": "Paris"}, "Bearer secret")]
    assert "secret" not in repr(tool)


async def test_an_endpoint_that_refuses_or_is_gone_is_told_to_the_model(endpoint: Endpoint) -> None:
    box = Toolbox(
        [
            ToolDeclaration(name="refuse", description="x", url=f"{endpoint.url}/refuse"),
            ToolDeclaration(name="gone", description="x", url="http://127.0.0.1:9/"),
        ]
    )
    refused, gone = await ran(box, "refuse"), await ran(box, "gone")
    await box.close()
    assert refused.content == "Error: the tool answered with status 404: no such city"
    assert "cannot be reached" in gone.content


async def test_an_endpoint_that_hangs_is_hung_up_on_at_the_deadline(endpoint: Endpoint) -> None:
    box = Toolbox([ToolDeclaration(name="hang", description="x", url=f"{endpoint.url}/hang", timeout_s=0.2)])
    result = await ran(box, "hang")
    assert result.content == "Error: the tool took longer than 0.2 s"
    async with asyncio.timeout(5):
        await endpoint.hung_up.wait()
    await box.close()
