"""Earlier conversations and documents for language models: what is looked up, and what is worth a prompt's tokens."""

import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from persistence.ids import conversation_uuid, message_uuid
from persistence.memory import Memory
from persistence.values import DIMENSIONS, Recalled
from pipeline.call.context import Context
from pipeline.call.memories import Memories, Quotation
from pipeline.call.options import CallOptions
from pipeline.call.ports import Reminder
from pipeline.engines.protocols import EngineError, TextEmbedder
from pipeline.scheduling.lanes import Ticket, Urgency
from pipeline.text.normalise import normalise
from server.settings import Settings

CANDIDATES = 24
"""Messages looked at; most of the nearest may be earlier askings of the same question."""

MOST = 5
"""Memories for one turn."""

LONGEST_CHARS = 300
"""Of one memory; the rest is left out."""

LONGEST_PASSAGE_CHARS = 1000
"""Of one passage of a document, likewise; they are cut shorter than that (`server.memory.passages`)."""

SAME_SCORE = 0.97
"""Similarity from which a message only says what is being said now."""

SHARED_WORDS = 0.3
"""What a passage's fit grows by, beside its cosine similarity, if it has all words of the question."""

STEM = 6
"""Characters by which two words are taken to be the same."""

_WORD = re.compile(r"[^\W_]+")

CHARS_PER_TOKEN = 4
"""Of English text in the tokenizers of language models, about."""

UNNAMED = CallOptions().user_id
"""Callers who do not say who they are share this name: nobody's memories are theirs."""


class MemoryEmbedder:
    """The embedding engine as memory asks for it (`persistence.values.Embedder`).

    Backlog waits for everything else; a question waits only for what callers wait for.

    Raises:
        EngineError: the model's vectors do not fit the index.
    """

    def __init__(self, engine: TextEmbedder) -> None:
        if engine.dimensions != DIMENSIONS:
            raise EngineError(
                f"{engine.model} makes vectors of {engine.dimensions} numbers, and memory keeps {DIMENSIONS}: choose "
                "another embedder_model"
            )
        self._engine = engine

    async def embed(self, texts: list[str], *, waited_for: bool = False) -> list[list[float]]:
        """One vector per text."""
        ticket = Ticket(Urgency.SPECULATION if waited_for else Urgency.BACKGROUND)
        try:
            return await self._engine.embed(texts, ticket)
        finally:
            ticket.cancel()


@dataclass(frozen=True, slots=True)
class RecallLimits:
    """What recall may cost, and what is worth it.

    Attributes:
        tokens: of a prompt, about, for what one turn reminds of having been said,
        document_tokens: and for what documents say to it.
        score: cosine similarity from which a memory fits.
        budget_ms: for one question; what takes longer is done without.
    """

    tokens: int = 120
    document_tokens: int = 400
    score: float = 0.35
    budget_ms: float = 20.0


def recall_limits(settings: Settings) -> RecallLimits | None:
    """Recall's share of the settings; None where it is off."""
    if not settings.recall or settings.embedder_engine == "none":
        return None
    return RecallLimits(settings.recall_tokens, settings.document_tokens, settings.recall_score, settings.recall_ms)


class PastReminder:
    """Reminds of what one user said outside of what the prompt holds (`pipeline.call.ports.Reminder`).

    Args:
        memory: where it is kept.
        user_id: whose words; nobody else's are looked at.
        context: of the conversation that goes on.
        limits: what it may cost.

    Attributes:
        budget_s: within which there is an answer.
    """

    def __init__(self, memory: Memory, user_id: str, context: Context, limits: RecallLimits) -> None:
        self._memory = memory
        self._user_id = user_id
        self._context = context
        self._limits = limits
        self.budget_s = limits.budget_ms / 1000

    async def remind(self, text: str) -> Memories:
        """What fits these words: what the user said, then what their documents say; nothing rather than late."""
        conversation = conversation_uuid(self._context.conversation)
        seen = self._context.seen()
        found = await self._memory.recall(
            self._user_id,
            text,
            CANDIDATES,
            self._limits.budget_ms,
            {message_uuid(conversation, entry.item_id) for entry in seen},
        )
        known = [text, *(entry.text for entry in seen)]
        known += [each if isinstance(each, str) else each.text for entry in seen for each in entry.recalled]
        said = [each for each in found if each.role != "document"]
        read = [each for each in found if each.role == "document"]
        return (*chosen(said, known, self._limits), *quoted(by_words(read, text), known, self._limits))


