"""The few words that reading symbols aloud takes, by language."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from pipeline.text.words import primary_language


class Currency(NamedTuple):
    """Names of a currency and of its hundredth; the latter empty where there is none in use.

    Attributes:
        feminine: whether a number in front of its name is.
    """

    one: str
    many: str
    minor_one: str = ""
    minor_many: str = ""
    feminine: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words and number marks of a language.

    Attributes:
        decimal_mark: character before the fraction, "." or ",".
        one: "one" in front of a noun, where counting has another word.
        currencies: names by symbol and by ISO 4217 code.
        symbols: what to say for a symbol that stands by itself.
    """

    decimal_mark: str
    point: str
    minus: str
    percent: str
    dot: str
    slash: str
    at: str
    dash: str
    underscore: str
    one: str
    currencies: dict[str, Currency]
    symbols: dict[str, str]


def _currencies(dollar: Currency, euro: Currency, pound: Currency, yen: str) -> dict[str, Currency]:
    return {
        "$": dollar, "USD": dollar, "US$": dollar, "€": euro, "EUR": euro, "£": pound, "GBP": pound,
        "¥": Currency(yen, yen), "JPY": Currency(yen, yen),
    }  # fmt: skip


ENGLISH: Final = Vocabulary(
    ".", "point", "minus", "percent", "dot", "slash", "at", "dash", "underscore", "one",
    _currencies(
        Currency("dollar", "dollars", "cent", "cents"),
        Currency("euro", "euros", "cent", "cents"),
        Currency("pound", "pounds", "penny", "pence"),
        "yen",
    )
    | {
        "₹": Currency("rupee", "rupees", "paisa", "paise"),
        "INR": Currency("rupee", "rupees", "paisa", "paise"),
        "CHF": Currency("franc", "francs", "centime", "centimes"),
    }
    | dict.fromkeys(("Rs.", "Rs"), Currency("rupee", "rupees", "paisa", "paise"))
    | dict.fromkeys(("₿", "BTC"), Currency("bitcoin", "bitcoins"))
    | dict.fromkeys(("₩", "KRW"), Currency("won", "won"))
    | dict.fromkeys(("₽", "RUB"), Currency("ruble", "rubles", "kopeck", "kopecks"))
    | dict.fromkeys(("₺", "TRY"), Currency("lira", "lira", "kurus", "kurus"))
    | dict.fromkeys(("₪", "ILS"), Currency("shekel", "shekels", "agora", "agorot"))
    | dict.fromkeys(("฿", "THB"), Currency("baht", "baht", "satang", "satang"))
    | dict.fromkeys(("₫", "VND"), Currency("dong", "dong"))
    | dict.fromkeys(("₱", "PHP"), Currency("peso", "pesos", "centavo", "centavos"))
    | dict.fromkeys(("₴", "UAH"), Currency("hryvnia", "hryvnias", "kopiyka", "kopiykas"))
    | dict.fromkeys(("₦", "NGN"), Currency("naira", "naira", "kobo", "kobo"))
    | dict.fromkeys(("zł", "PLN"), Currency("zloty", "zlotys", "grosz", "groszy"))
    | dict.fromkeys(("C$", "CA$", "CAD"), Currency("Canadian dollar", "Canadian dollars", "cent", "cents"))
    | dict.fromkeys(("A$", "AU$", "AUD"), Currency("Australian dollar", "Australian dollars", "cent", "cents"))
    | dict.fromkeys(("HK$", "HKD"), Currency("Hong Kong dollar", "Hong Kong dollars", "cent", "cents"))
    | dict.fromkeys(("R$", "BRL"), Currency("real", "reais", "centavo", "centavos"))
    | dict.fromkeys(("CNY", "RMB"), Currency("yuan", "yuan"))
    | {"SEK": Currency("Swedish krona", "Swedish kronor", "ore", "ore")},
    {"&": "and", "+": "plus", "=": "equals", "%": "percent", "@": "at", "°": "degrees", "×": "times", "÷": "divided by",
     "²": "squared", "³": "cubed", "±": "plus or minus", "≈": "about", "§": "section", "<": "less than",
     ">": "greater than", "≤": "at most", "≥": "at least", "≠": "is not equal to", "√": "the square root of",
     "∞": "infinity", ":": "colon"},
)  # fmt: skip

