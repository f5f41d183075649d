"""docs/telephone.md has what `tests/server/telephone/test_asterisk.py` runs where there is an Asterisk."""

from pathlib import Path

from tests.docs.fences import block_that_begins


def test_the_page_has_the_configuration_of_a_pbx(repository: Path) -> None:
    page = repository / "docs" / "telephone.md"
    phone, plan = block_that_begins(page, "[udp]"), block_that_begins(page, "[globals]")
    assert "context=morgan" in phone
    # What the test puts others in the place of.
    assert "0.0.0.0:5060" in phone
    assert all(place in plan for place in ("http://127.0.0.1:8000", "the-key", "127.0.0.1:9092", ",1,Answer()\n"))
