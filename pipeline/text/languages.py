"""Languages by name, and what Morgan says in them by itself."""

from collections.abc import Mapping
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


UNSPEAKABLE: Final = MappingProxyType(
    {
        "en": "Sorry, I cannot say that aloud.",
        "de": "Entschuldigung, das kann ich nicht aussprechen.",
        "fr": "Désolé, je ne peux pas le dire à voix haute.",
        "es": "Lo siento, no puedo decirlo en voz alta.",
        "it": "Mi dispiace, non posso dirlo ad alta voce.",
        "pt": "Desculpe, não consigo dizer isso em voz alta.",
        "nl": "Sorry, dat kan ik niet hardop zeggen.",
    }
)
"""What is said for a reply without a word that the voice could say, by ISO 639-1 code of the voice."""


def unspeakable_in(language: str) -> str:
    """What to say for a reply without a word that a voice of this language could say."""
    return UNSPEAKABLE.get(primary_language(language), UNSPEAKABLE["en"])


APOLOGIES: Final = MappingProxyType(
    {
        "en": "Sorry, something went wrong on my side. Could you say that again?",
        "de": "Entschuldigung, bei mir ist etwas schiefgegangen. Können Sie das bitte wiederholen?",
        "fr": "Pardon, j'ai eu un problème. Pouvez-vous répéter ?",
        "es": "Perdón, algo ha fallado por mi parte. ¿Puede repetirlo?",
        "it": "Scusi, qualcosa è andato storto da parte mia. Può ripetere?",
        "pt": "Desculpe, algo correu mal do meu lado. Pode repetir?",
        "nl": "Sorry, er ging bij mij iets mis. Kunt u dat herhalen?",
    }
)
"""What is said when an engine failed, by ISO 639-1 code."""

DELAYS: Final = MappingProxyType(
    {
        "en": "Sorry, this is taking me a moment.",
        "de": "Entschuldigung, das dauert einen Moment.",
        "fr": "Pardon, cela me prend un instant.",
        "es": "Perdón, esto me lleva un momento.",
        "it": "Scusi, mi serve un momento.",
        "pt": "Desculpe, isto está a demorar um momento.",
        "nl": "Sorry, dit duurt even.",
    }
)
"""What is said when the language model gives no sign of itself, by ISO 639-1 code."""


def phrase_in(phrases: Mapping[str, str], text: str, language: str) -> tuple[str, str | None]:
    """One of these phrases in a language.

    Args:
        phrases: by ISO 639-1 code.
        text: that was set; the English one stands for all of them.
        language: to be said in, ISO 639-1.

    Returns:
        The words and their language; None where a text was set without its language.
    """
    if text != phrases["en"]:
        return text, None
    code = primary_language(language)
    return (phrases[code], code) if code in phrases else (text, "en")
