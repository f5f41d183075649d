"""Files as documents: their text by pages or headings, in whatever of a few forms it is.

Read where the file is, by its owner's command, and not by the server: a PDF can be made to take hours and gigabytes.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from persistence.values import Passage
from pipeline.text.words import SENTENCE_ENDS

MAX_FILE = 64 * 1024 * 1024
"""Bytes of a file."""

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")

MOST_CARRIED = 400
"""Characters of the beginning of a sentence that are read with its end, on the next page."""

MOST_PLACE = 200
"""Characters of the headings that a passage is found under."""

_SENTENCE_END = re.compile(rf"[{''.join(SENTENCE_ENDS)}:]\W*(?:\s|$)")

_BLOCKS = ("p", "li", "dt", "dd", "blockquote", "pre", "td", "th", "figcaption", "address")
_NOT_READ = ("script", "style", "noscript", "template", "svg", "nav", "head", "iframe")


_UNDERLINE = re.compile(r"([=\-~^*#\"'+])\1{2,}")


class Headings:
    """Under which headings a text stands, the outer ones first: "Dishwasher, Faults".

    Args:
        title: of the document, which is said beside them anyway.

    Attributes:
        place: of what comes now.
    """

    def __init__(self, title: str) -> None:
        self.place = ""
        self._title = title
        self._levels: dict[int, str] = {}

    def begin(self, level: int, heading: str) -> None:
        """A heading of a level, 0 being the outermost."""
        self._levels = {each: name for each, name in self._levels.items() if each < level}
        self._levels[level] = "" if heading == self._title else heading
        self.place = ", ".join(name for name in self._levels.values() if name)[:MOST_PLACE]


class DocumentError(Exception):
    """A file cannot be read as a document; the message says why."""


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """What a file says.

    Attributes:
        title: its own, or the name of the file.
        sections: its text by pages or headings.
    """

    title: str
    sections: tuple[Passage, ...]


def readable(path: Path) -> bool:
    """Whether a file has a form that can be read, by its name."""
    return path.suffix.lower() in _READERS


def read_document(path: Path) -> ReadDocument:
    """Read a file.

    Raises:
        DocumentError: it is too long, of another form, damaged, locked, or there is no text in it.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DocumentError(f"{path.name}: only {', '.join(sorted(_READERS))} can be read")
    try:
        if path.stat().st_size > MAX_FILE:
            raise DocumentError(f"{path.name} is larger than {MAX_FILE // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise DocumentError(f"{path.name}: {error.strerror}") from error
    title, sections = reader(data)
    kept = tuple(each for each in sections if each.content.strip())
    if not kept:
        raise DocumentError(f"{path.name}: there is no text in it (pictures of pages are not read)")
    return ReadDocument(title.strip() or path.stem, kept)


def _text(data: bytes) -> tuple[str, list[Passage]]:
    """By headings that are underlined, as in notes and reStructuredText; a text without them is one section."""
    place = Headings("")
    lines, sections, marks = list[str](), list[Passage](), list[str]()
    for line in _decoded(data).splitlines():
        mark = line.strip()[:1]
        above = lines[-1].strip() if lines else ""
        if _UNDERLINE.fullmatch(line.strip()) and above and len(line.strip()) >= len(above):
            # Which mark stands for which level is told by the order in which they come.
            if mark not in marks:
                marks.append(mark)
            sections.append(Passage("\n".join(lines[:-1]), place.place))
            place.begin(marks.index(mark), above)
            lines = []
        else:
            lines.append(line)
    sections.append(Passage("\n".join(lines), place.place))
    return "", sections


def _decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 where a mark says so; anything else as Windows writes it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _markdown(data: bytes) -> tuple[str, list[Passage]]:
    """By headings; the title is the first one."""
    from markdown_it import MarkdownIt

    html = MarkdownIt("commonmark").enable("table").render(_decoded(data))
    return _html_text(html)


def _html(data: bytes) -> tuple[str, list[Passage]]:
    return _html_text(_decoded(data))


def _html_text(html: str) -> tuple[str, list[Passage]]:
    """By headings; the title is the page's own, or the first heading."""
    from bs4 import BeautifulSoup, Tag

    page = BeautifulSoup(html, "html.parser")
    title = page.title.get_text(" ", strip=True) if page.title else ""
    for unread in page(_NOT_READ):
        unread.decompose()
    for line_break in page("br"):
        line_break.replace_with("\n")
    for table in page("table"):
        _read_rows(page, table)
    first = page.find(HEADINGS)
    title = title or (first.get_text(" ", strip=True) if isinstance(first, Tag) else "")
    place = Headings(title)
    lines, sections = list[str](), list[Passage]()
    for kind, text in _blocks(page):
        if kind in HEADINGS:
            sections.append(Passage("\n\n".join(lines), place.place))
            place.begin(HEADINGS.index(kind), text)
            lines = []
        else:
            lines.append(text)
    sections.append(Passage("\n\n".join(lines), place.place))
    return title, sections


def _read_rows(page: Any, table: Any) -> None:
    """Put a paragraph in the place of each row of a table: what is in its cells, each behind the head of its column."""
    rows = [row for row in table("tr") if row.find("table") is None]
    heads: list[str] = []
    for number, row in enumerate(rows):
        cells = [" ".join(cell.get_text(" ").split()) for cell in row(("td", "th"))]
        if number == 0 and row.find("td") is None:
            heads = cells
            row.decompose()
            continue
        named = [f"{head}: {cell}" if head else cell for head, cell in zip_longest(heads, cells, fillvalue="") if cell]
        paragraph = page.new_tag("p")
        paragraph.string = "; ".join(named)
        row.replace_with(paragraph)


def _blocks(page: object) -> Iterator[tuple[str, str]]:
    """Headings and blocks of text in order, each with its tag; of blocks in blocks the inner ones."""
    from bs4 import BeautifulSoup, Tag
    from bs4.element import NavigableString

    assert isinstance(page, BeautifulSoup)
    line: list[str] = []
    within = kind = ""
    for element in page.descendants:
        if isinstance(element, Tag):
            continue
        if type(element) is not NavigableString or not element.strip():
            continue
        block = next((each for each in element.parents if each.name in (*HEADINGS, *_BLOCKS)), element.parent)
        key = f"{id(block)}"
        if key != within and line:
            yield kind, " ".join("".join(line).split())
            line = []
        within = key
        kind = block.name if block is not None else ""
        line.append(element)
    if line:
        yield kind, " ".join("".join(line).split())


def _pdf(data: bytes) -> tuple[str, list[Passage]]:
    """By pages."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError("the PDF is locked with a password")
        title = str(reader.metadata.title or "") if reader.metadata else ""
        texts = _whole_sentences([page.extract_text() for page in reader.pages])
        pages = [Passage(text, f"page {number}") for number, text in enumerate(texts, 1)]
    except DocumentError:
        raise
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError) as error:
        # Of a damaged file pypdf raises whatever it stumbles over.
        raise DocumentError(f"the PDF cannot be read: {type(error).__name__}: {str(error)[:200]}") from error
    return title, pages


def _whole_sentences(pages: list[str]) -> list[str]:
    """The pages, each with the beginning of the sentence that it begins in the middle of."""
    whole: list[str] = []
    carried = ""
    for page in pages:
        text = f"{carried} {page.strip()}".strip()
        ends = [found.end() for found in _SENTENCE_END.finditer(text)]
        begun = text[ends[-1] :].strip() if ends else ""
        carried = begun if begun and len(begun) <= MOST_CARRIED else ""
        whole.append(text[: -len(carried)] if carried else text)
    if carried:
        whole[-1] += carried
    return whole


_READERS = {
    ".txt": _text,
    ".text": _text,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".pdf": _pdf,
}
