"""The words that somebody who goes on has added to those that are known."""

import re
from typing import Final

from pipeline.text.agreement import behind_known
from pipeline.text.words import CJK

_UNSPACED: Final = f"{CJK}\u0e01-\u0e4e"
"""Scripts without spaces between words: each character counts as one."""

_TOKEN: Final = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


def added_words(known: str, whole: str) -> str:
    """What stands behind `known` in `whole`, which says the same and goes on, perhaps with other letters or words.

    "What is the weather?" and "what is the weather in Paris?" give "in Paris?"; nothing was added gives "".
    """
    words = list(_TOKEN.finditer(whole))
    at = behind_known([word[0] for word in _TOKEN.finditer(known)], [word[0] for word in words], swallows=False)
    return whole[words[at].start() :] if at < len(words) else ""
