"""Numbers as words. num2words (LGPL) knows the languages; what it lacks or gets wrong is kept from it here."""

import re
from functools import lru_cache
from typing import Final

from num2words import CONVERTER_CLASSES, num2words  # type: ignore[import-untyped]

_MAX_DIGITS: Final = 15
"""Longer integers are read digit by digit: nobody understands "three hundred trillion and five"."""


_LIKELY: Final = {"pt": "pt_BR"}
"""Where most speakers of a language live, for when no region is named (CLDR's likely subtags)."""

_TENS: Final = "vent|trent|quarant|cinquant|sessant|settant|ottant|novant"

_MENDED: Final = {
    "de": ((re.compile("einstausend"), "eintausend"),),
    "es": ((re.compile(r"veintiuno(?= mil)"), "veintiún"), (re.compile(r"\buno(?= mil)"), "un")),
    "it": (
        (re.compile("dicotto"), "diciotto"),
        (re.compile(r"(?<=[a-z])tre\b"), "tré"),
        (re.compile(rf"\b({_TENS})uno(?=mila| mili)"), r"\1un"),
        (re.compile(r"(?<=milion[ei]) e |(?<=miliard[oi]) e "), " "),
    ),
}
"""What num2words 0.5.14 writes and nobody says (the words of CLDR stand in tests/pipeline/text/test_spelled_out.py)."""


@lru_cache(maxsize=32)
def converter(language: str) -> str | None:
    """The name under which num2words knows a language ("en-US" is "en"), None when it does not."""
    tag = language.replace("-", "_")
    code = tag.split("_", maxsplit=1)[0].lower()
    for name in (_LIKELY.get(tag, tag), code, {"nb": "no", "nn": "no", "da": "dk"}.get(code, code)):
        if name in CONVERTER_CLASSES:
            return name
    return None


@lru_cache(maxsize=4096)
def _convert(number: int, language: str, to: str) -> str | None:
    name = converter(language)
    if name is None:
        return None
    try:
        words = str(num2words(number, lang=name, to=to))
    except (NotImplementedError, OverflowError, TypeError, ValueError, IndexError, KeyError):
        # Some of its languages lack a form, or fail on some numbers with whatever comes.
        return None
    for pattern, right in _MENDED.get(name[:2], ()) if to == "cardinal" else ():
        words = pattern.sub(right, words)
    return " ".join(words.replace(",", " ").split()) or None


def cardinal(number: int, language: str = "en") -> str | None:
    """ "forty-two" of 42; None where the language is not known."""
    if len(str(abs(number))) > _MAX_DIGITS:
        return digits(str(number), language)
    return _convert(number, language, "cardinal")


_MASCULINE: Final = {
    "de": ((re.compile("eins$"), "ein"),),
    "es": ((re.compile("veintiuno$"), "veintiún"), (re.compile("uno$"), "un")),
    "it": ((re.compile(rf"^({_TENS}|)uno$"), r"\1un"),),
}
_FEMININE: Final = {
    "de": ((re.compile("eins$"), "eine"),),
    "fr": ((re.compile("un$"), "une"),),
    "es": (
        (re.compile("uno$"), "una"),
        (re.compile(r"cientos\b"), "cientas"),
        (re.compile("quinientos"), "quinientas"),
    ),
    "it": ((re.compile("^uno$"), "una"),),
    "pt": (
        (re.compile(r"\bum$"), "uma"),
        (re.compile(r"\bdois$"), "duas"),
        (re.compile(r"(?<=[zeh])entos\b"), "entas"),
        (re.compile(r"(?<=c)entos\b"), "entas"),
    ),
}


def counted(number: int, language: str, *, feminine: bool = False) -> str | None:
    """A number in front of what it counts, in the gender of that: "veintiún", "veintiuna" of 21.

    Hundreds of thousands and millions have the gender of what they stand in front of themselves.
    """
    words = cardinal(number, language)
    if words is None:
        return None
    forms = _FEMININE if feminine else _MASCULINE
    for pattern, right in forms.get(language[:2].lower(), ()):
        words = pattern.sub(right, words)
    return words


def ordinal(number: int, language: str = "en") -> str | None:
    """ "forty-second" of 42; None where the language is not known or has no such form."""
    return _convert(number, language, "ordinal")


def year(number: int, language: str = "en") -> str | None:
    """ "nineteen eighty-four" of 1984; None where the language is not known."""
    return _convert(number, language, "year")


def digits(text: str, language: str = "en") -> str | None:
    """Every digit of `text` by itself, everything else left out: "five five five" of "5-55"."""
    words = [_convert(int(c), language, "cardinal") for c in text if c.isdecimal()]
    known = [word for word in words if word is not None]
    return " ".join(known) if known and len(known) == len(words) else None


def decimal(integer: str, fraction: str, point: str, language: str = "en") -> str | None:
    """ "three point one four" of "3" and "14"; the digits behind the point one by one, with two or fewer also in
    languages that would say "fourteen": they are understood either way.

    num2words goes through floats, which loses zeros and, in Italian, the whole fraction.
    """
    whole = cardinal(int(integer or "0"), language)
    behind = digits(fraction, language)
    return f"{whole} {point} {behind}" if whole and behind else None
