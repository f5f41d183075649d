"""English readings of units, ordinals, fractions, years and abbreviations; all its rules in order."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.english_dates import DATE_RULES, year_words
from pipeline.text.english_names import NUMBER_NAME_RULES
from pipeline.text.english_roman import ROMAN_RULES
from pipeline.text.english_signs import NAME_RULES, SIGN_RULES
from pipeline.text.reading import POINT_NUMBER, Match, Reader, Rule
from pipeline.text.words import word_set

_UNITS: Final[dict[str, tuple[str, str]]] = {
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "m/s": ("meter per second", "meters per second"),
    "km²": ("square kilometer", "square kilometers"),
    "km2": ("square kilometer", "square kilometers"),
    "m²": ("square meter", "square meters"),
    "m2": ("square meter", "square meters"),
    "m³": ("cubic meter", "cubic meters"),
    "cm³": ("cubic centimeter", "cubic centimeters"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "µm": ("micrometer", "micrometers"),
    "nm": ("nanometer", "nanometers"),
    "m": ("meter", "meters"),
    "mi": ("mile", "miles"),
    "ft": ("foot", "feet"),
    "yd": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "µg": ("microgram", "micrograms"),
    "g": ("gram", "grams"),
    "lbs": ("pound", "pounds"),
    "lb": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "l": ("liter", "liters"),
    "L": ("liter", "liters"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "℃": ("degree Celsius", "degrees Celsius"),
    "℉": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "MW": ("megawatt", "megawatts"),
    "kW": ("kilowatt", "kilowatts"),
    "W": ("watt", "watts"),
    "V": ("volt", "volts"),
    "mAh": ("milliamp hour", "milliamp hours"),
    "GHz": ("gigahertz", "gigahertz"),
    "MHz": ("megahertz", "megahertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "Hz": ("hertz", "hertz"),
    "dB": ("decibel", "decibels"),
    "TB": ("terabyte", "terabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "MB": ("megabyte", "megabytes"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "kcal": ("kilocalorie", "kilocalories"),
    "hrs": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "h": ("hour", "hours"),
    "mins": ("minute", "minutes"),
    "min": ("minute", "minutes"),
    "secs": ("second", "seconds"),
    "sec": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "%": ("percent", "percent"),
    "ha": ("hectare", "hectares"),
    "sq ft": ("square foot", "square feet"),
    "fl oz": ("fluid ounce", "fluid ounces"),
    "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "bpm": ("beat per minute", "beats per minute"),
    "fps": ("frame per second", "frames per second"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "ppm": ("part per million", "parts per million"),
    "hPa": ("hectopascal", "hectopascals"),
    "kPa": ("kilopascal", "kilopascals"),
    "kJ": ("kilojoule", "kilojoules"),
    "mV": ("millivolt", "millivolts"),
    "kV": ("kilovolt", "kilovolts"),
    "mA": ("milliampere", "milliamperes"),
    "GW": ("gigawatt", "gigawatts"),
    "mW": ("milliwatt", "milliwatts"),
    "px": ("pixel", "pixels"),
    "µs": ("microsecond", "microseconds"),
    "μs": ("microsecond", "microseconds"),
    "μm": ("micrometer", "micrometers"),
    "μg": ("microgram", "micrograms"),
    "ns": ("nanosecond", "nanoseconds"),
    "PB": ("petabyte", "petabytes"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Ω": ("ohm", "ohms"),
    "kΩ": ("kiloohm", "kiloohms"),
    "in²": ("square inch", "square inches"),
    "L/min": ("liter per minute", "liters per minute"),
    "cal": ("calorie", "calories"),
    "Wh": ("watt hour", "watt hours"),
    "kt": ("knot", "knots"),
}
_UNIT: Final = "|".join(re.escape(unit) for unit in sorted(_UNITS, key=len, reverse=True))
_MEASURE: Final = re.compile(
    rf"(?P<number>{POINT_NUMBER})(?P<gap>[ \u00a0\u202f-]?)(?P<unit>{_UNIT})(?![\w²³])(?:\.(?=\s+[a-z]))?"
)
_PER: Final = re.compile(
    r"(?<=\w)/(?P<unit>second|sec|minute|min|hour|hr|h|day|night|week|month|mo|year|yr|person|kg|km|s)\b"
)
_PER_WORDS: Final = {
    "sec": "second", "s": "second", "min": "minute", "hr": "hour", "h": "hour", "mo": "month", "yr": "year",
    "kg": "kilogram", "km": "kilometer",
}  # fmt: skip


def _read_measure(match: Match, reader: Reader) -> bool:
    unit = match["unit"]
    if unit == "s" and not match["gap"]:
        return False  # "1980s", "80s"
    spoken = reader.number(match["number"])
    if spoken is None:
        return False
    reader.say(spoken, match, "number")
    singular = match["number"] == "1" or match["gap"] == "-"
    reader.say(_UNITS[unit][0 if singular else 1], match, "unit")
    return True


def _read_per(match: Match, reader: Reader) -> bool:
    reader.say(f"per {_PER_WORDS.get(match['unit'], match['unit'])}", match)
    return True


_ORDINAL: Final = re.compile(r"(?P<number>\d{1,3}(?:,\d{3})+|\d{1,9})(?:st|nd|rd|th)(?!\w)", re.IGNORECASE)
_DECADE: Final = re.compile(r"['’]?(?P<century>1\d|20)?(?P<decade>\d0)['’]?s(?!\w)")
_TENS_PLURAL: Final = {
    "00": "hundreds", "10": "tens", "20": "twenties", "30": "thirties", "40": "forties", "50": "fifties",
    "60": "sixties", "70": "seventies", "80": "eighties", "90": "nineties",
}  # fmt: skip
_VERSION: Final = re.compile(r"\d+(?:\.\d+){2,}(?![\w])")
_YEAR: Final = re.compile(r"(?P<year>1[1-9]\d{2}|20\d{2})(?!\w|[.,:/%°]\d|[%°])")
_YEAR_CUES: Final = word_set(
    "in since by of year until till from to before after during around circa between and spring summer autumn fall"
    " winter early late mid"
)
_MIXED: Final = re.compile(r"(?P<whole>\d+)[ ](?P<top>\d{1,2})/(?P<bottom>\d{1,2})(?![\d/]|\.\d)")
_FRACTION: Final = re.compile(r"(?P<top>\d{1,2})/(?P<bottom>\d{1,3})(?![\d/]|\.\d)")
_PARTS: Final = {2: ("half", "halves"), 4: ("quarter", "quarters")}
_VULGAR: Final = re.compile(r"(?P<whole>\d+)?(?P<part>[½¼¾⅓⅔⅛⅜⅝⅞])")
_VULGAR_PARTS: Final = {
    "½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip


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


def _read_version(match: Match, reader: Reader) -> bool:
    """Versions part by part, IP addresses digit by digit."""
    if match.group().count(".") == 3 and re.search(r"\d{3}", match.group()):
        reader.say(" dot ".join(numbers.digits(part, "en") or part for part in match.group().split(".")), match)
        return True
    parts = [reader.number(part) or part for part in match.group().split(".")]
    reader.say(" point ".join(parts), match)
    return True


def _read_year(match: Match, reader: Reader) -> bool:
    """Years are read in pairs where a word before or the end of the phrase behind says that it is one."""
    after = match.string[match.end() :]
    if reader.writer.last_word.lower() not in _YEAR_CUES and not re.match(r"\s*(?:[-–,.;:!?)]|$|AD|BC|CE)", after):
        return False
    if int(match["year"]) < 1600 and reader.writer.last_word.lower() not in _YEAR_CUES:
        return False
    reader.say(year_words(int(match["year"])), match)
    return True


def _fraction_words(top: int, bottom: int) -> str | None:
    one, many = _PARTS.get(bottom, ("", ""))
    if not one:
        one = numbers.ordinal(bottom, "en") or ""
        many = f"{one}s"
    return f"{numbers.cardinal(top, 'en')} {one if top == 1 else many}" if one else None


def _read_fraction(match: Match, reader: Reader) -> bool:
    """Common fractions; anything else ("24/7", "9/11") is two numbers."""
    top, bottom = int(match["top"]), int(match["bottom"])
    spoken = _fraction_words(top, bottom) if 0 < top < bottom and bottom in (2, 3, 4, 5, 6, 8, 10, 12, 16) else None
    reader.say(spoken or f"{numbers.cardinal(top, 'en')} {numbers.cardinal(bottom, 'en')}", match)
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
    "bros": "brothers", "govt": "government", "cf": "compare", "incl": "including", "excl": "excluding",
}  # fmt: skip
_WEEKDAYS: Final = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thur": "Thursday",
    "Thurs": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_LATIN: Final = re.compile(r"(?P<which>e\.?g|i\.?e)(?:\.(?!\w)|(?<=\.[ge])(?!\w))\.?", re.IGNORECASE)
_DOTTED: Final = re.compile(r"(?P<word>[A-Za-z]{2,6})\.(?!\w)")
_BARE_TITLE: Final = re.compile(r"(?P<word>Dr|Mr|Mrs|Ms|Prof)(?=\s+[A-Z])")
_SLASHED: Final = re.compile(r"(?P<word>w/o|w/|vs|b/c)(?!\w)", re.IGNORECASE)
_SLASHED_WORDS: Final = {"w/o": "without", "w/": "with", "vs": "versus", "b/c": "because"}


def _read_latin(match: Match, reader: Reader) -> bool:
    if "." not in match.group():
        return False
    reader.say("for example" if match["which"][0] in "eE" else "that is", match)
    return True


def _expand(word: str, after: str, last_word: str) -> tuple[str, bool]:
    """What an abbreviation stands for ("" when it is none), and whether its full stop can also end a sentence."""
    named = re.match(r"\s+[A-Z]", after) is not None
    if word in _TITLES and (word not in _PLACES or (named and not _is_street(last_word))):
        return _TITLES[word], False
    if word in _PLACES and (word not in _TITLES or last_word[:1].isupper()):
        return _PLACES[word], True
    if word in _TITLES:
        return _TITLES[word], False
    if word in _WEEKDAYS and re.match(r",|\s+\d|\s*[-–]|\s+(?:at|and|to)\b", after):
        return _WEEKDAYS[word], False
    return _WORDS.get(word.lower(), ""), True


def _is_street(last_word: str) -> bool:
    return last_word in ("Main", "High", "Market", "Church", "Park", "Oak", "Elm", "Maple", "Wall", "Baker", "Fleet")


def _read_dotted(match: Match, reader: Reader) -> bool:
    after = match.string[match.end() :]
    spoken, can_end = _expand(match["word"], after, reader.writer.last_word)
    if not spoken:
        return False
    reader.say(spoken, match)
    if can_end and re.match(r"\s+[A-Z]|\s*$|\s*\n", after):
        reader.writer.mark(".", match.end(), match.end())
    return True


def _read_bare_title(match: Match, reader: Reader) -> bool:
    reader.say(_TITLES[match["word"]], match)
    return True


def _read_slashed(match: Match, reader: Reader) -> bool:
    reader.say(_SLASHED_WORDS[match["word"].lower()], match)
    return True


ENGLISH_RULES: Final[tuple[Rule, ...]] = (
    *NUMBER_NAME_RULES,
    *DATE_RULES,
    *ROMAN_RULES,
    *NAME_RULES,
    (_LATIN, _read_latin),
    (_DOTTED, _read_dotted),
    (_BARE_TITLE, _read_bare_title),
    (_SLASHED, _read_slashed),
    (_DECADE, _read_decade),
    (_ORDINAL, _read_ordinal),
    (_MIXED, _read_mixed),
    (_VULGAR, _read_vulgar),
    (_FRACTION, _read_fraction),
    (_MEASURE, _read_measure),
    (_PER, _read_per),
    (_VERSION, _read_version),
    (_YEAR, _read_year),
    *SIGN_RULES,
)
