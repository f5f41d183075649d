"""English readings of money: ranges of it, cents, and amounts of less than one."""

import re
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import POINT_NUMBER, SCALE, SCALES, Match, Reader, Rule, money_words
from pipeline.text.vocabulary import ENGLISH

_SYMBOLS: Final = "|".join(re.escape(each) for each in sorted(ENGLISH.currencies, key=len, reverse=True))
_RANGE: Final = re.compile(
    rf"(?P<symbol>{_SYMBOLS})(?P<low>{POINT_NUMBER})\s?[-–—]\s?(?P<amount>{POINT_NUMBER}){SCALE}(?![.,]?\d|[-–—]\d)"
)
_SMALL: Final = re.compile(r"(?P<symbol>[$€£])\.(?P<cents>\d\d)(?!\d)")
_CENTS: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s?¢|¢\s?(?P<behind>\d+(?:\.\d+)?)")

_CONTINENTAL: Final = re.compile(
    r"(?:€\s?(?P<euros>\d{1,3}),(?P<cents>\d\d)|(?<!\d)(?P<euros_first>\d{1,3}),(?P<cents_first>\d\d)\s?€)(?!\d)"
)


def _read_continental(match: Match, reader: Reader) -> bool:
    """ "12,50 €", as it is written on the continent."""
    euros, cents = match["euros"] or match["euros_first"], match["cents"] or match["cents_first"]
    said = money_words(f"{euros}.{cents}", reader.words.currencies["€"], reader)
    reader.say(said or match.group(), match)
    return True


def _read_range(match: Match, reader: Reader) -> bool:
    """ "one hundred to two hundred dollars", "one dollar and fifty cents to two dollars"."""
    currency, scale = reader.words.currencies[match["symbol"]], match["scale"]
    low, high = match["low"], match["amount"]
    if not scale and ("." in low or "." in high):
        said = f"{money_words(low, currency, reader)} to {money_words(high, currency, reader)}"
    else:
        more = f"{SCALES.get(scale.lower(), scale)} " if scale else ""
        unit = currency.one if reader.counts_as_one else currency.many
        said = f"{reader.number(low)} to {reader.number(high)} {more}{unit}"
    reader.say(said, match)
    return True


def _read_small(match: Match, reader: Reader) -> bool:
    currency, cents = reader.words.currencies[match["symbol"]], int(match["cents"])
    one = cents == 1 or reader.counts_as_one
    reader.say(f"{numbers.cardinal(cents, 'en')} {currency.minor_one if one else currency.minor_many}", match)
    return True


def _read_cents(match: Match, reader: Reader) -> bool:
    number = match["number"] or match["behind"]
    reader.say(f"{reader.number(number)} {'cent' if number == '1' or reader.counts_as_one else 'cents'}", match)
    return True


MONEY_RULES: Final[tuple[Rule, ...]] = (
    (_CONTINENTAL, _read_continental),
    (_RANGE, _read_range),
    (_SMALL, _read_small),
    (_CENTS, _read_cents),
)
