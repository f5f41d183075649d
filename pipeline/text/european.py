"""German, French, Spanish, Italian, Portuguese: ranges, units, ordinals, abbreviations and telephone numbers."""

import re
from dataclasses import dataclass
from typing import Final

from pipeline.text import numbers
from pipeline.text.reading import COMMA_NUMBER, Match, Reader, Rule
from pipeline.text.units import UNITS
from pipeline.text.words import word_set


@dataclass(frozen=True, slots=True)
class _Grammar:
    """Words of a language.

    Attributes:
        to: between the ends of a range.
        telephone: words behind which digits are those of a telephone number, as a pattern.
        century: the word in front of a century's Roman number.
        halves: written fractions.
        abbreviations: what they stand for; those that end with "…" may end a sentence.
    """

    to: str
    telephone: str
    century: str
    halves: dict[str, str]
    abbreviations: dict[str, str]


def _fractions(*words: str) -> dict[str, str]:
    return dict(zip(("1/2", "1/3", "2/3", "1/4", "3/4", "½", "¼", "¾"), (*words, words[0], *words[3:]), strict=True))


_GRAMMARS: Final = {
    "de": _Grammar(
        "bis",
        r"Tel(?:\.|efon(?:nummer)?)|Nummer|Handy|Fax|Rufnummer",
        "",
        _fractions("einhalb", "ein Drittel", "zwei Drittel", "ein Viertel", "drei Viertel"),
        {
            "z. B.": "zum Beispiel", "d. h.": "das heißt", "u. a.": "unter anderem", "u. U.": "unter Umständen",
            "ca.": "circa", "bzw.": "beziehungsweise", "inkl.": "inklusive", "ggf.": "gegebenenfalls",
            "evtl.": "eventuell", "Nr.": "Nummer", "Tel.": "Telefon", "Dr.": "Doktor", "Prof.": "Professor",
            "Hr.": "Herr", "Fr.": "Frau", "St.": "Sankt", "Mio.": "Millionen", "Mrd.": "Milliarden",
            "usw.": "und so weiter…", "etc.": "et cetera…", "v. Chr.": "vor Christus…", "n. Chr.": "nach Christus…",
        },
    ),
    "fr": _Grammar(
        "à",
        r"[Tt]él(?:\.|éphone)|numéro|[Aa]ppelez le|[Cc]omposez le",
        "siècle",
        _fractions("un demi", "un tiers", "deux tiers", "un quart", "trois quarts"),
        {
            "p. ex.": "par exemple", "c.-à-d.": "c'est-à-dire", "env.": "environ", "Mme": "Madame",
            "Mlle": "Mademoiselle", "M.": "Monsieur", "MM.": "Messieurs", "Dr": "Docteur", "n°": "numéro",
            "N°": "numéro", "tél.": "téléphone", "av. J.-C.": "avant Jésus-Christ…", "etc.": "et cetera…",
        },
    ),
    "es": _Grammar(
        "a",
        r"[Tt]el(?:\.|éfono)|[Ll]lam[ea] al|número",
        "siglo",
        _fractions("medio", "un tercio", "dos tercios", "un cuarto", "tres cuartos"),
        {
            "p. ej.": "por ejemplo", "aprox.": "aproximadamente", "Sr.": "señor", "Sra.": "señora", "Dr.": "doctor",
            "Dra.": "doctora", "D.ª": "doña", "n.º": "número", "N.º": "número", "pág.": "página", "Ud.": "usted",
            "Uds.": "ustedes", "tel.": "teléfono", "a. C.": "antes de Cristo…", "d. C.": "después de Cristo…",
            "etc.": "etcétera…",
        },
    ),
    "it": _Grammar(
        "a",
        r"[Tt]el(?:\.|efono)|numero|[Cc]hiam[ai] (?:il|lo)",
        "secolo",
        _fractions("mezzo", "un terzo", "due terzi", "un quarto", "tre quarti"),
        {
            "p. es.": "per esempio", "ad es.": "ad esempio", "ca.": "circa", "Sig.ra": "signora", "Sig.": "signor",
            "dott.ssa": "dottoressa", "dott.": "dottor", "pag.": "pagina", "tel.": "telefono", "n.": "numero",
            "a.C.": "avanti Cristo…", "d.C.": "dopo Cristo…", "ecc.": "eccetera…",
        },
    ),
    "pt": _Grammar(
        "a",
        r"[Tt]el(?:\.|efone)|[Ll]igue (?:para|ao)(?: o)?|número",
        "século",
        _fractions("meio", "um terço", "dois terços", "um quarto", "três quartos"),
        {
            "p. ex.": "por exemplo", "aprox.": "aproximadamente", "Sr.": "senhor", "Sra.": "senhora", "Dr.": "doutor",
            "Dra.": "doutora", "n.º": "número", "N.º": "número", "pág.": "página", "tel.": "telefone",
            "a.C.": "antes de Cristo…", "d.C.": "depois de Cristo…", "etc.": "et cetera…",
        },
    ),
}  # fmt: skip

