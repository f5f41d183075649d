"""English readings of ranges, sums and the signs that cling to numbers and names."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import Match, Reader, Rule

_RANGE: Final = re.compile(
    r"(?:(?<=[\d%°])[-–—]|(?<=\d(?:st|nd|rd|th))[-–—]|(?<=[ap]m)[-–—]|(?<=[ap]\.m\.)[-–—]|(?<=\d[kKMB])[-–—]|(?<=[\d%°]\s)[–—]\s)(?=[$€£¥]?\d)"
)
_MATHS: Final = re.compile(r"(?:(?<=\d)(?P<tight>[*×x÷−])|(?<=\d\s)(?P<spaced>[*×x÷−/-])\s)(?=\d)")
_MATHS_WORDS: Final = {
    "*": "times",
    "×": "times",
    "x": "by",
    "÷": "divided by",
    "/": "divided by",
    "−": "minus",
    "-": "minus",
}
_MULTIPLE: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)x(?!\w)")
_SCIENTIFIC: Final = re.compile(
    r"(?<![\w.])(?P<base>\d{1,9}(?:\.\d{1,9})?)[eE](?P<sign>[+−-]?)(?P<exponent>\d{1,3})(?![\w.])"
)
_CHAIN_BEFORE: Final = re.compile(r"[-–—A-Za-z][\d.,:]{1,12}\Z")
_CHAIN_AFTER: Final = re.compile(r"[$€£¥]?[\d.,:]{0,12}\d[-–—][\dA-Z]")
_POWER: Final = re.compile(r"\^(?P<sign>[-−])?(?P<exponent>\d{1,4})(?!\d)")
_APPROXIMATELY: Final = re.compile(r"~(?=\s?[$€£]?\d)")
_NUMBER_SIGN: Final = re.compile(r"(?:#|№\s?|Nos?\.\s?)(?=\d)")
_HASHTAG: Final = re.compile(r"#(?=[^\W\d])")
_LETTER_NUMBER: Final = re.compile(r"(?<!\w)(?P<letter>[A-Z])-?(?P<number>\d{1,3})(?!\w|[.,]\d)")


def _read_range(match: Match, reader: Reader) -> bool:
    """Declined for one of several dashes in a row, and behind a letter with a number: those are codes."""
    before = match.string[max(0, match.start() - 16) : match.start()]
    if _CHAIN_BEFORE.search(before) or _CHAIN_AFTER.match(match.string, match.end()):
        return False
    reader.say("to", match)
    return True


def _read_scientific(match: Match, reader: Reader) -> bool:
    sign = "minus " if match["sign"] in ("-", "−") else ""
    exponent = numbers.cardinal(int(match["exponent"]), "en")
    reader.say(f"{reader.number(match['base'])} times ten to the power of {sign}{exponent}", match)
    return True


def _read_maths(match: Match, reader: Reader) -> bool:
    group = "tight" if match["tight"] else "spaced"
    reader.say(_MATHS_WORDS[match[group]], match, group)
    return True


def _read_multiple(match: Match, reader: Reader) -> bool:
    reader.say(f"{reader.number(match['number'])} times", match)
    return True


def _read_power(match: Match, reader: Reader) -> bool:
    exponent = match["exponent"]
    minus = "minus " if match["sign"] else ""
    named = None if minus else {"2": "squared", "3": "cubed"}.get(exponent)
    reader.say(named or f"to the power of {minus}{numbers.cardinal(int(exponent), 'en')}", match)
    return True


def _read_about(match: Match, reader: Reader) -> bool:
    reader.say("about", match)
    return True


def _read_number_sign(match: Match, reader: Reader) -> bool:
    reader.say("numbers" if match.group().startswith("Nos") else "number", match)
    return True


def _read_hashtag(match: Match, reader: Reader) -> bool:
    reader.say("hashtag", match)
    return True


def _read_letter_number(match: Match, reader: Reader) -> bool:
    # Joined, because a voice reads a single "A" as an article.
    spoken = (numbers.cardinal(int(match["number"]), "en") or match["number"]).replace(" ", "-")
    reader.say(f"{match['letter']}-{spoken}", match)
    return True


_RATIO: Final = re.compile(r"(?<![\d:])(?P<left>\d{1,4}):(?P<right>\d{1,4})(?![\d:])")
_HEIGHT: Final = re.compile(r"(?P<feet>\d)['’′]\s?(?P<inches>1[01]|\d)(?:[\"”″]|''|(?!\w))")
_SCALED: Final = re.compile(r"(?<![A-Za-z])(?P<number>\d+(?:\.\d+)?)(?P<scale>k|K|M|B|bn|mn)(?!\w)")
_SCALES: Final = {
    "k": "thousand", "K": "thousand", "M": "million", "mn": "million", "B": "billion", "bn": "billion",
}  # fmt: skip
_EMERGENCY: Final = re.compile(r"\d{3}(?!\w|[.,:/-]\d|\s?%)")
_LEADING_POINT: Final = re.compile(r"(?<![\w.])\.(?=\w)")
_SHARP: Final = re.compile(r"(?<!\w)(?P<letter>[A-G])#(?!\w)")
_DEGREE: Final = re.compile(r"(?<!\w)Ph\.\s?D(?:\.|(?!\w))")


def _read_ratio(match: Match, reader: Reader) -> bool:
    reader.say(f"{reader.number(match['left'])} to {reader.number(match['right'])}", match)
    return True


def _read_height(match: Match, reader: Reader) -> bool:
    reader.say(f"{reader.number(match['feet'])} foot {reader.number(match['inches'])}", match)
    return True


def _read_scaled(match: Match, reader: Reader) -> bool:
    # "4K" is a screen, and "12700K" a processor.
    if match.group() == "4K" or len(match["number"].partition(".")[0]) > 3:
        return False
    reader.say(f"{reader.number(match['number'])} {_SCALES[match['scale']]}", match)
    return True


def _read_emergency(match: Match, reader: Reader) -> bool:
    """Short telephone numbers: "911" always, others where they are called."""
    if match.group() != "911" and reader.writer.last_word.lower() not in ("call", "dial", "dialing", "calling"):
        return False
    reader.say(numbers.digits(match.group(), "en") or match.group(), match)
    return True


def _read_leading_point(match: Match, reader: Reader) -> bool:
    reader.say("point" if match.string[match.end()].isdecimal() else "dot", match)
    return True


def _read_sharp(match: Match, reader: Reader) -> bool:
    reader.say(f"{match['letter']} sharp", match)
    return True


def _read_degree(match: Match, reader: Reader) -> bool:
    reader.say("PhD", match)
    return True


NAME_RULES: Final[tuple[Rule, ...]] = (
    (_NUMBER_SIGN, _read_number_sign),
    (_HASHTAG, _read_hashtag),
    (_SHARP, _read_sharp),
    (_DEGREE, _read_degree),
    (_LETTER_NUMBER, _read_letter_number),
    (_EMERGENCY, _read_emergency),
    (_HEIGHT, _read_height),
    (_RATIO, _read_ratio),
    (_LEADING_POINT, _read_leading_point),
)
"""To be tried before abbreviations and plain numbers."""

SIGN_RULES: Final[tuple[Rule, ...]] = (
    (_SCIENTIFIC, _read_scientific),
    (_SCALED, _read_scaled),
    (_RANGE, _read_range),
    (_MATHS, _read_maths),
    (_MULTIPLE, _read_multiple),
    (_POWER, _read_power),
    (_APPROXIMATELY, _read_about),
)
"""To be tried last."""
