"""The drawing of `server` in architecture.md has every room that there is, and the page names what lies at its root."""

import re
from pathlib import Path

import pytest


@pytest.fixture
def rooms(repository: Path) -> str:
    """The chapter "The rooms"."""
    page = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    return page.partition("\n## The rooms\n")[2].partition("\n## ")[0]


def test_every_room_of_the_server_is_drawn(repository: Path, rooms: str) -> None:
    drawing = rooms.partition("```mermaid\n")[2].partition("```")[0]
    there = {path.parent.name for path in (repository / "server").glob("*/__init__.py")}
    drawn = set(re.findall(r"\w+", re.sub(r"\[.*?\]", "", drawing)))
    assert there - drawn == {"testing"}, "which stands beside it all"
    assert "`testing/`" in rooms


def test_every_module_at_the_root_of_the_server_is_named(repository: Path, rooms: str) -> None:
    there = [path.name for path in (repository / "server").glob("*.py") if path.name != "__init__.py"]
    assert [name for name in there if f"`{name}`" not in rooms] == []
