"""Dates and times written in digits, as German, French, Spanish, Italian and Portuguese read them."""

import re
from dataclasses import dataclass
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import Match, Reader, Rule
from pipeline.text.words import word_set


@dataclass(frozen=True, slots=True)
class _Calendar:
    """Names and joints: what stands between day and month, month and year, hour and minute; what the first is."""

    months: tuple[str, ...]
    joint: str
    first: str
    hour: str
    hours: str


def _months(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_CALENDARS: Final[dict[str, _Calendar]] = {
    "de": _Calendar(
        _months("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
        "", "", "Uhr", "Uhr",
    ),
    "fr": _Calendar(
        _months("janvier février mars avril mai juin juillet août septembre octobre novembre décembre"),
        "", "premier", "heure", "heures",
    ),
    "es": _Calendar(
        _months("enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"),
        "de", "primero", "", "",
    ),
    "it": _Calendar(
        _months("gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre"),
        "", "primo", "e", "e",
    ),
    "pt": _Calendar(
        _months("janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro"),
        "de", "primeiro", "e", "e",
    ),
}  # fmt: skip

_DATE: Final = re.compile(
    r"(?<![\d./-])(?P<day>0?[1-9]|[12]\d|3[01])(?P<gap>[./])(?P<month>0?[1-9]|1[0-2])(?P=gap)(?P<year>1\d{3}|20\d{2})"
    r"(?![\w/-]|[.,:]\d)"
)
_ISO: Final = re.compile(
    r"(?<![\d./-])(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])(?![\w/-]|[.,:]\d)"
)
_CLOCK: Final = re.compile(
    r"(?<![\d:.,])(?P<hour>[01]?\d|2[0-3])(?:\s?h\s?|:)(?P<minute>[0-5]\d)(?:\s?(?:Uhr|h)\b)?(?![\w:]|[.,]\d)"
)
_GERMAN_DAY: Final = re.compile(rf"(?P<day>[1-9]|[12]\d|3[01])\.(?=\s(?:{'|'.join(_CALENDARS['de'].months)})\b)")
_INFLECTED: Final = word_set("am vom zum dem den beim im seit ab bis des")
"""German words behind which an ordinal ends in "-en"."""


def _german_day(day: int, last_word: str) -> str | None:
    word = numbers.ordinal(day, "de")
    return word and (f"{word}n" if last_word.lower() in _INFLECTED else word)


def _read_date(match: Match, reader: Reader) -> bool:
    code = reader.language[:2].lower()
    calendar = _CALENDARS[code]
    day, year = int(match["day"]), int(match["year"])
    if code == "de":
        said = _german_day(day, reader.writer.last_word)
    else:
        said = calendar.first if day == 1 else numbers.cardinal(day, code)
    told = numbers.year(year, code)
    if said is None or told is None:
        return False
    reader.say(" ".join([said, calendar.joint, calendar.months[int(match["month"]) - 1], calendar.joint, told]), match)
    return True


def _read_german_day(match: Match, reader: Reader) -> bool:
    said = _german_day(int(match["day"]), reader.writer.last_word)
    reader.say(said or match.group(), match)
    return True


def _read_clock(match: Match, reader: Reader) -> bool:
    code = reader.language[:2].lower()
    calendar, hour, minute = _CALENDARS[code], int(match["hour"]), int(match["minute"])
    # "ein Uhr", "une heure", "la una": with the gender that the hour has.
    one = {"de": "ein", "fr": "une", "es": "una", "it": "una", "pt": "uma"}[code]
    many = {("fr", 21): "vingt et une", ("es", 21): "veintiuna", ("pt", 2): "duas", ("pt", 21): "vinte e uma",
            ("pt", 22): "vinte e duas"}  # fmt: skip
    said = one if hour == 1 else many.get((code, hour)) or numbers.cardinal(hour, code)
    if said is None:
        return False
    unit = calendar.hour if hour in (0, 1) else calendar.hours
    if minute:
        said = f"{said} {unit} {numbers.cardinal(minute, code)}"
    elif code in ("de", "fr"):
        said = f"{said} {unit}"
    reader.say(said, match)
    return True


def date_rules(language: str) -> tuple[Rule, ...]:
    """The rules of a language (ISO 639-1), none where its calendar is not known."""
    if language not in _CALENDARS:
        return ()
    common: tuple[Rule, ...] = ((_DATE, _read_date), (_ISO, _read_date), (_CLOCK, _read_clock))
    return (*common, (_GERMAN_DAY, _read_german_day)) if language == "de" else common
