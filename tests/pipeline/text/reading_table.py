"""Written English and what must be said, made from grammars: templates, values, and num2words as the speller."""

import random
from collections.abc import Callable, Iterator

from num2words import num2words  # type: ignore[import-untyped]

Pair = tuple[str, str]
Grammar = Callable[[random.Random], Pair]


def cardinal(number: int) -> str:
    return str(num2words(number)).replace(",", "")


def ordinal(number: int) -> str:
    return str(num2words(number, to="ordinal")).replace(",", "")


def year(number: int) -> str:
    return str(num2words(number, to="year"))


def digits(text: str) -> str:
    return " ".join(cardinal(int(c)) for c in text)


def roman(number: int) -> str:
    written = ""
    for value, letters in ((50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")):
        while number >= value:
            written, number = written + letters, number - value
    return written


def some_digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("123456789") for _ in range(count))


def minute(number: int) -> str:
    return f"{'oh ' if number < 10 else ''}{cardinal(number)}"


def _counted(rng: random.Random) -> Pair:
    number, noun = rng.randint(1, 30), rng.choice(["Chapter", "World War", "Part", "Volume", "Act", "Super Bowl"])
    return f"We read about {noun} {roman(number)}.", f"We read about {noun} {cardinal(number)}."


def _ruler(rng: random.Random) -> Pair:
    number, name = rng.randint(2, 23), rng.choice(["Henry", "Louis", "Elizabeth", "George", "Pope Pius", "John Paul"])
    return f"It was {name} {roman(number)} who came.", f"It was {name} the {ordinal(number)} who came."


def _pronoun(rng: random.Random) -> Pair:
    verb = rng.choice(["think", "know", "like", "saw", "met", "remember"])
    template = rng.choice(["Tom and I {} it.", "What Henry I {}, yes.", "The part I {} is short.", "So I {} that."])
    text = template.format(verb)
    return text, text


def _vanity(rng: random.Random) -> Pair:
    word = rng.choice(["FLOWERS", "MATTRESS", "CONTACTS", "LAWYERS", "TAXICAB"])
    return f"Call 1-800-{word} now.", f"Call one eight hundred {word.lower()} now."


def _isbn(rng: random.Random) -> Pair:
    groups = ["978", some_digits(rng, 1), some_digits(rng, 2), some_digits(rng, 6), some_digits(rng, 1)]
    return f"ISBN {'-'.join(groups)}", "ISBN " + ", ".join(map(digits, groups))


def _zip(rng: random.Random) -> Pair:
    code, more = some_digits(rng, 5), some_digits(rng, 4)
    state = rng.choice(["CA", "NY", "TX", "WA"])
    return f"in {state} {code}-{more}.", f"in {state} {digits(code)}, {digits(more)}."


def _card(rng: random.Random) -> Pair:
    groups, gap = [some_digits(rng, 4) for _ in range(4)], rng.choice(" -")
    return f"card {gap.join(groups)}", "card " + ", ".join(map(digits, groups))


def _flight(rng: random.Random) -> Pair:
    line, number = rng.choice(["BA", "UA", "LH", "DL"]), some_digits(rng, rng.choice([2, 3, 4]))
    gap = rng.choice(["", " "])
    return f"on flight {line}{gap}{number} to Rome", f"on flight {' '.join(line)} {digits(number)} to Rome"


def _jet(rng: random.Random) -> Pair:
    family, model = rng.choice([3, 4, 5, 6, 7, 8]), rng.choice([200, 300, 400, 800, 900])
    return f"a 7{family}7-{model} lands", f"a seven {cardinal(10 * family + 7)} {cardinal(model)} lands"


def _shares(rng: random.Random) -> Pair:
    left = rng.choice(range(10, 100, 10))
    return f"split it {left}-{100 - left} today", f"split it {cardinal(left)}-{cardinal(100 - left)} today"


def _cents(rng: random.Random) -> Pair:
    number = rng.randint(10, 99)
    written = rng.choice([f"$.{number}", f"{number}¢", f"$0.{number}"])
    return f"It costs {written}.", f"It costs {cardinal(number)} cents."


def _currency(rng: random.Random) -> Pair:
    number = rng.randint(2, 99) * 1000
    symbol, name = rng.choice([("₩", "won"), ("¥", "yen"), ("₹", "rupees"), ("€", "euros"), ("₪", "shekels")])
    return f"about {symbol}{number:,} each", f"about {cardinal(number)} {name} each"


def _clock(rng: random.Random) -> Pair:
    hour, past, half = rng.randint(1, 12), rng.randint(1, 59), rng.choice("ap")
    text = f"at {hour}:{past:02d} {half}m we left"
    return text, f"at {cardinal(hour)} {minute(past)} {half}.m. we left"


def _hours(rng: random.Random) -> Pair:
    first, last = rng.randint(1, 6), rng.randint(7, 11)
    return f"open {first}-{last}pm daily", f"open {cardinal(first)} to {cardinal(last)} p.m. daily"


def _range(rng: random.Random) -> Pair:
    first, dash = rng.randint(2, 40), rng.choice("-–")
    last = first + rng.randint(1, 9)
    return f"pp. {first}{dash}{last} only", f"pages {cardinal(first)} to {cardinal(last)} only"


def _unit(rng: random.Random) -> Pair:
    number = rng.randint(2, 400)
    unit, name = rng.choice(
        [
            ("km/h", "kilometers per hour"),
            ("GB", "gigabytes"),
            ("°C", "degrees Celsius"),
            ("mA", "milliamperes"),
            ("rpm", "revolutions per minute"),
            ("kPa", "kilopascals"),
        ]
    )
    return f"It makes {number} {unit}.", f"It makes {cardinal(number)} {name}."


def _version(rng: random.Random) -> Pair:
    parts = [rng.randint(0, 30) for _ in range(rng.choice([2, 3]))]
    said = " point ".join(map(cardinal, parts))
    name = rng.choice(["Python ", "v"])
    dotted = ".".join(map(str, parts))
    return f"uses {name}{dotted} here", f"uses {'version ' if name == 'v' else name}{said} here"


def _mail(rng: random.Random) -> Pair:
    first, last = rng.choice(["jane", "tom", "ada"]), rng.choice(["doe", "lee", "roy"])
    host = rng.choice(["example", "mail", "work"])
    mark, name = rng.choice([(".", "dot"), ("_", "underscore"), ("-", "dash"), ("+", "plus")])
    return f"ask {first}{mark}{last}@{host}.com", f"ask {first} {name} {last} at {host} dot com"


def _path(rng: random.Random) -> Pair:
    top, name = rng.choice(["usr", "home", "etc"]), rng.choice(["notes", "hosts", "data"])
    return f"look in /{top}/{name}.txt now", f"look in slash {top} slash {name} dot txt now"


def _compare(rng: random.Random) -> Pair:
    first, second = rng.sample("abcxyn", 2)
    number = rng.randint(2, 90)
    sign, said = rng.choice([("<", "less than"), (">", "greater than"), ("<=", "at most"), (">=", "at least")])
    gap = rng.choice(["", " "])
    other = rng.choice([str(number), second])
    return f"if {first}{gap}{sign}{gap}{other} then", (
        f"if {first} {said} {cardinal(number) if other.isdecimal() else other} then"
    )


def _room(rng: random.Random) -> Pair:
    floor, door = rng.randint(1, 9), rng.randint(1, 40)
    noun = rng.choice(["Room", "Suite", "Apartment", "Route"])
    return f"look for {noun} {floor}{door:02d} there", f"look for {noun} {cardinal(floor)} {minute(door)} there"


def _house(rng: random.Random) -> Pair:
    hundreds, rest, letter = rng.randint(11, 49), rng.randint(10, 99), rng.choice(["", "A", "B"])
    street = rng.choice(["Baker Street", "Oak Avenue", "Mill Road"])
    said = f"{cardinal(hundreds)} {cardinal(rest)}{f' {letter}' if letter else ''}"
    return f"We live at {hundreds}{rest}{letter} {street}.", f"We live at {said} {street}."


def _numbered_street(rng: random.Random) -> Pair:
    number = rng.randint(4, 99)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number // 10 != 1 else "th"
    return f"on {number}{ending} St. and back", f"on {ordinal(number)} Street and back"


def _duration(rng: random.Random) -> Pair:
    hours, minutes = rng.randint(2, 9), rng.randint(2, 59)
    gap, end = rng.choice(["", " "]), rng.choice(["m", "min"])
    return f"it took {hours}h{gap}{minutes}{end} to get there", (
        f"it took {cardinal(hours)} hours {cardinal(minutes)} minutes to get there"
    )


def _money_range(rng: random.Random) -> Pair:
    low, dash = rng.randint(2, 400), rng.choice("-–")
    high = low + rng.randint(1, 400)
    symbol, name = rng.choice([("$", "dollars"), ("€", "euros"), ("£", "pounds")])
    scale = rng.choice(["", " million"])
    return f"around {symbol}{low}{dash}{high}{scale} a year", (
        f"around {cardinal(low)} to {cardinal(high)}{scale} {name} a year"
    )


def _counted_as_one(rng: random.Random) -> Pair:
    number = rng.choice([5, 10, 16, 20, 50])
    written, name, thing = rng.choice(
        [
            ("${} ", "dollar", "bill"),
            ("{} km ", "kilometer", "run"),
            ("{}GB ", "gigabyte", "disk"),
            ("{} min ", "minute", "walk"),
        ]
    )
    return f"take a {written.format(number)}{thing} now", f"take a {cardinal(number)} {name} {thing} now"


def _rating(rng: random.Random) -> Pair:
    whole, part = rng.randint(1, 9), rng.randint(1, 9)
    return f"rated {whole}.{part}/10 by most", f"rated {cardinal(whole)} point {cardinal(part)} out of ten by most"


def _port(rng: random.Random) -> Pair:
    port = some_digits(rng, 4)
    return f"at localhost:{port} here", f"at localhost colon {digits(port)} here"


def _relative_path(rng: random.Random) -> Pair:
    folder, name = rng.choice(["src", "docs", "lib"]), rng.choice(["main", "index", "notes"])
    before, said = rng.choice([("", ""), ("./", "dot slash "), ("~/", "tilde slash ")])
    return f"see {before}{folder}/{name}.md there", f"see {said}{folder} slash {name} dot md there"


def _pre_release(rng: random.Random) -> Pair:
    parts, number = [rng.randint(0, 20) for _ in range(3)], rng.randint(1, 9)
    stage, said = rng.choice([("-beta.", "beta"), ("-alpha", "alpha"), ("rc", "R C")])
    version = " point ".join(map(cardinal, parts))
    return f"try v{'.'.join(map(str, parts))}{stage}{number} first", (
        f"try version {version} {said} {cardinal(number)} first"
    )


def _score(rng: random.Random) -> Pair:
    left, right = rng.randint(11, 40), rng.randint(11, 40)
    verb = rng.choice(["won", "lost", "beat them", "are leading, the score is"])
    return f"They {verb} {left}:{right} today", f"They {verb} {cardinal(left)} to {cardinal(right)} today"


def _scientific(rng: random.Random) -> Pair:
    base, exponent, minus = rng.randint(1, 9), rng.randint(2, 30), rng.choice(["", "-"])
    power = f"{'minus ' if minus else ''}{cardinal(exponent)}"
    return f"about {base}e{minus}{exponent} of them", (
        f"about {cardinal(base)} times ten to the power of {power} of them"
    )


GRAMMARS: tuple[Grammar, ...] = (
    _counted, _ruler, _pronoun, _vanity, _isbn, _zip, _card, _flight, _jet, _shares, _cents, _currency, _clock, _hours,
    _range, _unit, _version, _mail, _path, _compare, _room, _house, _numbered_street, _duration, _money_range,
    _counted_as_one, _rating, _port, _relative_path, _pre_release, _score, _scientific,
)  # fmt: skip


def table(seed: int, count: int) -> Iterator[Pair]:
    """So many pairs, the grammars one after the other."""
    rng = random.Random(seed)
    for at in range(count):
        yield GRAMMARS[at % len(GRAMMARS)](rng)
