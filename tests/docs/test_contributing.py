"""CONTRIBUTING.md answers a stranger's questions with paths that there are, and its neighbours link to files."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md", "docs/glossary.md")),
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]


def answers() -> list[tuple[str, str]]:
    """The questions of "Where things are", each with its answer."""
    section = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Where things are\n")[2]
    rows = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \|$", section.partition("\n## ")[0], re.MULTILINE)
    return [(question, answer) for question, answer in rows]


def test_there_are_fifteen_questions() -> None:
    assert len(answers()) >= 15


@pytest.mark.parametrize(("question", "answer"), answers())
def test_an_answer_is_there(question: str, answer: str) -> None:
    paths = [ROOT / path for path in re.findall(r"`([\w./]+/[\w./]+)`", answer)]
    assert paths
    assert [path for path in paths if not path.exists()] == []
    for name in re.findall(r"\(`(\w+)`\)", answer):
        assert re.search(rf"\b(def {name}|{name}:)", paths[0].read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
