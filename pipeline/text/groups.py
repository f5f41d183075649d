"""Digits and letters that are said in groups: what a question asks for, and whether the words so far are all of it.

"What is your number?" is answered with "five five five", a pause, "zero one seven three". Neither the sound nor the
grammar of the first group tells that more comes; the question does, and the count.
"""

import enum
import re
from typing import Final

from pipeline.text.normalise import normalise
from pipeline.text.words import primary_language, word_set


class More(enum.Enum):
    """Whether more is to come behind the words so far."""

    NO = "no"
    PERHAPS = "perhaps"
    """It may be all, and it may be one group of several."""
    YES = "yes"
    """The words themselves ask for more."""
    GROUP = "group"
    """A group of digits or letters that cannot be all."""


class Wanted(enum.Enum):
    """What was asked for, where the answer comes in groups."""

    PHONE = "phone"
    ACCOUNT = "account"
    """Cards, IBANs, accounts."""
    CODE = "code"
    """Codes, PINs, postal codes, numbers of bookings."""
    SPELLING = "spelling"
    ADDRESS = "address"
    EMAIL = "email"
    BIRTHDAY = "birthday"


_ASKING: Final = re.compile(
    r"\?|\b(?:please|tell me|give me|go ahead|say|spell|bitte|sagen sie|sag mir|nennen|buchstabier\w*|dites|dis moi"
    r"|donnez|épelez|épeler|por favor|dígame|dime|deletre\w*|mi dica|dimmi|per favore|diga|soletr\w*|spel"
    r"|alstublieft)\b"
)
"""What makes a sentence ask for something."""

