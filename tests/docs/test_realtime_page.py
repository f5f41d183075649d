"""docs/realtime.md tells of every event, and each row of its tables is backed by a test that there is."""

import re
from pathlib import Path
from typing import Any

from openai.types.realtime import RealtimeServerEvent

from server.realtime.client_events import ClientEvent

ROW = re.compile(r"^\| (?P<events>`[^|]*`) \| .* \| `(?P<test>test_\w+)` \|$", re.MULTILINE)


def rows(repository: Path) -> dict[str, str]:
    """The test behind each event."""
    page = (repository / "docs" / "realtime.md").read_text()
    return {event: row["test"] for row in ROW.finditer(page) for event in re.findall(r"`([^`]+)`", row["events"])}


def kinds(union: object) -> set[str]:
    forms = getattr(union, "__args__", ())
    return {form.model_fields["type"].annotation.__args__[0] for form in forms}


def test_each_row_names_a_test_that_there_is(repository: Path) -> None:
    told = rows(repository)
    assert len(told) > 40
    sources = [*repository.glob("tests/server/realtime/*.py"), *repository.glob("tests/e2e/test_realtime*.py")]
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", "".join(map(Path.read_text, sources)), re.MULTILINE))
    assert sorted(set(told.values()) - defined) == []


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
