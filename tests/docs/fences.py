"""Fenced blocks of code in Markdown, as the README and docs/ have them."""

import re
from dataclasses import dataclass
from pathlib import Path

LANGUAGES = ("bash", "python", "javascript")

FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"^(?:#|//)> (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code.

    Attributes:
        page: file name.
        line: of the opening fence, from 1.
        language: of the info string; empty for none.
        not_run: why the tests cannot run it, from `not-run: REASON` in the info string; empty where they do.
        code: between the fences.
    """

    page: str
    line: int
    language: str
    not_run: str
    code: str

    @property
    def expected(self) -> list[str]:
        """What has to occur in its output, in this order: comments `#> WORDS`, `//> WORDS`."""
        return EXPECTED.findall(self.code)


def block_that_begins(page: Path, first: str) -> str:
    """The code of the block whose first line begins with this."""
    return next(block.code for block in blocks(page) if block.code.startswith(first))


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for fence in FENCE.finditer(text):
        language, info, code = fence.groups()
        reason = info.partition("not-run:")[2].strip()
        found.append(Block(page.name, text.count("\n", 0, fence.start()) + 1, language, reason, code))
    return found
