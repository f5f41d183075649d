"""Languages by name, and what Morgan says in them by itself."""

from types import MappingProxyType
from typing import Final

from pipeline.text.words import primary_language

_LISTED: Final = (
    "af=Afrikaans ar=Arabic az=Azerbaijani be=Belarusian bg=Bulgarian bn=Bengali bs=Bosnian ca=Catalan cs=Czech"
    " cy=Welsh da=Danish de=German el=Greek en=English es=Spanish et=Estonian eu=Basque fa=Persian fi=Finnish"
    " fr=French gl=Galician gu=Gujarati he=Hebrew hi=Hindi hr=Croatian hu=Hungarian hy=Armenian id=Indonesian"
    " is=Icelandic it=Italian ja=Japanese ka=Georgian kk=Kazakh kn=Kannada ko=Korean lt=Lithuanian lv=Latvian"
    " mk=Macedonian ml=Malayalam mn=Mongolian mr=Marathi ms=Malay ne=Nepali nl=Dutch no=Norwegian pa=Punjabi"
    " pl=Polish pt=Portuguese ro=Romanian ru=Russian sk=Slovak sl=Slovenian so=Somali sq=Albanian sr=Serbian"
    " sv=Swedish sw=Swahili ta=Tamil te=Telugu th=Thai tl=Tagalog tr=Turkish uk=Ukrainian ur=Urdu uz=Uzbek"
    " vi=Vietnamese zh=Chinese"
    " am=Amharic as=Assamese ba=Bashkir bo=Tibetan br=Breton fo=Faroese ha=Hausa haw=Hawaiian ht=Haitian_Creole"
    " jw=Javanese km=Khmer la=Latin lb=Luxembourgish ln=Lingala lo=Lao mg=Malagasy mi=Maori mt=Maltese my=Myanmar"
    " nn=Nynorsk oc=Occitan ps=Pashto sa=Sanskrit sd=Sindhi si=Sinhala sn=Shona su=Sundanese tg=Tajik tk=Turkmen"
    " tt=Tatar yi=Yiddish yo=Yoruba yue=Cantonese"
)

NAMES: Final = MappingProxyType(dict(entry.replace("_", " ").split("=") for entry in _LISTED.split()))
"""English names by the codes that Whisper knows: ISO 639-1, where a language has one."""

CODES: Final = MappingProxyType({name.lower(): code for code, name in NAMES.items()})
"""The same the other way round, by names in lower case."""

UNCLEAR: Final = MappingProxyType(
    {
        "en": "Sorry, I did not catch that.",
        "de": "Entschuldigung, das habe ich nicht verstanden.",
        "fr": "Pardon, je n'ai pas compris.",
        "es": "Perdón, no le he entendido.",
        "it": "Scusi, non ho capito.",
    }
)
"""What is said to speech whose words could not be made out, by ISO 639-1 code."""

FILLERS: Final = MappingProxyType(
    {
        "en": "One moment.",
        "de": "Einen Moment.",
        "fr": "Un instant.",
        "es": "Un momento.",
        "it": "Un attimo.",
        "pt": "Um momento.",
        "nl": "Een ogenblik.",
    }
)
"""What is said while something takes its time, by ISO 639-1 code."""


def filler_in(text: str, language: str) -> str:
    """What to say while something takes its time: that which was set; the English one of `FILLERS` stands for all."""
    return FILLERS.get(primary_language(language), text) if text == FILLERS["en"] else text


def unclear_prompt(text: str, language: str) -> tuple[str, str | None]:
    """What to say when the words could not be made out.

    Args:
        text: that was set; the English one of `UNCLEAR` stands for all of them.
        language: of the call, ISO 639-1.

    Returns:
        The words and their language; None where a text was set without its language.
    """
    if text != UNCLEAR["en"]:
        return text, None
    code = primary_language(language)
    return (UNCLEAR[code], code) if code in UNCLEAR else (text, "en")