_EURO_CENT: Final = ("cent", "cents")

VOCABULARIES: Final[dict[str, Vocabulary]] = {
    "en": ENGLISH,
    "de": Vocabulary(
        ",", "Komma", "minus", "Prozent", "Punkt", "Schrägstrich", "ät", "Bindestrich", "Unterstrich", "ein",
        _currencies(
            Currency("Dollar", "Dollar", "Cent", "Cent"), Currency("Euro", "Euro", "Cent", "Cent"),
            Currency("Pfund", "Pfund", "Penny", "Pence"), "Yen",
        ),
        {"&": "und", "+": "plus", "=": "gleich", "%": "Prozent", "@": "ät", "°": "Grad", "×": "mal", "§": "Paragraph",
         ":": "Doppelpunkt"},
    ),
    "fr": Vocabulary(
        ",", "virgule", "moins", "pour cent", "point", "barre oblique", "arobase", "tiret", "tiret bas", "un",
        _currencies(
            Currency("dollar", "dollars", *_EURO_CENT), Currency("euro", "euros", "centime", "centimes"),
            Currency("livre", "livres", "penny", "pence", feminine=True), "yens",
        ),
        {"&": "et", "+": "plus", "=": "égale", "%": "pour cent", "@": "arobase", "°": "degrés", "×": "fois",
         ":": "deux-points"},
    ),
    "es": Vocabulary(
        ",", "coma", "menos", "por ciento", "punto", "barra", "arroba", "guion", "guion bajo", "un",
        _currencies(
            Currency("dólar", "dólares", "centavo", "centavos"), Currency("euro", "euros", "céntimo", "céntimos"),
            Currency("libra", "libras", "penique", "peniques", feminine=True), "yenes",
        ),
        {"&": "y", "+": "más", "=": "igual a", "%": "por ciento", "@": "arroba", "°": "grados", "×": "por",
         ":": "dos puntos"},
    ),
    "it": Vocabulary(
        ",", "virgola", "meno", "per cento", "punto", "barra", "chiocciola", "trattino", "trattino basso", "un",
        _currencies(
            Currency("dollaro", "dollari", "centesimo", "centesimi"),
            Currency("euro", "euro", "centesimo", "centesimi"),
            Currency("sterlina", "sterline", "penny", "pence", feminine=True), "yen",
        ),
        {"&": "e", "+": "più", "=": "uguale", "%": "per cento", "@": "chiocciola", "°": "gradi", "×": "per",
         ":": "due punti"},
    ),
    "pt": Vocabulary(
        ",", "vírgula", "menos", "por cento", "ponto", "barra", "arroba", "hífen", "sublinhado", "um",
        _currencies(
            Currency("dólar", "dólares", "centavo", "centavos"), Currency("euro", "euros", "cêntimo", "cêntimos"),
            Currency("libra", "libras", "péni", "pence", feminine=True), "ienes",
        )
        | dict.fromkeys(("R$", "BRL"), Currency("real", "reais", "centavo", "centavos")),
        {"&": "e", "+": "mais", "=": "igual a", "%": "por cento", "@": "arroba", "°": "graus", "×": "vezes",
         ":": "dois pontos"},
    ),
    "nl": Vocabulary(
        ",", "komma", "min", "procent", "punt", "slash", "apenstaartje", "streepje", "laag streepje", "één",
        _currencies(
            Currency("dollar", "dollar", "cent", "cent"), Currency("euro", "euro", "cent", "cent"),
            Currency("pond", "pond", "penny", "pence"), "yen",
        ),
        {"&": "en", "+": "plus", "=": "is", "%": "procent", "@": "apenstaartje", "°": "graden", "×": "maal",
         ":": "dubbele punt"},
    ),
}  # fmt: skip
"""By ISO 639-1 code."""

_BARE: Final = Vocabulary(".", "", "", "", "", "", "", "", "", "", {}, {})


def vocabulary(language: str) -> Vocabulary:
    """The words of a language; for one that is not listed, symbols stand as they are."""
    return VOCABULARIES.get(primary_language(language), _BARE)
