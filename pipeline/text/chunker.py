"""Chunks of a streaming reply that a voice can say: the first one short, later ones whole clauses."""

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.text.words import (
    ARTICLES_AND_PREPOSITIONS,
    CONJUNCTIONS,
    FULL_WIDTH_SENTENCE_ENDS,
    MONTHS,
    SENTENCE_ENDS,
    Span,
    count_words,
    ends_unspaced,
    is_abbreviation,
    is_cjk,
    primary_language,
    split_spans,
)

_CLOSERS: Final = "\"'”’»)]}*_"
_OPENERS: Final = "\"'“‘«([{*_"
_CLAUSE_ENDS: Final = (",", ";", ":", "—", "–", "،", "؛")
_CJK_CLAUSE_ENDS: Final = "，、；：､"
_DASHES: Final = frozenset({"-", "–", "—", "--"})
_PHRASE_PREPOSITIONS: Final = frozenset(
    {"in", "at", "with", "from", "by", "for", "during", "without", "after", "before"}
)
_MONEY: Final = re.compile(r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY)$")
_LIST_NUMBER: Final = re.compile(r"[#>*_\-\s]*\d{1,3}[.)]\**")
_DAY_COMMA: Final = re.compile(r"\d{1,2}(?:st|nd|rd|th)?,")
_OPENINGS: Final = (("[", "]", 200), ("](", ")", 500))
_LONGEST_CODE: Final = 120
_FENCE: Final = "```"


class PieceLimits(NamedTuple):
    """Where a piece may end, in words.

    Attributes:
        clause: from here on at a comma, semicolon, colon or dash.
        phrase: from here on in front of a conjunction or the like.
        most: from here on behind any word that does not lean on the next one.
    """

    clause: int
    phrase: int
    most: int


@dataclass(frozen=True, slots=True)
class ChunkerConfig:
    """Sizes of the pieces.

    Attributes:
        limits: of the first piece, the second, and so on; the last entry holds for all that follow.
        slack: words beyond `most` after which even a leaning word ends a piece.
        stall_s: after this long without text `flush_if_older` gives what waits.
        stall_words: fewer words than this keep waiting.
        max_chars: longest piece outside of a code block; longer runs without a place to end are cut anywhere.
        max_code_chars: longest code block that is held together.
    """

    limits: tuple[PieceLimits, ...] = (PieceLimits(2, 3, 4), PieceLimits(5, 8, 10), PieceLimits(7, 11, 14))
    slack: int = 3
    stall_s: float = 0.4
    stall_words: int = 3
    max_chars: int = 600
    max_code_chars: int = 16_000


