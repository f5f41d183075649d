"""English readings of ordinals, versions, years and abbreviations; all rules of English in order."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.english_dates import DATE_RULES, year_words
from pipeline.text.english_fractions import FRACTION_RULES
from pipeline.text.english_money import MONEY_RULES
from pipeline.text.english_names import NUMBER_NAME_RULES, PRE_RELEASE, pre_release
from pipeline.text.english_roman import ROMAN_RULES
from pipeline.text.english_signs import NAME_RULES, SIGN_RULES
from pipeline.text.english_units import UNIT_RULES
from pipeline.text.reading import Match, Reader, Rule
from pipeline.text.words import word_set

_ORDINAL: Final = re.compile(r"(?P<number>\d{1,3}(?:,\d{3})+|\d{1,9})(?:st|nd|rd|th)(?!\w)", re.IGNORECASE)
_DECADE: Final = re.compile(r"['’]?(?P<century>1[1-9]|20)?(?P<decade>\d0)['’]?s(?!\w)")
_TENS_PLURAL: Final = {
    "00": "hundreds", "10": "tens", "20": "twenties", "30": "thirties", "40": "forties", "50": "fifties",
    "60": "sixties", "70": "seventies", "80": "eighties", "90": "nineties",
}  # fmt: skip
_VERSION: Final = re.compile(rf"(?P<number>\d+(?:\.\d+){{2,}}){PRE_RELEASE}(?!\w)")
_IP: Final = re.compile(r"(?P<address>\d{1,3}(?:\.\d{1,3}){3})(?::(?P<port>\d{1,5})|/(?P<mask>\d{1,2}))?(?![\w/]|\.\d)")
_YEAR: Final = re.compile(r"(?P<year>1\d{3}|20\d{2})(?!\w|[.,:/%°]\d|[%°])")
_YEAR_CUES: Final = word_set(
    "in since by of year until till from to before after during around circa between and spring summer autumn fall"
    " winter early late mid"
)


def _read_ordinal(match: Match, reader: Reader) -> bool:
    spoken = numbers.ordinal(int(match["number"].replace(",", "")), "en")
    if spoken:
        reader.say(spoken, match)
    return spoken is not None


def _read_decade(match: Match, reader: Reader) -> bool:
    century = match["century"]
    if not century and match["decade"] == "00":
        return False
    if century == "20" and match["decade"] == "00":
        reader.say("two thousands", match)
        return True
    before = f"{numbers.cardinal(int(century), 'en')} " if century else ""
    reader.say(before + _TENS_PLURAL[match["decade"]], match)
    return True


_PLURAL: Final = re.compile(r"(?P<number>\d{1,3}(?:,\d{3})?|\d{4})s(?!\w)")
_ROUND: Final = {"100": "hundreds", "1000": "thousands"}


def _read_plural(match: Match, reader: Reader) -> bool:
    """ "hundreds", "fifty-twos", "sixes"."""
    number = match["number"].replace(",", "")
    said = numbers.cardinal(int(number), "en") or number
    plural = f"{said[:-1]}ies" if said.endswith("y") else f"{said}es" if said.endswith("six") else f"{said}s"
    reader.say(_ROUND.get(number, plural), match)
    return True


def _read_version(match: Match, reader: Reader) -> bool:
    """Part by part."""
    parts = [reader.number(part) or part for part in match["number"].split(".")]
    reader.say(f"{' point '.join(parts)} {pre_release(match)}", match)
    return True


_PRIVATE: Final = ("0", "10", "127")


def _read_ip(match: Match, reader: Reader) -> bool:
    """An IP address, with its port or the length of its network: long parts digit by digit."""
    parts, tail = match["address"].split("."), match["port"] or match["mask"]
    if any(int(part) > 255 for part in parts):
        return False
    if not tail and parts[0] not in _PRIVATE and not any(len(part) == 3 for part in parts):
        return False  # a version as well
    said = [(numbers.digits(part, "en") if len(part) == 3 else reader.number(part)) or part for part in parts]
    if match["port"]:
        said[-1] += f" colon {numbers.digits(match['port'], 'en')}"
    elif match["mask"]:
        said[-1] += f" slash {reader.number(match['mask'])}"
    reader.say(" dot ".join(said), match)
    return True


_MODEL_OF: Final = re.compile(r"\s[A-Z][a-z]")
_OLD_CUES: Final = word_set("in since year circa around")
_YEAR_IS: Final = re.compile(r"\s+(?:was|is|will|were|had|has|saw|brought|could|may|might|would)\b")


def _read_year(match: Match, reader: Reader) -> bool:
    """Years are read in pairs where a word before or the end of the phrase behind says that it is one."""
    after, year, last = match.string[match.end() :], int(match["year"]), reader.writer.last_word.lower()
    if year < 1100 and (last not in _OLD_CUES or year == 1000):
        return False
    if not reader.writer.open and _YEAR_IS.match(after):
        reader.say(year_words(year), match)  # "2030 will be warm."
        return True
    if last in ("the", "a", "an") and _MODEL_OF.match(after):
        reader.say(year_words(year), match)  # "the 1984 Olympics"
        return True
    if last not in _YEAR_CUES and not re.match(r"\s*(?:[-–,.;:!?)]|$|AD|BC|CE)", after):
        return False
    if year < 1600 and last not in _YEAR_CUES:
        return False
    reader.say(year_words(year), match)
    return True


_TITLES: Final = {
    "Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "Rev": "Reverend",
    "Hon": "Honorable", "Gen": "General", "Col": "Colonel", "Capt": "Captain", "Lt": "Lieutenant", "Sgt": "Sergeant",
    "Sen": "Senator", "Rep": "Representative", "Gov": "Governor", "Pres": "President", "St": "Saint", "Mt": "Mount",
    "Ft": "Fort",
}  # fmt: skip
_PLACES: Final = {"St": "Street", "Dr": "Drive", "Ave": "Avenue", "Blvd": "Boulevard", "Rd": "Road", "Hwy": "Highway"}
_WORDS: Final = {
    "etc": "et cetera", "vs": "versus", "approx": "approximately", "dept": "department", "est": "established",
    "appt": "appointment", "apt": "apartment", "fig": "figure", "figs": "figures", "vol": "volume", "jr": "junior",
    "sr": "senior", "inc": "incorporated", "ltd": "limited", "corp": "corporation", "max": "maximum", "min": "minimum",
    "avg": "average", "tel": "telephone", "ext": "extension", "temp": "temperature", "ed": "edition", "al": "al",
    "bros": "brothers", "govt": "government", "cf": "compare", "ca": "circa", "eq": "equation", "ch": "chapter",
    "incl": "including", "excl": "excluding",
}  # fmt: skip
_NEVER_LAST: Final = word_set("vs approx ca fig figs vol tel ext est cf eq ch")
"""Abbreviations behind which something follows: their full stop ends no sentence."""

_WEEKDAYS: Final = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thur": "Thursday",
    "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_LATIN: Final = re.compile(r"(?P<which>e\.?g|i\.?e)(?:\.(?!\w)|(?<=\.[ge])(?!\w))\.?", re.IGNORECASE)
_CIRCA: Final = re.compile(r"c\.\s?(?=[12]\d{3}(?!\d))")
_DOTTED: Final = re.compile(r"(?P<word>[A-Za-z]{2,6})\.(?!\w)")
_BARE_TITLE: Final = re.compile(r"(?P<word>Dr|Mr|Mrs|Ms|Prof)(?=\s+[A-Z])")
_DAY: Final = "|".join(sorted(_WEEKDAYS, key=len, reverse=True))
_BARE_DAY: Final = re.compile(rf"(?P<word>{_DAY})(?P<first>(?=\s\d|,?\s(?:and\s|or\s)?(?:{_DAY})\b))?(?!\w)")
_DAY_BEFORE: Final = re.compile(rf"\b(?:{_DAY}),?\s(?:and\s|or\s)?\Z")
_NUMBERED_STREET: Final = re.compile(r"\d(?:st|nd|rd|th)\s\Z", re.IGNORECASE)
_SLASHED: Final = re.compile(r"(?P<word>w/o|w/|vs|b/c)(?!\w)", re.IGNORECASE)
_SLASHED_WORDS: Final = {"w/o": "without", "w/": "with", "vs": "versus", "b/c": "because"}


def _read_latin(match: Match, reader: Reader) -> bool:
    if "." not in match.group():
        return False
    reader.say("for example" if match["which"][0] in "eE" else "that is", match)
    return True


def _expand(word: str, before: str, after: str, last_word: str) -> tuple[str, bool]:
    """What an abbreviation stands for ("" when it is none), and whether its full stop can also end a sentence."""
    if word in _PLACES and _NUMBERED_STREET.search(before):
        return _PLACES[word], True
    named = re.match(r"\s+[A-Z]", after) is not None
    if word in _TITLES and (word not in _PLACES or (named and not _is_street(last_word))):
        return _TITLES[word], False
    if word in _PLACES and (word not in _TITLES or last_word[:1].isupper()):
        return _PLACES[word], True
    if word in _TITLES:
        return _TITLES[word], False
    if word in _WEEKDAYS and re.match(r",|\s+\d|\s*[-–]|\s+(?:at|and|to)\b", after):
        return _WEEKDAYS[word], False
    return _WORDS.get(word.lower(), ""), word.lower() not in _NEVER_LAST


def _is_street(last_word: str) -> bool:
    return last_word in ("Main", "High", "Market", "Church", "Park", "Oak", "Elm", "Maple", "Wall", "Baker", "Fleet")


def _read_dotted(match: Match, reader: Reader) -> bool:
    after = match.string[match.end() :]
    before = match.string[max(0, match.start() - 4) : match.start()]
    spoken, can_end = _expand(match["word"], before, after, reader.writer.last_word)
    if not spoken:
        return False
    reader.say(spoken, match)
    if re.match(r"\s*(?:$|\n)", after) or (can_end and re.match(r"\s+[A-Z]", after)):
        reader.writer.mark(".", match.end(), match.end())
    return True


def _read_bare_title(match: Match, reader: Reader) -> bool:
    reader.say(_TITLES[match["word"]], match)
    return True


def _read_circa(match: Match, reader: Reader) -> bool:
    reader.say("circa", match)
    return True


def _read_bare_day(match: Match, reader: Reader) -> bool:
    """Before a number, and one of several: "Sat" and "Sun" are words as well."""
    before = match.string[max(0, match.start() - 16) : match.start()]
    if match["first"] is None and not _DAY_BEFORE.search(before):
        return False
    reader.say(_WEEKDAYS[match["word"]], match)
    return True


def _read_slashed(match: Match, reader: Reader) -> bool:
    reader.say(_SLASHED_WORDS[match["word"].lower()], match)
    return True


ENGLISH_RULES: Final[tuple[Rule, ...]] = (
    *MONEY_RULES,
    *NUMBER_NAME_RULES,
    *DATE_RULES,
    *ROMAN_RULES,
    *NAME_RULES,
    (_LATIN, _read_latin),
    (_CIRCA, _read_circa),
    (_DOTTED, _read_dotted),
    (_BARE_TITLE, _read_bare_title),
    (_BARE_DAY, _read_bare_day),
    (_SLASHED, _read_slashed),
    (_DECADE, _read_decade),
    (_PLURAL, _read_plural),
    (_ORDINAL, _read_ordinal),
    *FRACTION_RULES,
    *UNIT_RULES,
    (_IP, _read_ip),
    (_VERSION, _read_version),
    (_YEAR, _read_year),
    *SIGN_RULES,
)
