"""English readings of numbers that are names (ISBN, ZIP, card, flight, house, room), spans, versions, comparisons."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import Match, Reader, Rule
from pipeline.text.words import word_set

_END: Final = r"(?![\w]|[.,-]\d)"
_STATES: Final = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]"
)
_VANITY: Final = re.compile(
    r"(?<![\w-])(?:(?P<country>1)-)?(?P<area>8\d\d|900)-(?P<word>[A-Z]{2,12}(?:-[A-Z\d]{1,12}){0,3})(?![\w-])"
)
_ISBN: Final = re.compile(r"(?P<name>ISBN(?:-1[03])?)(?P<mark>:)?\s?(?P<code>\d[\d -]{8,15}[\dX])(?![\w-])")
_STATE_ZIP: Final = re.compile(rf"(?<!\w)(?P<state>{_STATES})\s(?P<code>\d{{5}}(?:-\d{{4}})?){_END}")
_ZIP_PLUS: Final = re.compile(rf"(?<![\w-])\d{{5}}-\d{{4}}{_END}")
_CARD: Final = re.compile(
    rf"(?<![\w-])(?:\d{{4}}(?P<gap>[ -])\d{{4}}(?P=gap)\d{{4}}(?P=gap)\d{{4}}|\d{{4}}[ -]\d{{6}}[ -]\d{{5}}){_END}"
)
_SOCIAL: Final = re.compile(rf"(?<![\w-])\d{{3}}-\d{{2}}-\d{{4}}{_END}")
_CODE: Final = re.compile(rf"\d{{3,8}}{_END}")
_CODE_CUE: Final = re.compile(
    r"\b(?:card|account|number|phone|SSN)\b[^.!?\d]{0,24}\bend(?:s|ed) (?:in|with)\s\Z"
    r"|(?:\bending (?:in|with)|\bZIP(?: code)?(?: is)?|\bPIN(?: is)?|\b[Cc]ode(?: is)?)\s\Z"
)
_FLIGHT: Final = re.compile(r"(?P<line>[A-Z]{2}|[A-Z]\d|\d[A-Z])?[ -]?(?P<number>\d{1,4})(?![\w]|[.,:-]\d)")
_JET: Final = re.compile(r"(?<![\w-])7(?P<family>[0-8])7-(?P<model>\d{1,3})(?:(?P<extra>ER|LR|F))?(?![\w-])")
_BOEING: Final = re.compile(r"7(?P<family>[0-8])7(?![\w-])")
_AIRBUS: Final = re.compile(r"(?<!\w)A(?P<first>3)(?P<rest>[0-9]{2})(?:-(?P<model>\d{3,4}))?(?P<neo>neo)?(?![\w-])")
_SHARES: Final = re.compile(r"(?<![\w/.:$€£-])(?P<left>\d0)(?:-|/)(?P<right>\d0)(?![\w/%°]|[.,:/-]\d)")
_PLAN: Final = re.compile(r"(?<!\w)40(?P<digit>[13])(?:\((?P<inner>[kb])\)|(?P<letter>[kb]))(?!\w)")
_HOURS: Final = re.compile(
    r"(?<![\w:.])(?P<from>1[0-2]|0?[1-9])\s?[-–]\s?(?=(?:1[0-2]|0?[1-9])(?::[0-5]\d)?\s?[AaPp]\.?[Mm]\b)"
)
_TO: Final = re.compile(r"(?:(?<=\d)|(?<=[ap]m)|(?<=\d\s)|(?<=[ap]m\s))[-–—]\s?(?=\d{1,2}:\d\d)")
_DAYS: Final = {
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thurs": "Thursday",
    "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip
_WEEK: Final = re.compile(rf"(?<!\w)(?P<from>{'|'.join(_DAYS)})\s?[-–]\s?(?P<to>{'|'.join(_DAYS)})(?!\w)")
_YEARS: Final = re.compile(r"(?<![\w/-])(?P<from>1[6-9]\d\d|20\d\d)[-–/](?P<to>\d\d)(?![\w/-]|[.,:]\d)")
_PAGES: Final = re.compile(r"pp?\.\s?(?=\d)")
PRE_RELEASE: Final = r"(?:-?(?P<stage>alpha|beta|rc|dev|pre)[.-]?(?P<nth>\d{1,3})?)?"
_V: Final = re.compile(rf"(?<!\w)[vV]\.?(?P<number>\d{{1,4}}(?:\.\d{{1,4}}){{0,3}}){PRE_RELEASE}(?![\w]|\.\d)")
_DOTTED: Final = re.compile(rf"(?P<number>\d{{1,3}}\.\d{{1,3}}){PRE_RELEASE}(?![\w%]|[.,]\d)")
_SOFTWARE: Final = word_set(
    "version python ubuntu ios ipados macos android java node postgresql postgres kernel linux release django rust go"
    " ruby php php kubernetes debian fedora typescript firefox chrome"
)
_NUMBERED: Final = word_set("room suite apartment apt route highway interstate form unit studio fahrenheit box")
_ROOM: Final = re.compile(rf"(?P<number>\d{{3,4}}){_END}")
_ROAD: Final = re.compile(r"(?<!\w)(?P<road>I|US|SR)-(?P<number>\d{1,3})(?![\w-]|[.,]\d)")
_STREET: Final = "Street|St|Avenue|Ave|Road|Rd|Drive|Dr|Lane|Ln|Boulevard|Blvd|Way|Court|Place|Square|Terrace|Highway"
_HOUSE: Final = re.compile(
    r"(?<![\w.,:/$€£#-])(?P<number>\d{1,4})(?P<letter>[A-Z])?"
    rf"(?=\s(?:[NSEW]\.?\s)?(?:[A-Z][a-z]{{1,20}}\s){{1,2}}(?:{_STREET})\b)"
)
_NO_HOUSE: Final = word_set("in since by of until till from to the")
_TEAM: Final = re.compile(r"(?P<number>\d{2})ers(?!\w)")
_VERSE: Final = re.compile(r"(?P<chapter>\d{1,3}):(?P<verse>\d{1,3})(?:[-–](?P<to>\d{1,3}))?(?![\w:]|[.,-]\d)")
_BOOKS: Final = word_set(
    "genesis exodus leviticus numbers deuteronomy joshua judges ruth samuel kings chronicles ezra nehemiah esther job"
    " psalm psalms proverbs ecclesiastes isaiah jeremiah ezekiel daniel hosea joel amos micah matthew mark luke john"
    " acts romans corinthians galatians ephesians philippians colossians thessalonians timothy titus hebrews james"
    " peter jude revelation surah quran"
)
_SCORE: Final = re.compile(r"(?P<left>\d{1,3}):(?P<right>\d{1,3})(?![\w:]|[.,-]\d|\s?[AaPp]\.?[Mm]\b)")
_PLAYED: Final = re.compile(
    r"\b(?:scored?|scores|won|win|wins|beat|lost|lead|leads|led|defeat(?:ed)?|drew|tied)\b[^.!?]{0,32}\Z"
)
_TIMED: Final = word_set("at by until till from since before after around about")
_WAR: Final = re.compile(r"(?<!\w)WW(?P<number>II?|[12])(?!\w)")
_DRIVE: Final = re.compile(r"(?<!\w)(?P<drive>[A-Z]):\\(?P<rest>[\w.\\-]{1,120}\w)?")
_COMPARE: Final = re.compile(r"(?P<sign><=|>=|!=|==|<|>)(?=\s?[-−+$€£(]?\w)")
_COMPARED: Final = {
    "<": "less than", ">": "greater than", "<=": "at most", ">=": "at least", "!=": "is not equal to", "==": "equals",
}  # fmt: skip
_ARROW: Final = re.compile(r"[-=]{1,2}>")


def _digits(text: str) -> str:
    """Digits group by group, a pause between them."""
    return ", ".join(numbers.digits(part, "en") or part for part in re.findall(r"\d+", text))


def _pair(number: int) -> str:
    """Two digits as they are said in names: "oh five", "thirty-seven"."""
    if not number:
        return "hundred"
    return f"{'oh ' if number < 10 else ''}{numbers.cardinal(number, 'en')}"


def _read_vanity(match: Match, reader: Reader) -> bool:
    area = "eight hundred" if match["area"] == "800" else "nine hundred" if match["area"] == "900" else None
    said = [numbers.digits(match["country"], "en")] if match["country"] else []
    words = re.findall(r"[A-Z]+|\d+", match["word"])
    said += [area or numbers.digits(match["area"], "en")]
    said += [numbers.cardinal(int(word), "en") if word.isdecimal() else word.lower() for word in words]
    reader.say(" ".join(part for part in said if part), match)
    return True


def _read_isbn(match: Match, reader: Reader) -> bool:
    code = match["code"]
    if sum(c.isalnum() for c in code) not in (10, 13):
        return False
    reader.say("ISBN", match, "name")
    groups = re.findall(r"[\dX]+", code)
    last = groups[-1]
    said = [_digits(group) for group in groups[:-1]]
    said.append(f"{_digits(last[:-1])} X".strip() if last.endswith("X") else _digits(last))
    reader.say(", ".join(said), match, "code")
    return True


def _read_state_zip(match: Match, reader: Reader) -> bool:
    reader.say(match["state"], match, "state")
    reader.say(_digits(match["code"]), match, "code")
    return True


def _read_groups(match: Match, reader: Reader) -> bool:
    reader.say(_digits(match.group()), match)
    return True


def _read_code(match: Match, reader: Reader) -> bool:
    if not _CODE_CUE.search(match.string[max(0, match.start() - 56) : match.start()]):
        return False
    return _read_groups(match, reader)


def _read_flight(match: Match, reader: Reader) -> bool:
    if reader.writer.last_word.lower() not in ("flight", "flights"):
        return False
    line = " ".join(numbers.digits(c, "en") or c if c.isdecimal() else c for c in match["line"] or "")
    reader.say(f"{line} {numbers.digits(match['number'], 'en')}", match)
    return True


def _read_jet(match: Match, reader: Reader) -> bool:
    model = numbers.cardinal(int(match["model"]), "en")
    extra = " ".join(match["extra"] or "")
    reader.say(f"seven {_pair(int(match['family'] + '7'))} {model} {extra}", match)
    return True


def _read_boeing(match: Match, reader: Reader) -> bool:
    if reader.writer.last_word != "Boeing":
        return False
    reader.say(f"seven {_pair(int(match['family'] + '7'))}", match)
    return True


def _read_airbus(match: Match, reader: Reader) -> bool:
    if reader.writer.last_word != "Airbus" and not match["model"] and not match["neo"]:
        return False
    model = f" {numbers.cardinal(int(match['model']), 'en')}" if match["model"] else ""
    reader.say(f"A three {_pair(int(match['rest']))}{model}{' neo' if match['neo'] else ''}", match)
    return True


def _read_shares(match: Match, reader: Reader) -> bool:
    """ "fifty-fifty", "eighty-twenty": shares of a hundred."""
    if int(match["left"]) + int(match["right"]) != 100:
        return False
    reader.say(f"{numbers.cardinal(int(match['left']), 'en')}-{numbers.cardinal(int(match['right']), 'en')}", match)
    return True


def _read_plan(match: Match, reader: Reader) -> bool:
    reader.say(f"four oh {numbers.cardinal(int(match['digit']), 'en')} {match['inner'] or match['letter']}", match)
    return True


def _read_hours(match: Match, reader: Reader) -> bool:
    reader.say(f"{numbers.cardinal(int(match['from']), 'en')} to", match)
    return True


def _read_week(match: Match, reader: Reader) -> bool:
    reader.say(f"{_DAYS[match['from']]} to {_DAYS[match['to']]}", match)
    return True


def _in_pairs(number: str) -> str:
    """Three or four digits as a name: "one oh one", "four fifty-one", "sixteen hundred", "twenty oh one"."""
    if len(number) < 3 or number.startswith("0") or number.endswith("000"):
        return numbers.cardinal(int(number), "en") or number
    return f"{numbers.cardinal(int(number[:-2]), 'en')} {_pair(int(number[-2:]))}"


def _read_room(match: Match, reader: Reader) -> bool:
    if reader.writer.last_word.lower() not in _NUMBERED:
        return False
    reader.say(_in_pairs(match["number"]), match)
    return True


def _read_road(match: Match, reader: Reader) -> bool:
    reader.say(f"{match['road']} {_in_pairs(match['number'])}", match)
    return True


def _read_house(match: Match, reader: Reader) -> bool:
    if reader.writer.last_word.lower() in _NO_HOUSE:
        return False
    reader.say(f"{_in_pairs(match['number'])} {match['letter'] or ''}", match)
    return True


def _read_team(match: Match, reader: Reader) -> bool:
    """ "forty-niners", "seventy-sixers"."""
    said = numbers.cardinal(int(match["number"]), "en") or match["number"]
    reader.say(f"{said.removesuffix('e')}ers", match)
    return True


def _read_verse(match: Match, reader: Reader) -> bool:
    if reader.writer.last_word.lower() not in _BOOKS:
        return False
    last = f" to {reader.number(match['to'])}" if match["to"] else ""
    reader.say(f"{reader.number(match['chapter'])} {reader.number(match['verse'])}{last}", match)
    return True


def _read_score(match: Match, reader: Reader) -> bool:
    before = match.string[max(0, match.start() - 48) : match.start()]
    if reader.writer.last_word.lower() in _TIMED or not _PLAYED.search(before):
        return False
    reader.say(f"{reader.number(match['left'])} to {reader.number(match['right'])}", match)
    return True


def _read_war(match: Match, reader: Reader) -> bool:
    reader.say(f"World War {'two' if match['number'] in ('II', '2') else 'one'}", match)
    return True


def _read_years(match: Match, reader: Reader) -> bool:
    first, last = int(match["from"]), int(match["to"])
    if last <= first % 100:
        return False
    reader.say(f"{numbers.year(first, 'en')} to {_pair(last)}", match)
    return True


def _read_pages(match: Match, reader: Reader) -> bool:
    reader.say("pages" if match.group().startswith("pp") else "page", match)
    return True


def pre_release(match: Match) -> str:
    """ "beta three", "R C one"; empty where a version is no such one (`PRE_RELEASE`)."""
    if not match["stage"]:
        return ""
    stage = "R C" if match["stage"] == "rc" else match["stage"]
    return f"{stage} {numbers.cardinal(int(match['nth']), 'en') if match['nth'] else ''}"


def _version(number: str) -> str:
    return " point ".join(numbers.cardinal(int(part), "en") or part for part in number.split("."))


def _read_v(match: Match, reader: Reader) -> bool:
    reader.say(f"version {_version(match['number'])} {pre_release(match)}", match)
    return True


def _read_dotted(match: Match, reader: Reader) -> bool:
    """ "Python three point eleven": parts of a version are numbers, not digits behind a point."""
    if reader.writer.last_word.lower() not in _SOFTWARE:
        return False
    reader.say(f"{_version(match['number'])} {pre_release(match)}", match)
    return True


def _read_drive(match: Match, reader: Reader) -> bool:
    parts = [match["drive"], "drive"]
    for part in re.findall(r"[^\W\d_]+|\d+|[._-]|\\", match["rest"] or ""):
        known = {"\\": "backslash", ".": "dot", "_": "underscore", "-": "dash"}
        parts.append(known.get(part) or (numbers.cardinal(int(part), "en") if part.isdecimal() else part) or part)
    reader.say(" ".join(parts), match)
    return True


def _read_compare(match: Match, reader: Reader) -> bool:
    reader.say(_COMPARED[match["sign"]], match)
    return True


def _read_arrow(match: Match, reader: Reader) -> bool:
    reader.writer.mark(",", *match.span())
    return True


NUMBER_NAME_RULES: Final[tuple[Rule, ...]] = (
    (_VANITY, _read_vanity),
    (_ISBN, _read_isbn),
    (_STATE_ZIP, _read_state_zip),
    (_ZIP_PLUS, _read_groups),
    (_CARD, _read_groups),
    (_SOCIAL, _read_groups),
    (_ROAD, _read_road),
    (_HOUSE, _read_house),
    (_TEAM, _read_team),
    (_VERSE, _read_verse),
    (_SCORE, _read_score),
    (_WAR, _read_war),
    (_FLIGHT, _read_flight),
    (_CODE, _read_code),
    (_ROOM, _read_room),
    (_JET, _read_jet),
    (_BOEING, _read_boeing),
    (_AIRBUS, _read_airbus),
    (_SHARES, _read_shares),
    (_PLAN, _read_plan),
    (_HOURS, _read_hours),
    (_WEEK, _read_week),
    (_YEARS, _read_years),
    (_PAGES, _read_pages),
    (_V, _read_v),
    (_DOTTED, _read_dotted),
    (_DRIVE, _read_drive),
    (_ARROW, _read_arrow),
    (_COMPARE, _read_compare),
)
"""To be tried before dates and telephone numbers."""
