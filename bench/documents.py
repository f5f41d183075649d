"""Answers from documents: questions to documents of fifty pages, and whether the right passage reaches the prompt.

The documents are those of `bench.library`, read with `morgan memory add`'s own code; the stores and the embedding model
are real. For each question: whether a passage with the expected words is among those that the language model would be
told, which one, and how long that took. Each document is asked alone, as the only one of its user, and at last all of
them together. Of the questions that are held out only the sums are told.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.library import write_all
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

QUESTIONS = Path(__file__).with_suffix(".toml")

ALL = "all together"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question.

    Attributes:
        question: as somebody would say it.
        expected: words of the passage that answers it.
        held: whether it is held out.
        found: where the passage with them stands; "" where none of those that were recalled has them.
        rank: of it, from 1; 0 for none.
        ms: that recalling took.
        tokens: of the prompt that the quotations take, about.
    """

    question: str
    expected: str
    held: bool
    found: str
    rank: int
    ms: float
    tokens: int


async def asked(memory: Memory, user: str, limits: RecallLimits, question: dict[str, Any]) -> Asked:
    """Ask one question as a call does."""
    reminder = PastReminder(memory, user, Context("", "bench"), limits)
    began = time.perf_counter()
    memories = await reminder.remind(question["question"])
    ms = (time.perf_counter() - began) * 1000
    quoted = [each for each in memories if isinstance(each, Quotation)]
    wanted = normalise(question["expected"])
    place = next((n for n, each in enumerate(quoted, 1) if wanted in normalise(each.text)), 0)
    tokens = sum(len(each.text) + len(each.source) for each in quoted) // 4
    found, held = quoted[place - 1].source if place else "", bool(question.get("held"))
    return Asked(question["question"], question["expected"], held, found, place, round(ms, 2), tokens)


async def measure(settings: Settings, paths: Sequence[Path], questions: list[dict[str, Any]]) -> dict[str, Any]:
    """Add the documents, wait until they are read, ask.

    Args:
        settings: of the recall, and the folder of the stores.
        paths: the documents; each for a user of its own, several for one more user who has all of them.
        questions: each with the name of its document.
    """
    engine = build_embedder(settings)
    if engine is None:
        raise SystemExit("there is no embedding model: MORGAN_EMBEDDER_ENGINE is none")
    await engine.warm_up()
    memory = await Memory.open(persistence_config(settings), MemoryEmbedder(engine))
    try:
        read_s = await _read(memory, paths)
        limits = RecallLimits(settings.recall_tokens, settings.document_tokens, settings.recall_score, 1000.0)
        answers: dict[str, list[Asked]] = {}
        for user in (*(path.name for path in paths), *((ALL,) if len(paths) > 1 else ())):
            await asked(memory, user, limits, {"question": "What is this about?", "expected": ""})
            wanted = [each for each in questions if user in (ALL, each["document"])]
            answers[user] = [await asked(memory, user, limits, each) for each in wanted]
    finally:
        await memory.close()
        await engine.close()
    return {"read_s": round(read_s, 1)} | {user: told(found) for user, found in answers.items()}


async def _read(memory: Memory, paths: Sequence[Path]) -> float:
    """Add the documents; seconds until all can be found."""
    began = time.perf_counter()
    for path in paths:
        read = read_document(path)
        for user in (path.name, ALL) if len(paths) > 1 else (path.name,):
            await add_document(memory, user, path.name, read.title, read.sections)
    for user in (path.name for path in paths):
        while any(each.owed for each in (*await memory.documents.list(user), *await memory.documents.list(ALL))):
            await memory.worker.idle(10)
    return time.perf_counter() - began


def told(answers: Sequence[Asked]) -> dict[str, Any]:
    """The figures of one reader; what became of each question that is not held out."""
    times = sorted(each.ms for each in answers)
    held = [each for each in answers if each.held]
    return {
        "right": sum(each.rank > 0 for each in answers),
        "asked": len(answers),
        "right_held_out": sum(each.rank > 0 for each in held),
        "asked_held_out": len(held),
        "tokens": round(statistics.mean(each.tokens for each in answers)),
        "recall_p50_ms": statistics.median(times),
        "recall_max_ms": times[-1],
        "within_20_ms": sum(ms <= 20.0 for ms in times),
        "answers": [
            {name: getattr(each, name) for name in ("question", "found", "rank", "ms")}
            for each in answers
            if not each.held
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("documents", nargs="*", type=Path, help="PDF, text, Markdown or HTML, in place of the library")
    parser.add_argument(
        "--questions", type=Path, default=QUESTIONS, help="TOML: [[questions]] document (file name), question, expected"
    )
    options = parser.parse_args()
    questions = tomllib.loads(options.questions.read_text(encoding="utf-8"))["questions"]
    with tempfile.TemporaryDirectory() as folder:
        paths = options.documents or write_all(Path(folder))
        settings = load_settings({"data_dir": Path(folder) / "data"})
        print(json.dumps(asyncio.run(measure(settings, paths, questions)), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
