"""Readings of what is written, in any language: numbers, money, percentages, web and mail addresses, symbols."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from pipeline.text import numbers
from pipeline.text.vocabulary import Currency, Vocabulary
from pipeline.text.writer import Writer

Match: TypeAlias = re.Match[str]


@dataclass(frozen=True, slots=True)
class Reader:
    """Where words go, and the language that they are in."""

    writer: Writer
    language: str
    words: Vocabulary

    def say(self, words: str, match: Match, group: int | str = 0) -> None:
        """Say words for a group of a match."""
        self.writer.say(words, match.start(group), match.end(group))

    @property
    def counts_as_one(self) -> bool:
        """Whether what is counted next stands in the singular all the same, as in "a five dollar bill"."""
        return self.language.startswith("en") and self.writer.last_word.lower() in ("a", "an")

    def number(self, written: str) -> str | None:
        """The words of a written number with group and decimal marks; None where the language cannot say it."""
        mark = self.words.decimal_mark
        integer, _, fraction = written.partition(mark)
        integer = re.sub(r"[.,\s'\u00a0\u202f]", "", integer)
        if fraction:
            if not self.words.point:
                return None
            return numbers.decimal(integer, fraction, self.words.point, self.language)
        if len(integer) > 1 and integer.startswith("0"):
            return numbers.digits(integer, self.language)
        if written.isdecimal() and len(integer) >= _DIGITS_FROM:
            return numbers.digits(integer, self.language)
        return numbers.cardinal(int(integer), self.language)


Rule: TypeAlias = tuple[re.Pattern[str], Callable[[Match, Reader], bool]]
"""A pattern, and what to say where it matches; the function says nothing and returns False to decline."""

_DIGITS_FROM: Final = 10
"""Integers with at least so many digits and no group marks are numbers of things like accounts: read digit by digit."""

POINT_NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?)"
COMMA_NUMBER: Final = r"(?:\d{1,3}(?:[.\u00a0\u202f ]\d{3})+(?!\d)(?:,\d+)?|\d+(?:,\d+)?)"

_TLDS: Final = (
    "com|org|net|io|ai|app|dev|edu|gov|mil|info|biz|co|me|tv|uk|us|ca|au|nz|ie|de|at|ch|fr|be|nl|es|pt|it|eu|se|no|dk|"
    "fi|pl|cz|gr|tr|ru|ua|in|cn|jp|kr|br|mx|ar|za|local|test|example"
)
# A name is looked for from its first character only, or within the lengths of RFC 1035: in a text of "a1a1a1..." not
# every position may be looked at to the end of the text.
_URL: Final = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"“”]+", re.IGNORECASE)
_DOMAIN: Final = re.compile(
    rf"(?:[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])?\.){{1,8}}(?:{_TLDS})(?:\.(?:uk|au|nz|br|za))?(?![\w@-]|\.[a-z])(?::\d+)?(?:/[^\s<>\"“”]*)?",
    re.IGNORECASE,
)
_LOCALHOST: Final = re.compile(r"localhost(?=[:/])(?::\d{1,5})?(?:/[^\s<>\"“”]*)?")
_EMAIL: Final = re.compile(r"(?:mailto:|(?<![\w.+-]))(?P<name>[\w.+-]*\w)@(?P<host>[\w-]+(?:\.[\w-]+)+)")
_PATH: Final = re.compile(r"(?<![\w/])(?:~|\.{1,2})?/(?:[\w.-]+/)*[\w.-]*\w/?")
_RELATIVE_PATH: Final = re.compile(r"(?<![\w/.-])[A-Za-z_](?:[\w-]{0,63}/){1,8}[\w-]{1,64}\.[a-z]\w{0,9}(?!\w)")
_FILE: Final = re.compile(r"[A-Za-z][\w-]{0,63}(?:\.[a-z]\w{0,31}){1,8}(?!\w)")
_HANDLE: Final = re.compile(r"(?<!\w)@(?=\w)")
_ADDRESS_PART: Final = re.compile(r"[^\W\d_]+|\d+|[./_@:~+-]")
_LONGEST_PATH: Final = 60
_SENTENCE_MARKS: Final = ".,;:!?'’*_"


def _spell_address(text: str, reader: Reader) -> str:
    words = reader.words
    if not words.dot:
        return text
    names = {".": words.dot, "/": words.slash, "-": words.dash, "_": words.underscore, "@": words.at, "~": "tilde",
             ":": words.symbols.get(":", ""), "+": words.symbols.get("+", "+")}  # fmt: skip
    said: list[str] = []
    for part in _ADDRESS_PART.findall(text):
        if part.isdecimal() and said and said[-1] == words.symbols.get(":"):
            said.append(numbers.digits(part, reader.language) or part)  # a port
        elif part.isdecimal():
            said.append((reader.number(part) if len(part) <= 4 else numbers.digits(part, reader.language)) or part)
        else:
            said.append(names.get(part, part))
    return " ".join(said)


def _trim(text: str) -> str:
    """A URL without the punctuation of the sentence around it."""
    trimmed = text.rstrip(_SENTENCE_MARKS)
    surplus = trimmed.count(")") - trimmed.count("(")
    while trimmed.endswith(")") and surplus > 0:
        trimmed = trimmed[:-1].rstrip(_SENTENCE_MARKS)
        surplus -= 1
    return trimmed


def read_url(match: Match, reader: Reader) -> bool:
    """ "example dot com slash path": scheme, "www.", query and fragment are left out, an endless path too."""
    written = _trim(match.group())
    bare = re.sub(r"^(?:[a-z]+://)?(?:www\.)?", "", written, flags=re.IGNORECASE)
    bare = re.split(r"[?#]", bare, maxsplit=1)[0].rstrip("/")
    host, _, path = bare.partition("/")
    spoken = _spell_address(bare if len(path) <= _LONGEST_PATH else host, reader)
    if not spoken:
        return False
    start = match.start()
    reader.writer.say(spoken, start, start + len(written))
    _read_marks(match.group()[len(written) :], start + len(written), reader)
    return True


def _read_marks(text: str, start: int, reader: Reader) -> None:
    for i, character in enumerate(text):
        if character in _MARKS:
            reader.writer.mark(_MARKS[character], start + i, start + i + 1)


def read_email(match: Match, reader: Reader) -> bool:
    """ "jane dot doe at example dot com"."""
    reader.say(_spell_address(f"{match['name']}@{match['host']}", reader), match)
    return True


def read_path(match: Match, reader: Reader) -> bool:
    """A file with its ending, or a path."""
    reader.say(_spell_address(match.group(), reader), match)
    return True


def _read_handle(match: Match, reader: Reader) -> bool:
    if not reader.words.at:
        return False
    reader.say(reader.words.at, match)
    return True


ADDRESS_RULES: Final[tuple[Rule, ...]] = (
    (_EMAIL, read_email),
    (_URL, read_url),
    (_DOMAIN, read_url),
    (_LOCALHOST, read_url),
    (_PATH, read_path),
    (_RELATIVE_PATH, read_path),
    (_HANDLE, _read_handle),
)
FILE_RULE: Final[Rule] = (_FILE, read_path)


def money_words(amount: str, currency: Currency, reader: Reader) -> str | None:
    """An amount as it is said; None where the language cannot say it."""
    integer, _, fraction = amount.partition(reader.words.decimal_mark)
    whole, cents = int(re.sub(r"\D", "", integer) or "0"), int(fraction) if len(fraction) == 2 else 0
    if fraction and (len(fraction) != 2 or not currency.minor_many):
        spoken = reader.number(amount)
        return f"{spoken} {currency.one if reader.counts_as_one else currency.many}" if spoken else None
    parts = []
    if whole or not cents:
        count = numbers.counted(whole, reader.language, feminine=currency.feminine)
        if whole == 1 and not currency.feminine:
            count = reader.words.one
        parts.append(f"{count} {currency.one if whole == 1 or reader.counts_as_one else currency.many}")
    if cents:
        count = reader.words.one if cents == 1 else numbers.counted(cents, reader.language)
        minor = currency.minor_one if cents == 1 or reader.counts_as_one else currency.minor_many
        english = reader.language.startswith("en")
        if parts and not english:
            parts.append(str(count))  # "drei Euro fünfzig", "tres euros cincuenta"
        else:
            parts.append(f"{'and ' if parts else ''}{count} {minor}")
    return " ".join(parts)


SCALES: Final = {
    "k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion", "t": "trillion",
    "tn": "trillion",
}  # fmt: skip
SCALE: Final = r"(?:\s?(?P<scale>thousand|million|billion|trillion|(?:bn|mn|tn|[kKMBT])(?![\w])|(?<=\d)[mb](?!\w)))?"


def _read_money(match: Match, reader: Reader) -> bool:
    currency = reader.words.currencies.get(match["symbol"])
    if currency is None:
        return False
    scale = match["scale"]
    if scale:
        amount = reader.number(match["amount"])
        unit = currency.one if reader.counts_as_one else currency.many
        spoken = f"{amount} {SCALES.get(scale.lower(), scale)} {unit}" if amount else None
    else:
        spoken = money_words(match["amount"], currency, reader)
    if spoken:
        reader.say(spoken, match)
    return spoken is not None


def _read_number(match: Match, reader: Reader) -> bool:
    spoken = reader.number(match.group())
    reader.say(spoken or match.group(), match)
    return True


def _read_minus(match: Match, reader: Reader) -> bool:
    if not reader.words.minus:
        return False
    reader.say(reader.words.minus, match)
    return True


def _read_as_written(match: Match, reader: Reader) -> bool:
    reader.say(match.group(), match)
    return True


def number_rules(words: Vocabulary) -> tuple[Rule, ...]:
    """Money, dates and versions left as they are, signs and plain numbers, with the marks of the language."""
    number = POINT_NUMBER if words.decimal_mark == "." else COMMA_NUMBER
    symbols = "|".join(re.escape(symbol) for symbol in sorted(words.currencies, key=len, reverse=True))
    rules: list[Rule] = []
    if symbols:
        rules += [
            (re.compile(rf"(?P<symbol>{symbols})\s?(?P<amount>{number}){SCALE}(?![.,]?\d)"), _read_money),
            (re.compile(rf"(?P<amount>{number})(?P<scale>(?!))?\s?(?P<symbol>{symbols})(?!\w)"), _read_money),
        ]
    else:
        rules.append((re.compile(r"[$€£¥₹]\s?\d+(?:[.,]\d+)*|\d+(?:[.,]\d+)*\s?[$€£¥₹%]"), _read_as_written))
    plain = rf"{number}(?![.,:/]\d|\d)"
    rules += [
        (re.compile(r"(?<![\w)\]])[-−](?=[.,]?\d|[$€£¥₹]\d)"), _read_minus),
        (re.compile(plain), _read_number),
        # Dates and the like of languages without rules of their own: their voices know better than we do.
        (re.compile(r"\d+(?:[.,:/-]\d+)+"), _read_as_written),
        (re.compile(r"\d+"), _read_number),
    ]
    return tuple(rules)


_MARKS: Final = {
    ",": ",", ";": ";", ":": ":", ".": ".", "!": "!", "?": "?", "…": "...", "—": ",", "–": ",", "|": ",", "→": ",",
    "。": ".", "！": "!", "？": "?", "，": ",", "、": ",", "；": ";", "：": ":", "।": ".", "؟": "?", "،": ",",
}  # fmt: skip
_WORD: Final = re.compile(
    r"[^\s\d.,;:!?…—–|→←↑↓。！？，、；：।؟،¿¡\"“”„«»‹›()\[\]{}<>/\\@#&%$€£¥₹*+=~^_\-−°×÷²³±≈§≤≥≠√∞'’‘]"
    r"[^\s\d.,;:!?…—–|→←↑↓。！？，、；：।؟،¿¡\"“”„«»‹›()\[\]{}<>/\\@#&%$€£¥₹*+=~^_\-−°×÷²³±≈§≤≥≠√∞'’‘]*"
    r"(?:['’-][^\W\d_]+)*"
)
_ELLIPSIS: Final = re.compile(r"\.{2,}|…")
_SPACED_DASH: Final = re.compile(r"(?<=\s)(?:--?|[–—])(?=\s)|(?<=\w)--(?=\w)")
_BRACKET: Final = re.compile(r"[()\[\]{}]")
_BLANK_LINE: Final = re.compile(r"[ \t\r]*\n\s*")
_MARK: Final = re.compile(f"[{re.escape(''.join(_MARKS))}]")
_SYMBOL: Final = re.compile(r"[&+=%@°×÷²³±≈§<>≤≥≠√∞]")


def _read_word(match: Match, reader: Reader) -> bool:
    if not any(c.isalnum() for c in match.group()):
        return False
    reader.say(match.group().replace("’", "'"), match)
    return True


def _read_mark(match: Match, reader: Reader) -> bool:
    _read_marks(match.group(), match.start(), reader)
    return True


def _read_ellipsis(match: Match, reader: Reader) -> bool:
    reader.writer.mark("...", *match.span())
    return True


def _read_pause(match: Match, reader: Reader) -> bool:
    reader.writer.mark(",", *match.span())
    return True


def _read_bracket(match: Match, reader: Reader) -> bool:
    """An aside is parted by commas; brackets inside or right behind a word ("f()") are not one."""
    before, after = match.string[: match.start()], match.string[match.end() :]
    opens = match.group() in "([{" and before[-1:].isspace() and after[:1].strip() not in ("", ")", "]", "}")
    closes = match.group() in ")]}" and bool(re.match(r"\s+\w", after)) and not re.search(r"[(\[{]$", before)
    if opens or closes:
        reader.writer.mark(",", match.start(), match.start() if opens else match.end())
    return True


def _read_line_end(match: Match, reader: Reader) -> bool:
    """A new line ends a sentence, unless it only wraps one: then the next line goes on in lower case."""
    after = match.string[match.end() : match.end() + 1]
    if after and reader.writer.open and (match.group().count("\n") > 1 or not after.islower()):
        reader.writer.mark(".", match.start(), match.start())
    return True


def _read_symbol(match: Match, reader: Reader) -> bool:
    symbol = match.group()
    spoken = reader.words.symbols.get(symbol, "" if reader.words.symbols else symbol)
    if symbol in "<>" and not re.match(r"\s*\d", match.string[match.end() :]):
        return False
    if spoken:
        reader.say(spoken, match)
    return bool(spoken)


TEXT_RULES: Final[tuple[Rule, ...]] = (
    (_BLANK_LINE, _read_line_end),
    (_ELLIPSIS, _read_ellipsis),
    (_SPACED_DASH, _read_pause),
    (_WORD, _read_word),
    (_BRACKET, _read_bracket),
    (_MARK, _read_mark),
    (_SYMBOL, _read_symbol),
)
