"""The private names of aiohttp that server/http/upstream.py touches are what they were: one test for each."""

import inspect
from typing import Any

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

METHODS = [
    (RequestHandler, "_handle_request", ["self", "request", "start_time", "request_handler"]),
    (web.AppRunner, "_make_server", ["self"]),
    (web.Application, "_handle", ["self", "request"]),
]


@pytest.mark.parametrize(("owner", "name", "parameters"), METHODS)
def test_a_method_takes_what_it_took(owner: type[Any], name: str, parameters: list[str]) -> None:
    changed = f"{owner.__module__}.{owner.__qualname__}.{name} changed, see server/http/upstream.py"
    method = getattr(owner, name, None)
    assert method is not None, changed
    assert list(inspect.signature(method).parameters) == parameters, changed
    assert inspect.iscoroutinefunction(method), changed


async def test_a_server_keeps_the_options_of_its_connections() -> None:
    runner = web.AppRunner(web.Application(), keepalive_timeout=3.5, lingering_time=1.5)
    await runner.setup()
    changed = "aiohttp.web.Server._kwargs changed, see server/http/upstream.py"
    kept = getattr(runner.server, "_kwargs", {})
    assert (kept.get("keepalive_timeout"), kept.get("lingering_time")) == (3.5, 1.5), changed
    await runner.cleanup()


async def test_a_site_has_the_sockets_that_it_listens_on() -> None:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sockets = getattr(getattr(site, "_server", None), "sockets", ())
    assert len(sockets) == 1, "aiohttp.web.TCPSite._server changed, see server/http/upstream.py"
    await runner.cleanup()


async def test_a_connection_waits_for_the_rest_of_a_body_by_a_time_of_its_own() -> None:
    runner = web.AppRunner(web.Application(), lingering_time=1.5)
    await runner.setup()
    assert runner.server is not None
    connection = runner.server()
    changed = "aiohttp.web_protocol.RequestHandler._lingering_time changed, see server/http/upstream.py"
    assert getattr(connection, "_lingering_time", None) == 1.5, changed
    await runner.cleanup()