class TextChunker:
    """Takes text as it is generated and gives pieces to say.

    The pieces joined without anything between are the text, white space included; only white space at the very end may
    be missing. Where they are cut depends on the text alone, not on how it was cut into deltas (but for
    `flush_if_older`). A sentence ends when white space follows its full stop, so that "3.5", "10:30", addresses and
    abbreviations stay whole. A code block is one piece. A piece may hold nothing to say (an emoji, a rule, code).

    Args:
        language: ISO 639-1 code of the text.
        config: sizes.
    """

    def __init__(self, language: str = "en", config: ChunkerConfig | None = None) -> None:
        self._config = config or ChunkerConfig()
        code = primary_language(language)
        self._openers = CONJUNCTIONS.get(code, frozenset()) | (_PHRASE_PREPOSITIONS if code == "en" else frozenset())
        self._leaning = CONJUNCTIONS.get(code, frozenset()) | ARTICLES_AND_PREPOSITIONS.get(code, frozenset())
        self._buffer = ""
        self._given = 0
        self._in_sentence = False
        self._touched: float | None = None

    @property
    def waiting(self) -> str:
        """Text that no piece holds yet."""
        return self._buffer

    def push(self, delta: str, now: float | None = None) -> list[str]:
        """Take the next characters; returns the pieces that are complete now.

        Args:
            delta: the text, of any length.
            now: when it came, in seconds; None starts the clock of `flush_if_older` at its next call.
        """
        if delta:
            self._touched = now
        pieces = []
        for character in delta:
            self._buffer += character
            end = self._end_at(character)
            if end:
                pieces.append(self._take(end))
        return pieces

    def finish(self) -> list[str]:
        """The reply is complete: gives the rest and begins anew."""
        rest, self._buffer = self._buffer, ""
        self._given, self._in_sentence, self._touched = 0, False, None
        return [rest] if rest.strip() else []

    def go_on(self, now: float) -> None:
        """Take in that the language model was made to rest, and does so no longer: that was no stall of its own."""
        self._touched = now

    def flush_if_older(self, now: float) -> list[str]:
        """When the text has stalled in mid-clause, give what can be said: whole words, at least `stall_words`.

        A stall counts as the white space behind a full stop that follows a word.
        """
        if self._touched is None:
            self._touched = now
        if now - self._touched < self._config.stall_s or self._open_markup():
            return []
        tokens = split_spans(self._buffer)
        if tokens and tokens[-1].end == len(self._buffer) and not self._looks_finished(tokens):
            tokens.pop()
        while tokens and count_words(self._buffer[: tokens[-1].end]) >= self._config.stall_words:
            if self._ends_sentence(tokens) or not self._leans(tokens):
                end = tokens[-1].end
                return [self._take(end + len(self._buffer[end:]) - len(self._buffer[end:].lstrip()))]
            tokens.pop()
        return []

    def _take(self, end: int) -> str:
        piece, self._buffer = self._buffer[:end], self._buffer[end:]
        self._in_sentence = not piece.endswith("\n") and not piece.rstrip(_CLOSERS + " ").endswith(SENTENCE_ENDS)
        if count_words(piece) and not piece.lstrip().startswith(_FENCE):
            self._given += 1
        return piece

    def _end_at(self, character: str) -> int:
        """Where the first piece of the buffer ends now that `character` was appended; 0 for not yet."""
        if self._buffer.count(_FENCE) % 2:
            return len(self._buffer) if len(self._buffer) >= self._config.max_code_chars else 0
        if len(self._buffer) >= self._config.max_chars:
            if not self._buffer.lstrip().startswith(_FENCE):
                tokens = split_spans(self._buffer)
                return tokens[-1].start if len(tokens) > 1 else len(self._buffer)
            if character.isspace():
                # Closed code blocks, none of them with a word that would have ended a piece.
                return len(self._buffer)
        if character.isspace():
            return self._end_at_space(character)
        if character in FULL_WIDTH_SENTENCE_ENDS or character in _CJK_CLAUSE_ENDS or is_cjk(character):
            return self._end_at_cjk(character)
        return 0

    def _end_at_cjk(self, character: str) -> int:
        limits, words = self._limits(), count_words(self._buffer)
        if character in FULL_WIDTH_SENTENCE_ENDS:
            least = 1
        else:
            least = limits.clause if character in _CJK_CLAUSE_ENDS else limits.most
        return len(self._buffer) if words >= least and not self._open_markup() else 0

    def _end_at_space(self, character: str) -> int:
        words = count_words(self._buffer)
        if not words or self._open_markup():
            return 0
        whole = len(self._buffer)
        if character == "\n":
            return whole
        if self._buffer[-2:-1].isspace():
            return 0
        tokens, limits = split_spans(self._buffer), self._limits()
        if self._ends_sentence(tokens):
            return whole
        leans = self._leans(tokens)
        if words >= limits.clause and self._ends_clause(tokens) and not self._holds_number(tokens):
            return whole
        if words > limits.phrase and _bare(self._text(tokens[-1])) in self._openers and not self._leans(tokens[:-1]):
            return tokens[-1].start
        if words >= limits.most and not leans:
            return whole
        if words >= limits.most + self._config.slack and not self._holds_number(tokens):
            return whole
        return whole if words >= 2 * limits.most + self._config.slack else 0

    def _limits(self) -> PieceLimits:
        return self._config.limits[min(self._given, len(self._config.limits) - 1)]

    def _text(self, token: Span) -> str:
        return self._buffer[token.start : token.end]

    def _ends_sentence(self, tokens: list[Span]) -> bool:
        """Whether the last token ends a sentence, given that white space follows."""
        word = self._text(tokens[-1])
        if not word.rstrip(_CLOSERS).endswith(SENTENCE_ENDS):
            return False
        if is_abbreviation(word, first=self._is_first(tokens)):
            return False
        # The number of a list item belongs to what follows it.
        return _LIST_NUMBER.fullmatch(self._buffer[: tokens[-1].end].lstrip()) is None

    def _is_first(self, tokens: list[Span]) -> bool:
        return len(tokens) == 1 and not self._in_sentence

    def _ends_clause(self, tokens: list[Span]) -> bool:
        word = self._text(tokens[-1])
        return word in _DASHES or word.rstrip(_CLOSERS).endswith(_CLAUSE_ENDS) or ends_unspaced(word)

    def _leans(self, tokens: list[Span]) -> bool:
        """Whether the last token belongs to what follows: an article, a preposition, the first part of a number."""
        return _bare(self._text(tokens[-1])) in self._leaning or self._holds_number(tokens)

    def _holds_number(self, tokens: list[Span]) -> bool:
        """Whether a cut behind the last token might part a number, a date, a unit, or a title from its name."""
        word = self._text(tokens[-1])
        before = self._text(tokens[-2]) if len(tokens) > 1 else ""
        if word in _DASHES:
            return before[-1:].isdigit()
        if _DAY_COMMA.fullmatch(word) and _bare(before) in MONTHS:
            return True
        bare = word.strip(_OPENERS + _CLOSERS)
        return (
            bare[-1:].isdigit()
            or is_abbreviation(word, first=self._is_first(tokens))
            or _bare(word) in MONTHS
            or _MONEY.search(bare) is not None
            or _LIST_NUMBER.fullmatch(self._buffer[: tokens[-1].end].lstrip()) is not None
        )

    def _looks_finished(self, tokens: list[Span]) -> bool:
        """Whether the last token, which nothing follows yet, is a whole word with a full stop behind it."""
        word = self._text(tokens[-1])
        return self._ends_sentence(tokens) and _bare(word.rstrip(_CLOSERS + ".!?…")).replace("'", "").isalpha()

    def _open_markup(self) -> bool:
        """Whether the end of the buffer lies inside a link, inline code or a code block."""
        text = self._buffer
        if text.count(_FENCE) % 2:
            return True
        if text.count("`") % 2 and _is_open(text, "`", "`", _LONGEST_CODE):
            return True
        return any(_is_open(text, *opening) for opening in _OPENINGS)


def _is_open(text: str, opening: str, closing: str, longest: int) -> bool:
    """Whether the text ends behind an opening without its closing, in the same line and not too far away.

    The last one tells: what is behind an earlier one is behind it too.
    """
    at = text.rfind(opening)
    if at < 0 or len(text) - at - len(opening) > longest:
        return False
    rest = text[at + len(opening) :]
    return closing not in rest and "\n" not in rest


def _bare(word: str) -> str:
    """The word in lower case, without quotes, brackets, emphasis and punctuation around it."""
    return word.strip(_OPENERS + _CLOSERS + ".,;:!?…—–").replace("’", "'").lower()
