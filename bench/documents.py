"""Answers from documents: questions to a document of fifty pages, and whether the right passage reaches the prompt.

The document is a PDF, made here of Morgan's own documentation and read back with `morgan memory add`'s own code; the
stores and the embedding model are real. For each question: whether a passage with the expected words is among those
that the language model would be told, which one, and how long that took.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import textwrap
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persistence.memory import Memory
from pipeline.call.context import Context
from pipeline.call.memories import Quotation
from pipeline.text.normalise import normalise
from server.engines.factory import build_embedder
from server.memory.document_files import read_document
from server.memory.documents import add_document
from server.memory.door import persistence_config
from server.memory.recall import MemoryEmbedder, PastReminder, RecallLimits
from server.settings import Settings, load_settings

ROOT = Path(__file__).parents[1]
QUESTIONS = Path(__file__).with_suffix(".toml")

WORDS_OF_A_PAGE = 280
LINE_CHARS = 95
USER = "reader"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question.

    Attributes:
        question: as somebody would say it.
        expected: words of the passage that answers it.
        found: where the passage with them stands; "" where none of those that were recalled has them.
        rank: of it, from 1; 0 for none.
        ms: that recalling took.
        tokens: of the prompt that the quotations take, about.
    """

    question: str
    expected: str
    found: str
    rank: int
    ms: float
    tokens: int


def documentation() -> str:
    """Morgan's own documentation as plain text; each of its files begins with a form feed."""
    from markdown_it import MarkdownIt

    names = ("README.md", *(f"docs/{name}.md" for name in _PAGES), "SECURITY.md", "CONTRIBUTING.md")
    parser = MarkdownIt("commonmark").enable("table")
    files: list[str] = []
    for name in names:
        lines = [each for each in parser.parse((ROOT / name).read_text(encoding="utf-8")) if each.type == "inline"]
        blocks = [" ".join(child.content for child in line.children or [] if child.content.strip()) for line in lines]
        files.append("\n".join(blocks))
    return "\f".join(files)


_PAGES = (
    "architecture",
    "operations",
    "troubleshooting",
    "realtime",
    "browser",
    "signaling",
    "api",
    "glossary",
    "bounds",
)


def write_pdf(text: str, path: Path) -> int:
    """A PDF of the text, a new page behind a form feed; returns the number of pages."""
    import matplotlib as mpl

    mpl.use("pdf")
    from matplotlib import pyplot
    from matplotlib.backends.backend_pdf import PdfPages

    # As text, not as outlines.
    mpl.rcParams["pdf.fonttype"] = 42
    pages: list[list[str]] = []
    for part in text.split("\f"):
        words = part.split()
        pages += [words[start : start + WORDS_OF_A_PAGE] for start in range(0, len(words), WORDS_OF_A_PAGE)]
    with PdfPages(path, metadata={"Title": "The Morgan handbook"}) as pdf:
        for page in pages:
            figure = pyplot.figure(figsize=(8.3, 11.7))
            # A dollar sign begins a formula.
            lines = textwrap.wrap(" ".join(page).replace("$", "USD "), LINE_CHARS)
            figure.text(0.08, 0.95, "\n".join(lines), fontsize=9, va="top", family="DejaVu Sans")
            pdf.savefig(figure)
            pyplot.close(figure)
    return len(pages)


async def asked(memory: Memory, limits: RecallLimits, question: str, expected: str) -> Asked:
    """Ask one question as a call does."""
    reminder = PastReminder(memory, USER, Context("", "bench"), limits)
    began = time.perf_counter()
    memories = await reminder.remind(question)
    ms = (time.perf_counter() - began) * 1000
    quoted = [each for each in memories if isinstance(each, Quotation)]
    place = next((n for n, each in enumerate(quoted, 1) if normalise(expected) in normalise(each.text)), 0)
    tokens = sum(len(each.text) + len(each.source) for each in quoted) // 4
    return Asked(question, expected, quoted[place - 1].source if place else "", place, round(ms, 2), tokens)


async def measure(settings: Settings, path: Path, questions: list[dict[str, str]]) -> dict[str, Any]:
    """Add the document, wait until it is read, ask."""
    engine = build_embedder(settings)
    if engine is None:
        raise SystemExit("there is no embedding model: MORGAN_EMBEDDER_ENGINE is none")
    await engine.warm_up()
    memory = await Memory.open(persistence_config(settings), MemoryEmbedder(engine))
    try:
        began = time.perf_counter()
        read = read_document(path)
        read_s = time.perf_counter() - began
        document = await add_document(memory, USER, path.name, read.title, read.sections)
        while (await memory.documents.list(USER))[0].owed:
            await memory.worker.idle(10)
        found_s = time.perf_counter() - began
        limits = RecallLimits(settings.recall_tokens, settings.document_tokens, settings.recall_score, 1000.0)
        await asked(memory, limits, "What is this about?", "")
        answers = [await asked(memory, limits, each["question"], each["expected"]) for each in questions]
    finally:
        await memory.close()
        await engine.close()
    times = sorted(each.ms for each in answers)
    return {
        "pages": len(read.sections),
        "passages": document.passage_count,
        "read_s": round(read_s, 2),
        "found_after_s": round(found_s, 2),
        "right": sum(each.rank > 0 for each in answers),
        "asked": len(answers),
        "recall_p50_ms": statistics.median(times),
        "recall_max_ms": times[-1],
        "within_20_ms": sum(ms <= 20.0 for ms in times),
        "answers": [
            {name: getattr(each, name) for name in ("question", "found", "rank", "ms", "tokens")} for each in answers
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("document", nargs="?", type=Path, help="PDF, text, Markdown or HTML, in place of Morgan's own")
    parser.add_argument("--questions", type=Path, default=QUESTIONS, help="TOML: [[questions]] question, expected")
    options = parser.parse_args()
    questions = tomllib.loads(options.questions.read_text(encoding="utf-8"))["questions"]
    with tempfile.TemporaryDirectory() as folder:
        path = options.document or Path(folder) / "handbook.pdf"
        if options.document is None:
            write_pdf(documentation(), path)
        settings = load_settings({"data_dir": Path(folder) / "data"})
        print(json.dumps(asyncio.run(measure(settings, path, questions)), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