_INFLECTED: Final = word_set("am vom zum dem den beim im des zur jedem jeden ab bis")
_ARTICLES: Final = word_set("der die das jede")
_MONTHS_DE: Final = (
    "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
    "Dezember",
)  # fmt: skip
_YEAR_WORDS: Final = word_set("jahr jahre jahren jahres seit von bis in ab um vor nach anno " + " ".join(_MONTHS_DE))

_RANGE: Final = re.compile(r"(?:(?<=[\dh%€°C.])[-–—]|(?<=[\dh%€°C]\s)[-–—]\s)(?=[$€£]?\d)")
_LEFT: Final = re.compile(r"[\d.,:]+(?:\s?h\d{0,2})?\s?(?:°C?|%|€)?$")
_RIGHT: Final = re.compile(r"[$€£]?([\d.,:]*\d)(?:h\d{0,2})?")
_ROMAN: Final = {"I": 1, "V": 5, "X": 10}
_INTERNATIONAL: Final = re.compile(
    r"(?<![\w.,])(?P<number>(?:\+|00(?=[1-9]))\d(?:[\s/()-]{0,2}\d){6,14})(?![\d,]|\.\d)"
)

_NATIONAL: Final = re.compile(r"(?<![\w.,+/-])(?P<number>0\d{1,4}[\s/-]\d(?:[\s/-]?\d){3,9})(?![\d,/-]|\.\d)")


def _code(reader: Reader) -> str:
    return reader.language[:2].lower()


def _read_range(match: Match, reader: Reader) -> bool:
    """Declined for what has a leading zero, five digits and more, or another dash: a telephone number, a code."""
    text, start = match.string, match.start()
    left, right = _LEFT.search(text, max(0, start - 24), start), _RIGHT.match(text, match.end())
    if left is None or right is None:
        return False
    before, after = text[: left.start()][-1:], text[right.end() : right.end() + 1]
    ends = [re.match(r"[\d]+", each) for each in (left.group(), right[1])]
    if before in ("-", "–", "/") or (after in ("-", "–", "/") and text[right.end() + 1 : right.end() + 2].isdigit()):
        return False
    for each in ends:
        digits = each.group() if each else ""
        if len(digits) > 4 or (len(digits) > 2 and digits.startswith("0")):
            return False
    reader.say(_GRAMMARS[_code(reader)].to, match)
    return True


def _read_unit(match: Match, reader: Reader) -> bool:
    code, written = _code(reader), match["number"]
    unit = UNITS[code][match["unit"]]
    whole = re.sub(r"[.\s\u00a0\u202f]", "", written)
    if whole.isdecimal():
        number = numbers.counted(int(whole), reader.language, feminine=unit.feminine)
    else:
        number = reader.number(written)
    if number is None:
        return False
    # French and Portuguese begin the plural at two, the others behind one.
    size = float(whole.replace(",", "."))
    one = size < 2 if code in ("fr", "pt") else size == 1
    name = unit.one if one else unit.many
    # "un'ora": Italian leaves the vowel out.
    said = f"un'{name}" if (number, name[:1]) == ("una", "o") else f"{number} {name}"
    reader.say(said, match)
    return True


