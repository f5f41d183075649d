"""English readings of fractions, shares of a whole ("four out of five stars") and odds."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import Match, Reader, Rule

_MIXED: Final = re.compile(r"(?P<whole>\d+)[ ](?P<top>\d{1,2})/(?P<bottom>\d{1,2})(?![\d/]|\.\d)")
_FRACTION: Final = re.compile(r"(?P<top>\d{1,2})/(?P<bottom>\d{1,4})(?![\d/]|\.\d)")
_OUT_OF: Final = re.compile(r"(?P<top>\d{1,3}(?:\.\d{1,2})?)/(?P<bottom>5|10|100)(?![\d/]|[.,]\d)")
_RATED: Final = re.compile(
    r"\b(?:rat(?:ed|ing|es?)|scor(?:ed|es?)|grade[ds]?|gave (?:it|him|her|them))\b[^.!?]{0,16}\Z"
)
_ODDS: Final = re.compile(r"\bodds\b[^.!?]{0,16}\Z")
_BEFORE: Final = 40
_PARTS: Final = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_VULGAR: Final = re.compile(r"(?P<whole>\d+)?(?P<part>[½¼¾⅓⅔⅛⅜⅝⅞])")
_VULGAR_PARTS: Final = {
    "½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip


def _fraction_words(top: int, bottom: int) -> str | None:
    one, many = _PARTS.get(bottom, ("", ""))
    if not one:
        one = numbers.ordinal(bottom, "en") or ""
        many = f"{one}s"
    return f"{numbers.cardinal(top, 'en')} {one if top == 1 else many}" if one else None


_SMALL_PARTS: Final = (7, 9, 20, 25, 30, 32, 40, 50, 64, 100, 1000)
"""Of these one part is a fraction ("1/20"), unless a day is spoken of."""

_OF_A_DAY: Final = ("on", "by", "until", "since", "from", "before", "after", "due")


def _read_out_of(match: Match, reader: Reader) -> bool:
    before = match.string[max(0, match.start() - _BEFORE) : match.start()]
    rated = re.match(r"\s(?:stars?|points?|ratings?)\b", match.string[match.end() :]) or _RATED.search(before)
    if not (rated or "." in match["top"] or match["top"] == match["bottom"]):
        return False
    reader.say(f"{reader.number(match['top'])} out of {reader.number(match['bottom'])}", match)
    return True


def _read_fraction(match: Match, reader: Reader) -> bool:
    """Common fractions and odds; anything else ("24/7", "9/11") is two numbers."""
    top, bottom = int(match["top"]), int(match["bottom"])
    common = 0 < top < bottom and bottom in (2, 3, 4, 5, 6, 8, 10, 12, 16)
    small = top == 1 and bottom in _SMALL_PARTS and reader.writer.last_word.lower() not in _OF_A_DAY
    spoken = _fraction_words(top, bottom) if common or small else None
    joint = " to " if _ODDS.search(match.string[max(0, match.start() - _BEFORE) : match.start()]) else " "
    reader.say(spoken or f"{numbers.cardinal(top, 'en')}{joint}{numbers.cardinal(bottom, 'en')}", match)
    return True


def _say_mixed(whole: int, top: int, bottom: int, match: Match, reader: Reader) -> bool:
    part = _fraction_words(top, bottom) if 0 < top < bottom else None
    if part is None:
        return False
    part = re.sub(r"^one (?=half|quarter)", "a ", part)
    reader.say(f"{numbers.cardinal(whole, 'en')} and {part}", match)
    return True


def _read_mixed(match: Match, reader: Reader) -> bool:
    return _say_mixed(int(match["whole"]), int(match["top"]), int(match["bottom"]), match, reader)


def _read_vulgar(match: Match, reader: Reader) -> bool:
    top, bottom = _VULGAR_PARTS[match["part"]]
    if match["whole"]:
        return _say_mixed(int(match["whole"]), top, bottom, match, reader)
    reader.say(_fraction_words(top, bottom) or match["part"], match)
    return True


FRACTION_RULES: Final[tuple[Rule, ...]] = (
    (_OUT_OF, _read_out_of),
    (_MIXED, _read_mixed),
    (_VULGAR, _read_vulgar),
    (_FRACTION, _read_fraction),
)
