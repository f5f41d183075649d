"""The API's own description: it is whole, it is true, and a browser can read it."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest

from tests.e2e.chromium import chromium, visit
from tests.e2e.conftest import RunningServer

REFUSED = (
    "/v1/realtime/calls/{call_id}/{verb}",
    "/v1/realtime/translations",
    "/v1/realtime/translations/client_secrets",
)
"""Operations of OpenAI's that are there to say that this server does not do them."""

OFFSETS = {"core": 0, "llm": 1, "tts": 2, "stt": 3}


def port_url(server: RunningServer, service: str) -> str:
    """Where a service is."""
    host, _, port = server.url.rpartition(":")
    return f"{host}:{int(port) + OFFSETS[service]}"


def description(server: RunningServer, service: str) -> dict[str, Any]:
    with urlopen(f"{port_url(server, service)}/openapi.json", timeout=10) as response:
        return dict(json.load(response))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("service", OFFSETS)
def test_every_operation_says_what_it_is_takes_and_gives(server: RunningServer, service: str) -> None:
    document = description(server, service)
    assert document["openapi"].startswith("3.1")
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    for name, operation in operations(document):
        assert operation["summary"], name
        assert name.endswith(REFUSED) or any(status.startswith("2") for status in operation["responses"]), name
        path_names = set(re.findall(r"\{(\w+)\}", name))
        described = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert path_names == described, name


@pytest.mark.parametrize("service", OFFSETS)
def test_no_reference_leads_nowhere_and_no_schema_is_left_over(server: RunningServer, service: str) -> None:
    document = description(server, service)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert named == set(document["components"]["schemas"])


def test_errors_are_described_in_the_one_form(server: RunningServer) -> None:
    for service in OFFSETS:
        for name, operation in operations(description(server, service)):
            for status, answer in operation["responses"].items():
                if status.startswith("4"):
                    schema = answer["content"]["application/json"]["schema"]
                    assert schema == {"$ref": "#/components/schemas/ErrorBody"}, (name, status)


def test_websockets_are_told_of(server: RunningServer) -> None:
    assert "/ws/stream/{session_id}" in description(server, "stt")["info"]["description"]
    assert "/ws/audio" in description(server, "core")["info"]["description"]


@pytest.mark.parametrize("service", OFFSETS)
def test_answers_are_as_described(server: RunningServer, service: str) -> None:
    # Half a second of imports, which would be in every collection.
    from bench.api_fuzz import fuzz

    report = fuzz(port_url(server, service), examples=2)
    assert report.examples >= report.operations
    assert not report.failures, "\n".join(f"{name}: {problem}" for name, problem in report.failures.items())


async def test_the_page_shows_every_operation_and_sends_requests(server: RunningServer) -> None:
    wanted = {operation["operationId"] for _, operation in operations(description(server, "core"))}
    requested: list[str] = []
    async with chromium() as browser, visit(browser, f"{server.url}/docs") as page:
        page.on("request", lambda request: requested.append(request.url))
        await page.locator(".operation").first.wait_for()
        shown = await page.locator(".operation").evaluate_all("all => all.map((each) => each.id)")
        assert set(shown) == wanted
        listed = page.locator("#list_calls")
        await listed.locator("summary").click()
        await listed.get_by_role("button", name="Send").click()
        await listed.get_by_text("200 OK").wait_for()
        assert '"calls"' in await listed.locator("pre").inner_text()
    assert [url for url in requested if not url.startswith(server.url)] == []