_ASKED_FOR: Final[dict[str, tuple[tuple[Wanted, re.Pattern[str]], ...]]] = {
    "en": (
        (Wanted.SPELLING, re.compile(r"\bspell(?:ed|ing|s)?\b|\bletter by letter\b")),
        (Wanted.EMAIL, re.compile(r"\be ?mail\b")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:card|iban|account|routing)\b(?: number)?")),
        (
            Wanted.CODE,
            re.compile(
                r"\b(?:code|pin|password|passcode|zip|postal|postcode|(?:order|booking|reference|confirmation|tracking"
                r"|flight|customer|member|membership|serial|policy|license|licence|plate|passport|ticket) number)\b"
            ),
        ),
        (
            Wanted.PHONE,
            re.compile(
                r"\b(?:phone|mobile|cell|telephone|fax|contact|call ?back|whatsapp) ?(?:number)?\b"
                r"|\byour (?!favou?rite|lucky|first|next)(?:\w+ )?number\b|\bwhat(?:'s| is) the number$"
                r"|\bnumber (?:to (?:call|reach|text)|(?:can|should|may) (?:i|we)|where)\b"
            ),
        ),
        (Wanted.BIRTHDAY, re.compile(r"\b(?:date of birth|birthday|birth ?date|born)\b")),
        (Wanted.ADDRESS, re.compile(r"\b(?:address|where do you live|which street)\b")),
    ),
    "de": (
        (Wanted.SPELLING, re.compile(r"\bbuchstabier\w*|\bschreibt man\b|\bgeschrieben\b")),
        (Wanted.EMAIL, re.compile(r"\be ?mail\w*")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:iban|konto\w*|karten?\w*nummer|kreditkarte\w*)\b")),
        (
            Wanted.CODE,
            re.compile(r"\b(?:code|pin|passwort|kennwort|postleitzahl|plz|\w*(?:bestell|kunden|buchungs)nummer)\b"),
        ),
        (Wanted.PHONE, re.compile(r"\b(?:telefon|handy|mobil|ruf)?nummer\b")),
        (Wanted.BIRTHDAY, re.compile(r"\bgeburtsdatum\b|\bgeboren\b|\bgeburtstag\b")),
        (Wanted.ADDRESS, re.compile(r"\b(?:adresse|anschrift|straße|wohnen)\b")),
    ),
    "fr": (
        (Wanted.SPELLING, re.compile(r"\bépel\w+|\bs'écrit\b|\bécrit on\b")),
        (Wanted.EMAIL, re.compile(r"\be ?mail\b|\bcourriel\b")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:iban|compte|carte)\b")),
        (Wanted.CODE, re.compile(r"\b(?:code|mot de passe|numéro de (?:commande|client|réservation|dossier))\b")),
        (Wanted.PHONE, re.compile(r"\b(?:(?:votre|ton|le) numéro|téléphone|portable)\b")),
        (Wanted.BIRTHDAY, re.compile(r"\bdate de naissance\b|\bnée?\b|\banniversaire\b")),
        (Wanted.ADDRESS, re.compile(r"\badresse\b|\bhabitez\b")),
    ),
    "es": (
        (Wanted.SPELLING, re.compile(r"\bdeletre\w+|\bse escribe\b")),
        (Wanted.EMAIL, re.compile(r"\bcorreo\b|\be ?mail\b")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:iban|cuenta|tarjeta)\b")),
        (Wanted.CODE, re.compile(r"\b(?:código|clave|contraseña|pin|número de (?:pedido|cliente|reserva))\b")),
        (Wanted.PHONE, re.compile(r"\b(?:(?:su|tu) número|teléfono|móvil|celular)\b")),
        (Wanted.BIRTHDAY, re.compile(r"\bfecha de nacimiento\b|\bnaci\w+|\bcumpleaños\b")),
        (Wanted.ADDRESS, re.compile(r"\bdirección\b|\bdomicilio\b")),
    ),
    "it": (
        (Wanted.SPELLING, re.compile(r"\bsi scrive\b|\bcompit\w+|\blettera per lettera\b")),
        (Wanted.EMAIL, re.compile(r"\be ?mail\b")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:iban|conto|carta)\b")),
        (Wanted.CODE, re.compile(r"\b(?:codice|pin|password|cap|numero (?:d'ordine|cliente|di prenotazione))\b")),
        (Wanted.PHONE, re.compile(r"\b(?:(?:suo|tuo) numero|telefono|cellulare)\b")),
        (Wanted.BIRTHDAY, re.compile(r"\bdata di nascita\b|\bnat[oa]\b|\bcompleanno\b")),
        (Wanted.ADDRESS, re.compile(r"\bindirizzo\b|\babita\b")),
    ),
    "pt": (
        (Wanted.SPELLING, re.compile(r"\bsoletr\w+|\bse escreve\b")),
        (Wanted.EMAIL, re.compile(r"\be ?mail\b")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:iban|conta|cartão)\b")),
        (Wanted.CODE, re.compile(r"\b(?:código|senha|pin|cep|número d[oea] (?:pedido|cliente|reserva))\b")),
        (Wanted.PHONE, re.compile(r"\b(?:(?:seu|teu) número|telefone|celular|telemóvel)\b")),
        (Wanted.BIRTHDAY, re.compile(r"\bdata de nascimento\b|\bnasc\w+|\baniversário\b")),
        (Wanted.ADDRESS, re.compile(r"\bendereço\b|\bmorada\b")),
    ),
    "nl": (
        (Wanted.SPELLING, re.compile(r"\bspel(?:len|t)?\b|\bschrijf je\b")),
        (Wanted.EMAIL, re.compile(r"\be ?mail\w*")),
        (Wanted.ACCOUNT, re.compile(r"\b(?:iban|rekening\w*|kaartnummer)\b")),
        (Wanted.CODE, re.compile(r"\b(?:code|pin|wachtwoord|postcode|\w*(?:order|klant|boekings)nummer)\b")),
        (Wanted.PHONE, re.compile(r"\b(?:telefoon|mobiele )?nummer\b")),
        (Wanted.BIRTHDAY, re.compile(r"\bgeboortedatum\b|\bgeboren\b|\bverjaardag\b")),
        (Wanted.ADDRESS, re.compile(r"\badres\b")),
    ),
}
"""By language, in the order in which they are looked for."""

