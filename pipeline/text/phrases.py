"""What Morgan says by itself, that no language model writes, in the languages that it has voices for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from pipeline.text.words import primary_language

PhraseName: TypeAlias = Literal[
    "greeting",
    "telephone_greeting",
    "idle_prompt",
    "apology",
    "delay_apology",
    "farewell",
    "shutdown_prompt",
    "unclear_prompt",
    "unspeakable",
    "tool_filler",
]
"""Of a phrase; nearly all are named as the settings with which one text is said in all languages."""

OwnPhrases: TypeAlias = Mapping[str, Mapping[PhraseName, str]]
"""What an operator has said in place of them, by ISO 639-1 code and name."""

IDLE_PROMPTS: Final = MappingProxyType(
    {
        "en": "Are you still there?",
        "de": "Sind Sie noch da?",
        "fr": "Êtes-vous toujours là ?",
        "es": "¿Sigue usted ahí?",
        "it": "È ancora lì?",
        "pt": "Ainda está aí?",
        "nl": "Bent u er nog?",
        "hi": "क्या आप अभी भी वहाँ हैं?",
    }
)
"""What is said after a long silence, by ISO 639-1 code, as all that follow."""

UNCLEAR: Final = MappingProxyType(
    {
        "en": "Sorry, I did not catch that.",
        "de": "Entschuldigung, das habe ich nicht verstanden.",
        "fr": "Pardon, je n'ai pas compris.",
        "es": "Perdón, no le he entendido.",
        "it": "Scusi, non ho capito.",
        "pt": "Desculpe, não entendi.",
        "nl": "Sorry, dat heb ik niet verstaan.",
        "hi": "माफ़ कीजिए, मुझे समझ नहीं आया।",
    }
)
"""What is said to speech whose words could not be made out."""

FILLERS: Final = MappingProxyType(
    {
        "en": "One moment.",
        "de": "Einen Moment.",
        "fr": "Un instant.",
        "es": "Un momento.",
        "it": "Un attimo.",
        "pt": "Um momento.",
        "nl": "Een ogenblik.",
        "hi": "एक क्षण।",
    }
)
"""What is said while something takes its time."""

UNSPEAKABLE: Final = MappingProxyType(
    {
        "en": "Sorry, I cannot say that aloud.",
        "de": "Entschuldigung, das kann ich nicht aussprechen.",
        "fr": "Désolé, je ne peux pas le dire à voix haute.",
        "es": "Lo siento, no puedo decirlo en voz alta.",
        "it": "Mi dispiace, non posso dirlo ad alta voce.",
        "pt": "Desculpe, não consigo dizer isso em voz alta.",
        "nl": "Sorry, dat kan ik niet hardop zeggen.",
        "hi": "माफ़ कीजिए, यह बोला नहीं जा सकता।",
    }
)
"""What is said for a reply without a word that the voice could say."""

APOLOGIES: Final = MappingProxyType(
    {
        "en": "Sorry, something went wrong on my side. Could you say that again?",
        "de": "Entschuldigung, bei mir ist etwas schiefgegangen. Können Sie das bitte wiederholen?",
        "fr": "Pardon, j'ai eu un problème. Pouvez-vous répéter ?",
        "es": "Perdón, algo ha fallado por mi parte. ¿Puede repetirlo?",
        "it": "Scusi, qualcosa è andato storto da parte mia. Può ripetere?",
        "pt": "Desculpe, houve um problema do meu lado. Pode repetir?",
        "nl": "Sorry, er ging bij mij iets mis. Kunt u dat herhalen?",
        "hi": "माफ़ कीजिए, मेरी ओर से कुछ गड़बड़ हो गई। क्या आप दोबारा कहेंगे?",
    }
)
"""What is said when an engine failed."""

DELAYS: Final = MappingProxyType(
    {
        "en": "Sorry, this is taking me a moment.",
        "de": "Entschuldigung, das dauert einen Moment.",
        "fr": "Pardon, cela me prend un instant.",
        "es": "Perdón, esto me lleva un momento.",
        "it": "Scusi, mi serve un momento.",
        "pt": "Desculpe, preciso de mais um momento.",
        "nl": "Sorry, dit duurt even.",
        "hi": "माफ़ कीजिए, इसमें थोड़ा समय लग रहा है।",
    }
)
"""What is said when the language model gives no sign of itself."""

FAREWELLS: Final = MappingProxyType(
    {
        "en": "Sorry, something went wrong on my side, and I have to hang up. Please call again.",
        "de": "Entschuldigung, bei mir ist etwas schiefgegangen, ich muss auflegen. Bitte rufen Sie noch einmal an.",
        "fr": "Pardon, j'ai eu un problème et je dois raccrocher. Veuillez rappeler.",
        "es": "Perdón, algo ha fallado por mi parte y tengo que colgar. Vuelva a llamar, por favor.",
        "it": "Scusi, qualcosa è andato storto da parte mia e devo riagganciare. Richiami, per favore.",
        "pt": "Desculpe, houve um problema do meu lado e tenho que desligar. Ligue novamente, por favor.",
        "nl": "Sorry, er ging bij mij iets mis en ik moet ophangen. Belt u alstublieft nog eens.",
        "hi": "माफ़ कीजिए, मेरी ओर से कुछ गड़बड़ हो गई और मुझे फ़ोन रखना होगा। कृपया दोबारा फ़ोन कीजिए।",
    }
)
"""What is said when a fault in Morgan ends a call."""

SHUTDOWNS: Final = MappingProxyType(
    {
        "en": "I have to restart now. Please call again in a minute.",
        "de": "Ich muss jetzt neu starten. Bitte rufen Sie in einer Minute noch einmal an.",
        "fr": "Je dois redémarrer maintenant. Veuillez rappeler dans une minute.",
        "es": "Ahora tengo que reiniciarme. Vuelva a llamar dentro de un minuto, por favor.",
        "it": "Adesso devo riavviarmi. Richiami tra un minuto, per favore.",
        "pt": "Tenho que reiniciar agora. Ligue novamente daqui a um minuto, por favor.",
        "nl": "Ik moet nu opnieuw opstarten. Belt u alstublieft over een minuut nog eens.",
        "hi": "मुझे अब फिर से शुरू होना होगा। कृपया एक मिनट बाद दोबारा फ़ोन कीजिए।",
    }
)
"""What is said when a restart of the server ends a call."""

PHRASES: Final[Mapping[PhraseName, Mapping[str, str]]] = MappingProxyType(
    {
        "greeting": {},
        "telephone_greeting": {},
        "idle_prompt": IDLE_PROMPTS,
        "apology": APOLOGIES,
        "delay_apology": DELAYS,
        "farewell": FAREWELLS,
        "shutdown_prompt": SHUTDOWNS,
        "unclear_prompt": UNCLEAR,
        "unspeakable": UNSPEAKABLE,
        "tool_filler": FILLERS,
    }
)
"""All of them by name; Morgan greets nobody of its own accord."""

NONE_OF_ITS_OWN: Final[OwnPhrases] = MappingProxyType({})


def phrase_in(name: PhraseName, text: str, language: str, own: OwnPhrases = NONE_OF_ITS_OWN) -> tuple[str, str | None]:
    """A phrase in a language.

    Args:
        name: of the phrase.
        text: that was set: "" for nothing, in no language; the English phrase stands for that of each language;
            anything else is said in all of them but those that the operator has a phrase for.
        language: to be said in, ISO 639-1.
        own: phrases of the operator.

    Returns:
        The words and their language; None where a text was set without its language.
    """
    if not text:
        return "", None
    code, known = primary_language(language), PHRASES[name]
    if (words := own.get(code, {}).get(name)) is not None:
        return words, code
    if text == known.get("en"):
        return (known[code], code) if code in known else (text, "en")
    return text, next((each for each, phrases in own.items() if phrases.get(name) == text), None)


def first_of(name: PhraseName, own: OwnPhrases) -> str:
    """The first of an operator's phrases of a name, "" for none: said in the languages that there is none for."""
    return next((phrases[name] for phrases in own.values() if phrases.get(name)), "")
