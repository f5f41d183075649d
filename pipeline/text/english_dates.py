"""English readings of dates, times and telephone numbers."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import Match, Reader, Rule

MONTH_NAMES: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_MONTH_NUMBER: Final = {name[:3].lower(): i for i, name in enumerate(MONTH_NAMES)}
_MONTH: Final = (
    r"(?P<month>January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\.?)"
)
_DAY: Final = r"(?P<day>3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>1\d{3}|20\d{2})"
_NOT_MORE: Final = r"(?![\w%°]|[.,:/-]\d)"

_ISO_DATE: Final = re.compile(
    r"(?P<year>\d{4})-(?P<month>0[1-9]|1[0-2])-(?P<day>0[1-9]|[12]\d|3[01])(?![\d-])"
    r"(?:T(?P<hour>[01]\d|2[0-3]):(?P<minute>[0-5]\d)(?::[0-5]\d(?:\.\d{1,9})?)?(?P<zone>Z)?)?"
)
_SLASH_DATE: Final = re.compile(r"(?P<first>\d{1,2})/(?P<second>\d{1,2})/(?P<year>\d{4}|\d{2})(?![\d/])")
_MONTH_DAY: Final = re.compile(rf"{_MONTH}\s+{_DAY}(?:(?:,\s*|\s+){_YEAR})?{_NOT_MORE}")
_DAY_MONTH: Final = re.compile(rf"{_DAY}(?P<of>\s+of)?\s+{_MONTH}(?:(?:,\s*|\s+){_YEAR})?(?!\w)")
_MONTH_YEAR: Final = re.compile(rf"{_MONTH},?\s+{_YEAR}{_NOT_MORE}")


def year_words(year: int) -> str:
    """ "twenty twenty-six" of 2026, "nineteen oh five" of 1905."""
    return numbers.year(year, "en") or str(year)


def _month_name(written: str) -> str:
    return MONTH_NAMES[_MONTH_NUMBER[written[:3].lower()]]


def _ordinal(day: int) -> str:
    return numbers.ordinal(day, "en") or str(day)


def _read_iso_date(match: Match, reader: Reader) -> bool:
    month, day = MONTH_NAMES[int(match["month"]) - 1], _ordinal(int(match["day"]))
    said = f"{month} {day}, {year_words(int(match['year']))}"
    if match["hour"]:
        said += f", {_time(int(match['hour']), int(match['minute']))}{' UTC' if match['zone'] else ''}"
    reader.say(said, match)
    return True


def _read_slash_date(match: Match, reader: Reader) -> bool:
    """Month first, as in the United States; day first where the month could not be one."""
    first, second, year = int(match["first"]), int(match["second"]), int(match["year"])
    month, day = (first, second) if first <= 12 else (second, first)
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return False
    if len(match["year"]) == 2:
        year += 2000 if year < 70 else 1900
    reader.say(f"{MONTH_NAMES[month - 1]} {_ordinal(day)}, {year_words(year)}", match)
    return True


_MONTH_OF_YEAR: Final = re.compile(r"(?<![\d/])(?P<month>0?[1-9]|1[0-2])/(?P<year>(?:19|20)\d{2})(?![\d/])")


def _read_month_of_year(match: Match, reader: Reader) -> bool:
    reader.say(f"{MONTH_NAMES[int(match['month']) - 1]} {year_words(int(match['year']))}", match)
    return True


def _say_year(match: Match, reader: Reader) -> None:
    if match["year"]:
        reader.writer.mark(",", match.start("year"), match.start("year"))
        reader.say(year_words(int(match["year"])), match, "year")


def _read_month_day(match: Match, reader: Reader) -> bool:
    reader.say(_month_name(match["month"]), match, "month")
    reader.say(_ordinal(int(match["day"])), match, "day")
    _say_year(match, reader)
    return True


def _read_day_month(match: Match, reader: Reader) -> bool:
    article = "" if reader.writer.last_word.lower() in ("the", "this", "every") else "the "
    reader.say(f"{article}{_ordinal(int(match['day']))} of", match, "day")
    reader.say(_month_name(match["month"]), match, "month")
    _say_year(match, reader)
    return True


def _read_month_year(match: Match, reader: Reader) -> bool:
    reader.say(_month_name(match["month"]), match, "month")
    reader.say(year_words(int(match["year"])), match, "year")
    return True


_HALF: Final = r"(?P<half>[AaPp])\.?\s?[Mm]\b\.?"
_CLOCK: Final = re.compile(
    rf"(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.\d+)?)?(?:\s?{_HALF})?(?![\w:])"
)
_HOUR: Final = re.compile(rf"(?P<hour>1[0-2]|0?[1-9])\s?{_HALF}(?!\w)")


def _half(match: Match) -> str:
    return f" {match['half'].lower()}.m." if match["half"] else ""


def _end_half(match: Match, reader: Reader) -> None:
    """The full stop of "p.m." also ends the sentence where nothing, or a capital after a blank, follows."""
    if match["half"] and match.group().endswith(".") and re.match(r"\s+[A-Z]|\s*$", match.string[match.end() :]):
        reader.writer.mark(".", match.end(), match.end())


def _time(hour: int, minute: int, *, half: bool = False) -> str:
    spoken = numbers.cardinal(hour, "en") or str(hour)
    if minute:
        return f"{spoken} {'oh ' if minute < 10 else ''}{numbers.cardinal(minute, 'en')}"
    if half:
        return spoken
    return spoken + (" o'clock" if 1 <= hour <= 12 else " hundred")


def _read_clock(match: Match, reader: Reader) -> bool:
    spoken = _time(int(match["hour"]), int(match["minute"]), half=bool(match["half"]))
    if match["second"] and int(match["second"]):
        spoken += f" and {numbers.cardinal(int(match['second']), 'en')} seconds"
    reader.say(spoken + _half(match), match)
    _end_half(match, reader)
    return True


def _read_hour(match: Match, reader: Reader) -> bool:
    reader.say(f"{numbers.cardinal(int(match['hour']), 'en')}{_half(match)}", match)
    _end_half(match, reader)
    return True


_PHONE: Final = re.compile(
    r"(?:"
    r"\+\d{1,3}[ .\-/]?(?:\(?\d{1,5}\)?[ .\-/]?){1,5}\d{2,}"  # international, E.164
    r"|(?:1[ .-])?\(\d{3}\)[ .-]?\d{3}[ .-]\d{4}"
    r"|(?:1[ .-])?\d{3}([ .-])\d{3}\1\d{4}"
    r"|\d{3}-\d{4}"
    r"|0\d{2,4}[ /-]\d{3,}(?:[ -]\d+)*"
    r")(?![\w-]|[.,]\d)"
)


def _read_phone(match: Match, reader: Reader) -> bool:
    """Digit by digit, with a pause between the groups."""
    written = match.group()
    count = sum(c.isdecimal() for c in written)
    if count < 7 or count > 15:
        return False
    groups = [numbers.digits(group, "en") or group for group in re.findall(r"\d+", written)]
    reader.say(("plus " if written.startswith("+") else "") + ", ".join(groups), match)
    return True


DATE_RULES: Final[tuple[Rule, ...]] = (
    (_ISO_DATE, _read_iso_date),
    (_SLASH_DATE, _read_slash_date),
    (_MONTH_OF_YEAR, _read_month_of_year),
    (_MONTH_DAY, _read_month_day),
    (_DAY_MONTH, _read_day_month),
    (_MONTH_YEAR, _read_month_year),
    (_CLOCK, _read_clock),
    (_HOUR, _read_hour),
    (_PHONE, _read_phone),
)
