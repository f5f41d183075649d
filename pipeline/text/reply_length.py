"""The length of a reply: as long as the question asks, and ended with a sentence."""

import re
from typing import Final

from pipeline.text.words import FULL_WIDTH_SENTENCE_ENDS, SPACED_SENTENCE_ENDS, is_abbreviation

ORDINARY_WORDS: Final = 35
"""Words after which a reply ends with the sentence: about 14 s of speech."""

LONG_WORDS: Final = 130
"""The same for what was asked to be long: about 50 s. A user who wants more says so."""

_LONG = re.compile(
    r"\b(?:stor(?:y|ies)|tale|poem|song|joke|explain|explanation|describe|description|details?|detailed|lists?|recipe|steps?"
    r"|how (?:do|can|should|would|to)|why|tell me (?:more|about|all|everything)|more about|go on|carry on|continue"
    r"|keep (?:going|talking)|summar\w+|compare|difference|long(?:er)?|length|everything|everyone|all (?:the|of)|each"
    r"|names? (?:\w+ )?(?:of )?(?:all|\d+)|count|spell|repeat|say|translate|read"
    r"|geschichte\w*|märchen|gedicht|erzähl\w*|erklär\w*|beschreib\w*|rezept|ausführlich\w*|warum|wieso"
    r"|wie (?:kann|macht)|weiter|histoire|raconte\w*|explique\w*|décri\w*|recette|pourquoi|comment (?:faire|fait)"
    r"|historia|cuento|cuénta\w*|explica\w*|describe\w*|receta|por qué|cómo (?:se|puedo)|sigue"
    r"|storia|racconta\w*|spiega\w*|descrivi\w*|ricetta|perché|come (?:si|posso))\b",
    re.IGNORECASE,
)
_CJK_LONG = re.compile(
    "故事|解释|解釋|说明|說明|介绍|介紹|为什么|為什麼|怎么|详细|継続|説明|物語|なぜ|どうやって|이야기|설명|왜"
)
_END = re.compile(rf"[{SPACED_SENTENCE_ENDS}][\"'”’»)\]*]*(?=\s)|[{FULL_WIDTH_SENTENCE_ENDS}]|\n\s*\n")
_LAST_WORD = re.compile(r"\S+$")


def asks_long(text: str) -> bool:
    """Whether words ask for an answer of many: a story, an explanation, a list, "go on"."""
    return bool(_LONG.search(text) or _CJK_LONG.search(text))


class ReplyLength:
    """Follows one reply as it is written, and ends it where it has said enough.

    Args:
        said: the user's words that it answers.
        instructions: how the assistant should be; where they ask for length, nothing ends the reply.

    Attributes:
        ended: the reply is over; what comes further is dropped.
    """

    def __init__(self, said: str, instructions: str = "") -> None:
        self.ended = False
        words = LONG_WORDS if asks_long(said) else ORDINARY_WORDS
        self._words = None if asks_long(instructions) else words
        self._text = ""

    def feed(self, text: str) -> str:
        """The part of the next characters that belongs to the reply."""
        if self.ended:
            return ""
        before = len(self._text)
        self._text += text
        if self._words is None or _words(self._text) < self._words:
            return text
        # The end may be told by the white space that has just come.
        for end in _END.finditer(self._text, max(0, before - 4)):
            if end.end() >= before and self._closes(end):
                self.ended = True
                self._text = self._text[: end.end()]
                return self._text[before:]
        return text

    def _closes(self, end: re.Match[str]) -> bool:
        """Whether a sentence ends there, long enough a reply."""
        text = self._text[: end.end()]
        last = _LAST_WORD.search(text)
        if last is not None and is_abbreviation(last[0]):
            return False
        return self._words is not None and _words(text) >= self._words


def _words(text: str) -> float:
    """Words, of scripts without spaces about as many as take the same time to say."""
    wide = sum(character > "\u2e7f" for character in text)
    return len(text.split()) + wide / 2