def _read_abbreviation(match: Match, reader: Reader) -> bool:
    written = re.sub(r"\s+", " ", match.group())
    known = _GRAMMARS[_code(reader)].abbreviations
    said = known.get(written) or next((known[each] for each in known if each.replace(" ", "") == written), "")
    if not said:
        return False
    reader.say(said.rstrip("…"), match)
    behind = match.string[match.end() :].lstrip()
    if said.endswith("…") and (not behind or behind[:1].isupper()):
        reader.writer.mark(".", match.end(), match.end())
    return True


def _read_fraction(match: Match, reader: Reader) -> bool:
    reader.say(_GRAMMARS[_code(reader)].halves[match.group()], match)
    return True


def _read_telephone(match: Match, reader: Reader) -> bool:
    """Digit by digit, in the groups in which it is written; French ones two by two."""
    code, written, at = _code(reader), match["number"], match.start("number")
    plus = f"{reader.words.symbols['+']} " if written.startswith("+") else ""
    said: list[str] = []
    for group in re.findall(r"\d+", written):
        pair = code == "fr" and len(group) <= 2 and not group.startswith("0")
        words = numbers.cardinal(int(group), code) if pair else numbers.digits(group, code)
        if words is None:
            return False
        said.append(words)
    if word := match.groupdict().get("word"):
        reader.say(_GRAMMARS[code].abbreviations.get(word, word), match, "word")
    reader.writer.say(plus + ", ".join(said), at, match.end())
    return True


def _roman(letters: str) -> int:
    values = [_ROMAN[letter] for letter in letters]
    return sum(-value if value < max(values[at:], default=0) else value for at, value in enumerate(values, 1))


def _read_century(match: Match, reader: Reader) -> bool:
    """ "siglo veintiuno", "vingtième siècle", "secolo ventunesimo", "século vinte e um"."""
    code, number = _code(reader), _roman(match["roman"])
    if code == "es" or (code == "pt" and number > 10):
        said = numbers.cardinal(number, reader.language)
    else:
        said = numbers.ordinal(number, code)
    if said is None:
        return False
    word = match["word"]
    reader.say(f"{said} {word}" if code == "fr" else f"{word} {said}", match)
    return True


def _feminine_ordinal(words: str) -> str:
    return " ".join(f"{word[:-1]}a" if word.endswith("o") else word for word in words.split())


def _read_ordinal(match: Match, reader: Reader) -> bool:
    code, mark = _code(reader), match["mark"]
    said = numbers.ordinal(int(match["number"]), code)
    if said is None:
        return False
    if code == "fr":
        said = "première" if said == "premier" and mark in ("re", "ère") else said
        said = "seconde" if mark == "nde" else "second" if mark == "nd" else said
    elif mark == "ª":
        said = _feminine_ordinal(said)
    elif mark == "er":
        said = re.sub("(prim|terc)ero$", r"\1er", said)
    reader.say(said, match)
    return True


def _read_german_ordinal(match: Match, reader: Reader) -> bool:
    """Behind an article it is one; elsewhere the full stop may end a sentence."""
    last = reader.writer.last_word.lower()
    word = numbers.ordinal(int(match["number"]), "de")
    if word is None or last not in _INFLECTED | _ARTICLES:
        return False
    reader.say(f"{word}n" if last in _INFLECTED else word, match)
    return True


def _read_german_first_day(match: Match, reader: Reader) -> bool:
    word = numbers.ordinal(int(match["number"]), "de")
    inflected = reader.writer.last_word.lower() in _INFLECTED
    reader.say(f"{word}n" if inflected else str(word), match)
    return True


def _read_german_short_date(match: Match, reader: Reader) -> bool:
    word = numbers.ordinal(int(match["day"]), "de")
    inflected = reader.writer.last_word.lower() in _INFLECTED
    reader.say(f"{word}{'n' if inflected else ''} {_MONTHS_DE[int(match['month']) - 1]}", match)
    # Where it ends the sentence, its last full stop does.
    if not match.string[match.end() :].strip():
        reader.writer.mark(".", match.end(), match.end())
    return True


