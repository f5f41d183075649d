"""Written German, French, Spanish, Italian and Portuguese, and what must be said, made from grammars.

The speller is Unicode's: CLDR's rules for numbers (unicode-rbnf) and its names of units, months and currencies (babel),
which those who speak the languages keep. What Morgan says comes from other sources (num2words, `pipeline.text.units`).
"""

import random
import re
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

from babel.dates import format_date
from babel.numbers import format_decimal, get_currency_name
from babel.units import format_unit
from unicode_rbnf import RbnfEngine

FIVE = ("de", "fr", "es", "it", "pt")

Pair = tuple[str, str]
Grammar = Callable[[random.Random, str], Pair]

UNITS = {
    "km": ("length-kilometer", "m"), "kg": ("mass-kilogram", "m"), "ml": ("volume-milliliter", "m"),
    "h": ("duration-hour", "f"), "min": ("duration-minute", "m"), "km/h": ("speed-kilometer-per-hour", "m"),
    "°C": ("temperature-celsius", "m"), "GB": ("digital-gigabyte", "m"), "kW": ("power-kilowatt", "m"),
    "m²": ("area-square-meter", "m"), "MHz": ("frequency-megahertz", "m"),
}  # fmt: skip
"""CLDR's name and the gender; German and French minutes, and all hours, are feminine."""

TO = {"de": "bis", "fr": "à", "es": "a", "it": "a", "pt": "a"}
POINT = {"de": "Komma", "fr": "virgule", "es": "coma", "it": "virgola", "pt": "vírgula"}
MINUS = {"de": "minus", "fr": "moins", "es": "menos", "it": "meno", "pt": "menos"}
PERCENT = {"de": "Prozent", "fr": "pour cent", "es": "por ciento", "it": "per cento", "pt": "por cento"}
CALL = {"de": "Tel.", "fr": "tél.", "es": "tel.", "it": "tel.", "pt": "tel."}
CALLED = {"de": "Telefon", "fr": "téléphone", "es": "teléfono", "it": "telefono", "pt": "telefone"}


@cache
def engine(language: str) -> RbnfEngine:
    return RbnfEngine.for_language(language)


def spelled(number: int, language: str, rules: str = "spellout-numbering") -> str:
    """By one of CLDR's sets of rules, without soft hyphens."""
    said = engine(language).format_number(number, ruleset_names=[rules])
    return said.text_by_ruleset[rules].replace("\u00ad", "")


def counted(number: int, language: str, gender: str = "m") -> str:
    return spelled(number, language, f"spellout-cardinal-{'feminine' if gender == 'f' else 'masculine'}")


def grouped(number: int, language: str) -> str:
    """As it is written there: "12.345", in French with spaces."""
    return format_decimal(number, locale="pt_BR" if language == "pt" else "de" if language == "it" else language)


def same(text: str) -> str:
    """Without what is written in two ways: hyphens and "quatre-vingts millions", Italian accents, "milhões e"."""
    text = re.sub(r"\b(milhões|milhão) e ", r"\1 ", text.replace("-", " ").replace("’", "'"))
    return text.replace("vingts millions", "vingt millions").replace("tré", "tre").lower()


def _number(rng: random.Random, language: str) -> Pair:
    number = rng.randrange(10 ** rng.randint(1, 7))
    written = grouped(number, language) if number > 9_999 else str(number)
    return f"x {written} y", f"x {spelled(number, language)} y"


def _negative(rng: random.Random, language: str) -> Pair:
    number = rng.randint(2, 90)
    return f"x {rng.choice('-−')}{number} y", f"x {MINUS[language]} {spelled(number, language)} y"


def _decimal(rng: random.Random, language: str) -> Pair:
    whole, tenth = rng.randint(0, 300), rng.randint(1, 9)
    said = f"x {spelled(whole, language)} {POINT[language]} {spelled(tenth, language)} y"
    return f"x {whole},{tenth} y", said


def _percent(rng: random.Random, language: str) -> Pair:
    number, gap = rng.randint(2, 100), rng.choice(["", " ", "\u00a0"])
    return f"x {number}{gap}% y", f"x {spelled(number, language)} {PERCENT[language]} y"


def _euros(rng: random.Random, language: str) -> Pair:
    number = rng.randint(1, 999)
    name = get_currency_name("EUR", count=number, locale=language)
    return f"x {number} € y", f"x {counted(number, language)} {name} y"