_SINGLE: Final[dict[str, dict[str, str]]] = {
    "en": dict(zip(["oh", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
                   "00123456789", strict=True)),
    "de": dict(zip(["null", "eins", "zwo", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
                   "01223456789", strict=True)),
    "fr": dict(zip(["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
                   "0123456789", strict=True)),
    "es": dict(zip(["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
                   "0123456789", strict=True)),
    "it": dict(zip(["zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"],
                   "0123456789", strict=True)),
    "pt": dict(zip(["zero", "um", "dois", "três", "quatro", "cinco", "seis", "meia", "sete", "oito", "nove"],
                   "01234566789", strict=True)),
    "nl": dict(zip(["nul", "een", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"],
                   "01123456789", strict=True)),
}  # fmt: skip
"""Digits as words."""

_AROUND: Final[dict[str, frozenset[str]]] = {
    "en": word_set(
        "uh um yeah it's its it is my number the so yes sure okay ok and then area code that's that plus double"
    ),
    "de": word_set("äh ähm ja also meine nummer ist die das und dann plus doppel"),
    "fr": word_set("euh oui mon numéro c'est est le et puis plus double alors"),
    "es": word_set("eh sí mi número es el y luego más doble"),
    "it": word_set("eh sì il mio numero è e poi più doppio"),
    "pt": word_set("é sim meu número o e depois mais duplo"),
    "nl": word_set("eh ja mijn nummer is het en dan plus dubbel"),
}
"""Words that stand around digits and letters without ending the groups."""

_SEVERAL: Final = frozenset({Wanted.PHONE, Wanted.ACCOUNT, Wanted.CODE, Wanted.SPELLING})
"""What is answered with digits and letters alone; a lone other word is as likely one of them misheard."""

_REFUSALS: Final = word_set("no nope never why what stop wait nein nee warum was non quoi por não nee waarom wat")

_COMPLETE: Final[dict[Wanted, frozenset[int]]] = {
    Wanted.PHONE: frozenset(range(10, 16)),
    Wanted.ACCOUNT: frozenset({15, 16, *range(18, 35)}),
    Wanted.CODE: frozenset(range(6, 40)),
}
"""How many digits are surely all of it, or so nearly that no more are waited for,"""

_MAYBE: Final[dict[Wanted, frozenset[int]]] = {
    Wanted.PHONE: frozenset({7, 8, 9}),
    Wanted.ACCOUNT: frozenset({8, 9, 10, 11, 12, 13, 14, 17}),
    Wanted.CODE: frozenset({4, 5}),
}
"""and how many may be."""

FEWEST_MIXED: Final = 6
"""Letters and digits of a code that has both."""

LONG: Final = 5
"""Digits in a row that were not asked for and that may be a group of more."""

LONGEST_STRANGER: Final = 6
"""Letters of a word that a digit or a letter may have been misheard for."""

COUNTED: Final = 3
"""Single digits in a row, likewise."""

_MONTHS: Final = re.compile(
    r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|januar|februar|märz"
    r"|mai|juni|juli|oktober|dezember|janvier|février|mars|avril|juin|juillet|août|enero|febrero|marzo|abril|mayo|junio"
    r"|julio|agosto|septiembre|octubre|noviembre|diciembre)\b"
)
_YEAR: Final = re.compile(r"\b(?:1[89]|20)\d\d\b|\b(?:nineteen|twenty|two thousand)\b")
_DAY: Final = re.compile(r"\d|\b\w+(?:st|nd|rd|th)\b")
_DOMAIN: Final = re.compile(
    r"@.+\.\w{2,}|\b(?:dot|punkt|point|punto|ponto) ?\w{2,}$|\.(?:com|org|net|de|fr|es|it|nl|eu|uk|io)\b"
)


def wanted(reply: str, language: str = "en") -> Wanted | None:
    """What the last words of a reply ask for, None where the answer has a natural end ("How many?").

    Args:
        reply: as it was heard.
        language: ISO 639-1 code, a region after it is ignored.
    """
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", reply.strip()) if part]
    kinds = _ASKED_FOR.get(primary_language(language), ())
    for sentence in reversed(sentences[-2:]):
        if not _ASKING.search(sentence.casefold()):
            continue
        phrase = normalise(sentence)
        return next((kind for kind, pattern in kinds if pattern.search(phrase)), None)
    return None


def group(text: str, asked: Wanted | None, known: str = "", language: str = "en") -> More | None:
    """Whether the words so far are one of several groups of digits or letters; None where they are none at all.

    Args:
        text: the transcript of the turn so far.
        asked: what the last reply asked for.
        known: words that a spelling may be of: what was said before; letters that make one of them are all.
        language: ISO 639-1 code, a region after it is ignored.
    """
    code = primary_language(language)
    units = _units(text, code)
    if units is None and asked in _SEVERAL:
        units = _units(text, code, strangers=1)
        if units == ["?"]:
            return More.PERHAPS if normalise(text) not in _REFUSALS else None
    if units == [] and asked in _SEVERAL and text:
        return More.YES
    if asked is Wanted.EMAIL:
        return _email(text.casefold(), bool(units))
    if asked is Wanted.BIRTHDAY:
        return _birthday(text.casefold())
    if not units:
        numbered = asked is Wanted.ADDRESS and any(character.isdecimal() for character in text)
        return More.PERHAPS if numbered else None
    digits = sum(unit.isdecimal() for unit in units)
    if asked is Wanted.SPELLING or digits == 0:
        return _spelled(units, asked, known)
    if asked is Wanted.ADDRESS:
        return More.GROUP
    if asked in _COMPLETE:
        # Codes of digits alone have four or five often enough; those with letters are longer.
        return More.GROUP if digits < len(units) < FEWEST_MIXED else _counted(len(units), asked)
    written = any(len(token) >= LONG for token in re.findall(r"\d+", text))
    return More.PERHAPS if written or (digits >= COUNTED and _one_by_one(text, code)) else None


def _spelled(units: list[str], asked: Wanted | None, known: str) -> More | None:
    if len(units) > 1 and "".join(units) in normalise(known).split():
        return More.NO
    if asked is None:
        return More.PERHAPS if len(units) >= COUNTED else None
    return More.GROUP


def _email(text: str, spelled: bool) -> More | None:
    if _DOMAIN.search(text):
        return More.NO
    return More.GROUP if spelled else More.PERHAPS if "@" in text or " at " in text else None


def _counted(count: int, asked: Wanted) -> More:
    if count in _COMPLETE[asked]:
        return More.NO
    return More.PERHAPS if count in _MAYBE[asked] else More.GROUP


def _units(text: str, code: str, strangers: int = 0) -> list[str] | None:
    """The digits and letters that the text is made of, one by one; None where it is made of more than those.

    Args:
        text: a transcript.
        code: its language.
        strangers: words that may be among them all the same, each misheard for one of them ("cute" for "Q").
    """
    single, around = _SINGLE.get(code, {}), _AROUND.get(code, frozenset())
    capitals = {normalise(word) for word in re.findall(r"\b[A-Z]{2,5}\b", text)}
    found: list[str] = []
    for word in normalise(text).split():
        if word in single:
            found.append(single[word])
        elif len(word) == 1 or word in capitals or any(character.isdecimal() for character in word):
            found += word
        elif word in around:
            continue
        elif strangers and len(word) <= LONGEST_STRANGER:
            strangers -= 1
            found.append("?")
        else:
            return None
    return found


def _one_by_one(text: str, code: str) -> bool:
    """Whether the digits were written apart, as they are for somebody who reads them out."""
    single = _SINGLE.get(code, {})
    words = normalise(text).split()
    return sum((len(word) == 1 and word.isdecimal()) or word in single for word in words) >= COUNTED


def _birthday(text: str) -> More | None:
    if _YEAR.search(text):
        return More.NO
    month = _MONTHS.search(text) is not None
    if month and _DAY.search(_MONTHS.sub(" ", text)):
        return More.PERHAPS
    return More.GROUP if month or _DAY.search(text) else None