def _read_german_year(match: Match, reader: Reader) -> bool:
    if not match["decade"] and reader.writer.last_word.lower() not in _YEAR_WORDS:
        return False
    said = numbers.year(int(match["year"]), "de")
    reader.say(f"{said}{match['decade'] or ''}", match)
    return said is not None


_GERMAN: Final[tuple[Rule, ...]] = (
    (
        re.compile(r"(?P<number>\d{1,2})\.(?=\s?[-–]\s?\d{1,2}\.\s(?:" + "|".join(_MONTHS_DE) + "))"),
        _read_german_first_day,
    ),
    (
        re.compile(r"(?<![\d.])(?P<day>0?[1-9]|[12]\d|3[01])\.(?P<month>0?[1-9]|1[0-2])\.(?!\d|\s?\d)"),
        _read_german_short_date,
    ),
    (re.compile(r"(?<![\d.,])(?P<number>\d{1,3})\.(?=\s[A-ZÄÖÜ][a-zäöüß])"), _read_german_ordinal),
    (re.compile(r"(?<![\d.,])(?P<year>1[1-9]\d\d|20\d\d)(?P<decade>er)?(?!\w|[.,:/-]\d|\s?[%€$£])"), _read_german_year),
)
_ORDINALS: Final = {
    "fr": re.compile(r"(?<![\d.,])(?P<number>\d{1,4})(?P<mark>ère|er|re|ème|nde|nd|e)(?!\w)"),
    "es": re.compile(r"(?<![\d.,])(?P<number>\d{1,3})\.?(?P<mark>er|º|ª)(?!\w)"),
    "it": re.compile(r"(?<![\d.,])(?P<number>\d{1,3})(?P<mark>º|ª)(?!\w)"),
    "pt": re.compile(r"(?<![\d.,])(?P<number>\d{1,3})\.?(?P<mark>º|ª)(?!\w)"),
}


def european_rules(language: str) -> tuple[Rule, ...]:
    """The rules of one of the five languages (ISO 639-1), to be tried behind those of dates; none for others."""
    grammar = _GRAMMARS.get(language)
    if grammar is None:
        return ()
    units = "|".join(re.escape(symbol) for symbol in sorted(UNITS[language], key=len, reverse=True))
    written = "|".join(
        re.escape(each).replace(r"\ ", r"\s?") for each in sorted(grammar.abbreviations, key=len, reverse=True)
    )
    rules: list[Rule] = [
        (
            re.compile(
                rf"(?<!\w)(?P<word>{grammar.telephone}):?\s(?P<number>[+0]?\d(?:[\s/()-]{{0,2}}\d){{5,14}})(?![\d,]|\.\d)"
            ),
            _read_telephone,
        ),
        (_INTERNATIONAL, _read_telephone),
        (_NATIONAL, _read_telephone),
        (re.compile(rf"(?<![\w.])(?:{written})(?!\w)"), _read_abbreviation),
        (re.compile(r"(?<![\d/])(?:1/2|1/3|2/3|1/4|3/4)(?![\d/])|[½¼¾]"), _read_fraction),
    ]
    if language == "fr":
        rules.append((re.compile(r"(?<!\w)(?P<roman>[IVX]+)(?:e|ème|er)\s(?P<word>siècle)"), _read_century))
    elif grammar.century:
        rules.append((re.compile(rf"(?P<word>{grammar.century})\s(?P<roman>[IVX]+)(?!\w)"), _read_century))
    rules += _GERMAN if language == "de" else ((_ORDINALS[language], _read_ordinal),)
    rules += [
        (_RANGE, _read_range),
        (re.compile(rf"(?P<number>{COMMA_NUMBER})\s?(?P<unit>{units})(?![\w/²³])"), _read_unit),
    ]
    return tuple(rules)
