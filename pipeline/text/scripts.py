"""Letters that the voice of a language has no sounds for, left out rather than spelled or skipped."""

import re
from functools import lru_cache
from typing import Final

from pipeline.text.words import CJK, primary_language, word_set

_SCRIPTS: Final[dict[str, str]] = {
    "cyrillic": r"\u0400-\u052f",
    "hebrew": r"\u0590-\u05ff",
    "arabic": r"\u0600-\u060b\u060d-\u061e\u0620-\u06ff\u0750-\u077f",
    "indic": r"\u0900-\u0963\u0966-\u0dff",
    "thai": r"\u0e00-\u0e7f",
    "hangul": r"\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
    "cjk": CJK,
}
"""Character class bodies of scripts whose letters a voice of another does not know."""

_LATIN: Final = word_set(
    "en de fr es it pt nl af ca cs cy da et eu fi gl hr hu id is lt lv ms no nb nn pl ro sk sl sq sv sw tl tr vi"
)
"""Languages whose voices know Latin letters only."""

_OTHER: Final = word_set(
    "am ar as ba be bg bn bo fa gu he hi hy ja ka kk km kn ko lo mk ml mn mr my ne pa ps ru sa sd si sr ta te tg th tt"
    " uk ur yi yue zh"
)
"""Languages that are not written in Latin letters. Greek is not among them: voices know its letters by their names."""


def has_sounds(voice: str, language: str) -> bool:
    """Whether a voice of one language can say what is written in another, as far as is known (ISO 639-1)."""
    return not (primary_language(voice) in _LATIN and primary_language(language) in _OTHER)


@lru_cache(maxsize=32)
def unspoken(language: str) -> re.Pattern[str] | None:
    """A run of letters that a voice of the language cannot say; None where nothing is known of it."""
    if primary_language(language) not in _LATIN:
        return None
    return re.compile(f"[{''.join(_SCRIPTS.values())}]+")
