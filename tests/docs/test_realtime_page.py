"""docs/realtime.md tells of every event, and each row of its tables is backed by tests that are about its events."""

import ast
import re
from pathlib import Path
from typing import Any

from openai.types.realtime import RealtimeServerEvent

from server.realtime.client_events import ClientEvent

ROW = re.compile(r"^\| (?P<events>`[^|]*`) \| .* \| (?P<tests>`test_\w+`(?:, `test_\w+`)*) \|$", re.MULTILINE)


def rows(repository: Path) -> dict[str, list[str]]:
    """The tests behind each event."""
    page = (repository / "docs" / "realtime.md").read_text()
    named = re.compile(r"`([^`]+)`")
    return {event: named.findall(row["tests"]) for row in ROW.finditer(page) for event in named.findall(row["events"])}


def sources(repository: Path) -> dict[str, str]:
    """The code of each test of a session, with that of the functions of its module that it calls."""
    found: dict[str, str] = {}
    for path in [*repository.glob("tests/server/realtime/*.py"), *repository.glob("tests/e2e/test_realtime*.py")]:
        text = path.read_text()
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        functions = {node.name: node for node in ast.parse(text).body if isinstance(node, kinds)}
        code = {name: ast.get_source_segment(text, node) or "" for name, node in functions.items()}
        for name, node in functions.items():
            called = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)} & set(code)
            found[name] = code[name] + "".join(code[each] for each in called)
    return found


def kinds(union: object) -> set[str]:
    forms = getattr(union, "__args__", ())
    return {form.model_fields["type"].annotation.__args__[0] for form in forms}


def test_each_row_names_tests_that_are_about_its_events(repository: Path) -> None:
    told, code = rows(repository), sources(repository)
    assert len(told) > 40
    assert sorted({test for tests in told.values() for test in tests} - set(code)) == []
    assert [event for event, tests in told.items() if not any(event in code[test] for test in tests)] == []


def test_every_test_that_the_page_names_is_there(repository: Path) -> None:
    page = (repository / "docs" / "realtime.md").read_text()
    code = "".join(path.read_text() for path in repository.glob("tests/**/test_*.py"))
    assert [name for name in re.findall(r"`(test_\w+)`", page) if f"def {name}(" not in code] == []


SERVER_EVENTS: Any = RealtimeServerEvent


def test_every_event_is_told_of(repository: Path) -> None:
    told, page = rows(repository), (repository / "docs" / "realtime.md").read_text()
    theirs = kinds(SERVER_EVENTS.__args__[0]) | kinds(ClientEvent)
    never = page[page.index("Never sent:") :]
    missing = {event for event in theirs - set(told) if f"`{event}`" not in never}
    assert missing == set()


def test_every_event_that_is_sent_is_in_the_table(repository: Path) -> None:
    sources = "".join(path.read_text() for path in (repository / "server" / "realtime").glob("*.py"))
    sent = set(re.findall(r'(?:yield|_tell\(|_tell_one\(sink,|event\()\s*"((?:\w+\.)+\w+)"', sources))
    assert len(sent) > 20
    assert sorted(event for event in sent - set(rows(repository)) if not event.startswith("morgan.")) == []