def reminder(memory: Memory | None, user_id: str, context: Context, limits: RecallLimits | None) -> Reminder | None:
    """Who reminds this user's conversation; None where nobody does."""
    if memory is None or limits is None or user_id == UNNAMED:
        return None
    return PastReminder(memory, user_id, context, limits)


def chosen(found: Iterable[Recalled], known: Collection[str], limits: RecallLimits) -> tuple[str, ...]:
    """The memories that go into the prompt, as its lines.

    Left out: what does not fit well enough, what says the same as the words at hand or as something that the prompt
    holds, and questions, because what a user once asked tells little about them.

    Args:
        found: best first.
        known: what the prompt holds anyway.
        limits: of fit and length.
    """
    told = {normalise(text) for text in known}
    lines: list[str] = []
    left = limits.tokens
    for each in found:
        line = _line(each.content)
        same = normalise(line)
        cost = math.ceil(len(line) / CHARS_PER_TOKEN)
        if not limits.score <= each.score < SAME_SCORE or line.endswith("?") or same in told or cost > left:
            continue
        told.add(same)
        lines.append(line)
        left -= cost
        if len(lines) == MOST:
            break
    return tuple(lines)


def by_words(found: Sequence[Recalled], question: str) -> list[Recalled]:
    """Passages ordered by their meaning and by the words that they share with the question, best first.

    Names, numbers and terms mean little to an embedding model, and much to whoever asks for them. A word counts by how
    few of the passages have it, under whatever ending; all words of the question together add `SHARED_WORDS` to the
    similarity. The headings that a passage stands under are words of it.

    Args:
        found: the nearest by their meaning.
        question: what was said.
    """
    words = [_stems(f"{each.source} {each.content}") for each in found]
    asked = _stems(question)
    weights = {word: math.log((len(found) + 1) / (1 + sum(word in each for each in words))) for word in asked}
    total = sum(weights.values()) or 1.0
    shares = [sum(weights[word] for word in asked & each) / total for each in words]
    scored = [replace(each, score=each.score + SHARED_WORDS * share) for each, share in zip(found, shares, strict=True)]
    return sorted(scored, key=lambda each: each.score, reverse=True)


def _stems(text: str) -> set[str]:
    """The beginnings of the words of a text, by which they are the same in singular and plural, as verb and noun.

    A cut at a length serves the languages of Europe about as well as a stemmer of each, and asks for no language.
    """
    return {
        (word[:-1] if len(word) > 3 and word.endswith("s") else word)[:STEM] for word in _WORD.findall(text.casefold())
    }


def quoted(found: Iterable[Recalled], known: Collection[str], limits: RecallLimits) -> tuple[Quotation, ...]:
    """The passages of documents that go into the prompt: the best that fit, as many as there is room for.

    Args:
        found: best first.
        known: what the prompt holds anyway.
        limits: of fit and length.
    """
    seen, passages = set(known), list[Quotation]()
    left = limits.document_tokens
    for each in found:
        line = _line(each.content, LONGEST_PASSAGE_CHARS)
        cost = math.ceil((len(line) + len(each.source)) / CHARS_PER_TOKEN)
        if each.score < limits.score or line in seen or cost > left:
            continue
        seen.add(line)
        passages.append(Quotation(_line(each.source, LONGEST_CHARS), line))
        left -= cost
    return tuple(passages)


def _line(content: str, longest: int = LONGEST_CHARS) -> str:
    """Words on one line, without the quotation marks that will stand around them."""
    line = " ".join(content.replace('"', "'").split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
