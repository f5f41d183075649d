"""English readings of Roman numerals: "World War two", "Henry the eighth", and never the pronoun "I"."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import Match, Reader, Rule
from pipeline.text.words import word_set

_VALUES: Final = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_NUMERAL: Final = re.compile(
    r"(?<![\w.'’&/-])(?=[IVXLCDM])(?P<roman>M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3}))(?P<own>['’]s)?(?![\w'’&/]|\.\w)"
)
_COUNTED: Final = word_set(
    "war chapter part volume vol book act scene phase type section article title class stage appendix level bowl figure"
    " fig table grade tier episode season unit lesson numeral mark step exhibit annex category group division canto"
    " sonata symphony apollo saturn rocky rambo fantasy saga quest civilization factor region sector page"
)
"""Words whose numerals are plain numbers."""

_NAMES: Final = word_set(
    "henry louis elizabeth george charles edward james william richard paul benedict pius napoleon ramses ramesses"
    " philip frederick catherine peter nicholas alexander leo gregory felipe otto wilhelm christian gustav francis"
    " robert alfonso ivan mary victor emmanuel ferdinand john urban innocent clement boniface sixtus julius friedrich"
    " ludwig maximilian leopold joseph harald haakon olaf margrethe carl albert david malcolm darius xerxes cyrus"
    " ptolemy constantine justinian theodosius basil michael thutmose amenhotep seti isabella joan anne sigismund"
)
"""Given names that rulers share, and so do fathers and sons: their numerals are ordinals."""

_VERB: Final = re.compile(r"\s+(?:am|think|like|have|will|can|know|read)\b")
_RULES: Final = re.compile(r"\s*(?:$|[.,;:!?)\]]|of\b|ruled\b|reigned\b|died\b|abdicated\b|(?:and|to)\s+[IVX]+\b)")
_IS: Final = re.compile(r"\s+(?:was|became|is|had)\b")
_TITLED: Final = re.compile(
    r"(?:\A|[.!?]\s|(?:King|Queen|Pope|Emperor|Empress|Tsar|Czar|Kaiser|Prince)\s)\s*[A-Z]\w+\s\Z"
)
_NAMED: Final = re.compile(r"\b(?P<given>[A-Z][a-z]{1,20})\s(?:[A-Z]\.?\s)?[A-Z][a-z]{1,20}\s\Z")
_BEFORE: Final = 60
_SMALL: Final = re.compile(r"(?<=[ \u00a0])(?=[ivx]{2})(?P<roman>x{0,3}(?:ix|iv|v?i{0,3}))(?![\w'’])")


def _value(roman: str) -> int:
    values = [_VALUES[letter] for letter in roman]
    return sum(
        -value if value < following else value for value, following in zip(values, [*values[1:], 0], strict=True)
    )


def _read_roman(match: Match, reader: Reader) -> bool:
    roman, last = match["roman"], reader.writer.last_word
    before = match.string[max(0, match.start() - _BEFORE) : match.start()]
    after = match.string[match.end() : match.end() + 20]
    value = _value(roman)
    if (len(roman) > 1 or roman in "VX") and re.match(
        r"(?:st|nd|rd|th)?\s+(?:century|centuries|dynasty|[Oo]lympi)", after
    ):
        return _say(numbers.ordinal(value, "en"), match, reader)
    if len(roman) >= 4 and 1000 <= value <= 2100:
        return _say(numbers.year(value, "en"), match, reader)
    if not before.endswith((" ", "\u00a0")) or not last:
        return False
    lower = last.lower()
    if lower in _COUNTED:
        # "the part I like": only a noun with a capital has a number that looks like the pronoun.
        if roman == "I" and (
            not last[0].isupper() or re.match(r"\s+(?:am|think|like|have|will|can|know|read)\b", after)
        ):
            return False
        if len(roman) == 1 and roman in "CDML" and last[0].islower():
            return False
        # "Type C", "Grade D", "Class M": letters.
        return roman not in ("C", "D", "L", "M") and _say(numbers.cardinal(value, "en"), match, reader)
    if not last[0].isupper() or set(roman) - set("IVXL") or roman == "L" or roman == "XL":
        return False
    if (lower, roman) == ("malcolm", "X"):
        return False
    if lower in _NAMES:
        if roman == "I" and not _RULES.match(after) and not (_IS.match(after) and _TITLED.search(before)):
            return False
        return _say(f"the {numbers.ordinal(value, 'en')}", match, reader)
    if len(roman) == 1:
        return False
    named = _NAMED.search(before)
    if named and named["given"].lower() in _NAMES | _COMMON_NAMES and value < 10:
        return _say(f"the {numbers.ordinal(value, 'en')}", match, reader)
    return roman not in ("LI", "IV") and _say(numbers.cardinal(value, "en"), match, reader)


_COMMON_NAMES: Final = word_set(
    "thomas daniel matthew anthony mark andrew steven kevin brian walter harry frank samuel"
)


def _say(words: str | None, match: Match, reader: Reader) -> bool:
    if words is None:
        return False
    reader.say(words + ("'s" if match["own"] else ""), match)
    return True


def _read_small(match: Match, reader: Reader) -> bool:
    """ "Scene ii", "page iv": behind a word whose numerals are plain numbers."""
    if reader.writer.last_word.lower() not in _COUNTED:
        return False
    reader.say(numbers.cardinal(_value(match["roman"].upper()), "en") or match.group(), match)
    return True


ROMAN_RULES: Final[tuple[Rule, ...]] = ((_NUMERAL, _read_roman), (_SMALL, _read_small))