def _euros_and_cents(rng: random.Random, language: str) -> Pair:
    number, cents = rng.randint(2, 99), rng.randint(10, 99)
    name = get_currency_name("EUR", count=number, locale=language)
    cents_said = counted(cents, language)
    return f"x {number},{cents} € y", f"x {counted(number, language)} {name} {cents_said} y"


def _unit(rng: random.Random, language: str) -> Pair:
    number, symbol = rng.randint(1, 400), rng.choice(list(UNITS))
    name, gender = UNITS[symbol]
    if symbol == "min" and language in ("de", "fr"):
        gender = "f"
    told = format_unit(number, name, "long", locale=language)
    said = re.sub(r"^[\d.,\s]*", "", told)
    count = counted(number, language, gender)
    joint = "'" if (language, count, symbol) == ("it", "una", "h") else " "
    return f"x {number} {symbol} y", f"x {count.removesuffix('a') if joint == chr(39) else count}{joint}{said} y"


def _range(rng: random.Random, language: str) -> Pair:
    first, dash = rng.randint(2, 60), rng.choice(["-", "–", " – "])
    last = first + rng.randint(2, 30)
    return f"x {first}{dash}{last} y", f"x {spelled(first, language)} {TO[language]} {spelled(last, language)} y"


def _date(rng: random.Random, language: str) -> Pair:
    day = date(rng.randint(1950, 2035), rng.randint(1, 12), rng.randint(2, 28))
    written = day.strftime("%d.%m.%Y" if language == "de" else "%d/%m/%Y")
    month = format_date(day, "MMMM", locale=language)
    # French is said both ways: "dix-neuf cent", "mille neuf cent".
    year = spelled(day.year, language, "spellout-numbering" if language == "fr" else "spellout-numbering-year")
    told = spelled(day.day, language, "spellout-ordinal" if language == "de" else "spellout-numbering")
    joint = " de " if language in ("es", "pt") else " "
    return f"x {written} y", f"x {told}{joint}{month}{joint}{year} y"


def _clock(rng: random.Random, language: str) -> Pair:
    hour, minute = rng.randint(3, 20), rng.randint(10, 59)
    past = spelled(minute, language)
    written = f"{hour}h{minute}" if language == "fr" else f"{hour}:{minute}"
    said = {
        "de": f"{spelled(hour, language)} Uhr {past}",
        "fr": f"{spelled(hour, language)} heures {past}",
        "es": f"{spelled(hour, language)} {past}",
    }.get(language, f"{spelled(hour, language)} e {past}")
    return f"x {written} y", f"x {said} y"


def _ordinal(rng: random.Random, language: str) -> Pair:
    number = rng.randint(2, 40)
    if language == "de":
        return f"der {number}. Platz", f"der {spelled(number, language, 'spellout-ordinal')} Platz"
    if language == "fr":
        return f"le {number}e rang", f"le {spelled(number, language, 'spellout-ordinal-masculine')} rang"
    feminine = rng.random() < 0.5
    rules = f"spellout-ordinal-{'feminine' if feminine else 'masculine'}"
    return f"x {number}{'ª' if feminine else 'º'} y", f"x {spelled(number, language, rules)} y"


def _telephone(rng: random.Random, language: str) -> Pair:
    groups = ["0" + str(rng.randint(1, 9)) if language in ("de", "fr", "it") else str(rng.randint(11, 99))]
    groups += ["".join(rng.choice("123456789") for _ in range(2 if language == "fr" else 4)) for _ in range(3)]

    def told(group: str) -> str:
        if language == "fr" and group[0] != "0":
            return spelled(int(group), language)
        return " ".join(spelled(int(digit), language) for digit in group)

    return f"{CALL[language]} {' '.join(groups)}", f"{CALLED[language]} {', '.join(map(told, groups))}"


GRAMMARS: tuple[Grammar, ...] = (
    _number, _negative, _decimal, _percent, _euros, _euros_and_cents, _unit, _range, _date, _clock, _ordinal,
    _telephone,
)  # fmt: skip


def table(seed: int, count: int) -> Iterator[tuple[str, str, str]]:
    """Language, what is written and what must be said; all grammars and languages in turn."""
    rng = random.Random(seed)
    for number in range(count):
        language = FIVE[number % len(FIVE)]
        grammar = GRAMMARS[number // len(FIVE) % len(GRAMMARS)]
        yield language, *grammar(rng, language)
