"""Backchannels ("mhm") told from interruptions."""

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from pipeline.text.normalise import normalise
from pipeline.text.words import primary_language

MAX_WORDS: Final = 6
"""Longer utterances are never backchannels, whatever they are made of; "mm-hmm, okay, yeah" has four of them."""

DRAWN_OUT_S: Final = 0.6
DRAWN_OUT_WORD_S: Final = 0.6
"""Longest "mm-hmm", with a pause around it: 1.2 s, and 0.6 s for each further word."""

_LAUGHTER: Final = re.compile(r"(?:a*h[aeiou]+|haha\w*|hehe\w*|hihi\w*|[hj]a(?:[hj]a)+h?|lol)")
"""A word of laughter; it may be any number of them."""


def _phrases(text: str) -> frozenset[str]:
    return frozenset(normalise(phrase) for phrase in text.split(","))


_SOUNDS: Final = _phrases(
    "mm, mmm, mhm, mm-hm, mmhm, mm-hmm, mhmm, hm, hmm, uh-huh, aha, ah, oh, ooh, okay, ok, m-hm, mh, um, uh"
)

PHRASES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": _phrases(
            "yeah, yep, yup, yes, ya, right, alright, all right, sure, got it, i see, i know, true, exactly, indeed,"
            " absolutely, cool, nice, great, wow, really, good, very good, makes sense, that's right,"
            " that's true, fair enough, gotcha, of course, i understand, understood, oh i see, huh, interesting"
        ),
        "de": _phrases(
            "ja, jo, jep, joa, genau, klar, stimmt, richtig, verstehe, ich verstehe, ach so, achso, ach, aha, gut,"
            " alles klar, na klar, sicher, super, toll, wirklich, echt, eben, ja genau, ja klar, so so, interessant"
        ),
        "fr": _phrases(
            "oui, ouais, hum, d'accord, bien, très bien, voilà, exact, exactement, je vois, ah bon, bien sûr, c'est ça,"
            " c'est vrai, vraiment, tout à fait, entendu, compris, je comprends, super, ah oui, eh oui, intéressant"
        ),
        "es": _phrases(
            "sí, si, ya, vale, claro, bien, muy bien, de acuerdo, exacto, exactamente, entiendo, ya veo, cierto,"
            " por supuesto, así es, verdad, de verdad, ajá, ah sí, bueno, perfecto, genial, interesante, claro que sí"
        ),
        "it": _phrases(
            "sì, si, già, certo, bene, va bene, d'accordo, esatto, capisco, ho capito, vero, giusto, ah sì, davvero,"
            " perfetto, certamente, eh sì, ecco, interessante, infatti, appunto"
        ),
        "pt": _phrases(
            "sim, é, pois, pois é, claro, certo, tá, tá bom, está bem, bom, muito bem, entendo, entendi, exato,"
            " uhum, aham, exatamente, verdade, é verdade, com certeza, beleza, isso, ah sim, sei, interessante,"
            " perfeito"
        ),
        "nl": _phrases(
            "ja, jawel, jep, juist, precies, klopt, goed, heel goed, oké, prima, inderdaad, zeker, natuurlijk,"
            " ik snap het, ik begrijp het, begrepen, echt, ach zo, o ja, mooi, snap ik, interessant"
        ),
    }
)
"""What listeners say without wanting the floor, by language, normalised. Pass another mapping to change it."""

_NEVER: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "en": _phrases(
            "stop, wait, no, nope, hold, hang, pause, quiet, enough, cancel, but, what, why, how, hey, morgan"
        ),
        "de": _phrases("stopp, stop, halt, warte, warten, nein, ne, nee, moment, ruhe, genug, aber, was, warum, wie"),
        "fr": _phrases("stop, arrête, arrêtez, attends, attendez, non, silence, assez, mais, quoi, pourquoi, comment"),
        "es": _phrases("para, pare, alto, espera, espere, no, silencio, basta, pero, qué, por, cómo, stop"),
        "it": _phrases("ferma, fermati, fermo, aspetta, aspetti, no, silenzio, basta, ma, cosa, perché, come, stop"),
        "pt": _phrases("para, pare, espera, espere, não, silêncio, chega, mas, quê, porquê, como, stop"),
        "nl": _phrases("stop, wacht, nee, stil, genoeg, maar, wat, waarom, hoe, pauze"),
    }
)


_PROMPTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "en": "Mm-hmm. Uh-huh. Yeah. Hmm.",
        "de": "Mhm. Ja. Genau. Hm.",
        "fr": "Mm-hm. Oui. Ouais. Hum.",
        "es": "Mm. Sí. Ajá. Hm.",
        "it": "Mm-hm. Sì. Ah. Hm.",
        "pt": "Mm-hm. Sim. Aham. Hm.",
        "nl": "Mm-hm. Ja. Juist. Hm.",
    }
)


def backchannel_prompt(language: str) -> str:
    """What to prompt speech to text with when a hum is as likely as a word.

    Unprompted, Whisper takes an "mhm" for "MMO" or "In a mom."; prompted, it writes "Mm-hmm." or doubts itself, and is
    surer of real words.

    Args:
        language: ISO 639-1 code, a region after it is ignored; unknown ones get the sounds that all share.
    """
    return _PROMPTS.get(primary_language(language), "Mm-hm. Hm.")


def is_backchannel(
    text: str, language: str = "en", phrases: Mapping[str, Collection[str]] = PHRASES, max_words: int = MAX_WORDS
) -> bool:
    """Whether a whole utterance is only a listener's "mhm", "yeah", "I see".

    Case and punctuation do not matter. Repetitions and combinations ("yeah yeah", "oh okay", "yeah, right") count too,
    up to `max_words` words. A language without a list knows only the sounds that all languages share. An utterance
    with a word that takes the floor ("stop", "wait", "no") never is one, whatever the lists say.

    Args:
        text: the utterance.
        language: ISO 639-1 code, a region after it is ignored.
        phrases: lists by language, normalised (`pipeline.text.normalise.normalise`).
        max_words: most words, a hyphenated one counting as its parts.
    """
    words = normalise(text).split()
    if len(words) > 1 and all(_LAUGHTER.fullmatch(word) for word in words):
        return True
    if not words or len(words) > max_words:
        return False
    code = primary_language(language)
    known = _SOUNDS | frozenset(phrases.get(code, ()))
    if " ".join(words) in known - _NEVER.get(code, frozenset()):
        return True
    if any(word in _NEVER.get(code, frozenset()) for word in words):
        return False
    return _is_made_of(words, known)


def is_all_of(text: str, spoken_s: float) -> bool:
    """Whether an utterance of that length can be no more than these words.

    "Oh." is not what somebody has said who speaks for two seconds, in a language that was not expected or with a voice
    that is hard to understand.

    Args:
        text: the words as far as they are known; "" is a noise, which takes as long as it takes.
        spoken_s: seconds from its beginning.
    """
    words = normalise(text).split()
    return not words or spoken_s <= DRAWN_OUT_S + DRAWN_OUT_WORD_S * len(words)


def takes_floor(text: str, language: str = "en") -> bool:
    """Whether the words so far of somebody who is still speaking are an interruption already.

    The last word may be cut off in its middle: it counts only when it takes the floor ("stop"), and a single word in
    front of it may be misheard.

    Args:
        text: the words so far.
        language: ISO 639-1 code, a region after it is ignored.
    """
    words = normalise(text).split()
    if any(word in _NEVER.get(primary_language(language), frozenset()) for word in words):
        return True
    return len(words) > 2 and not is_backchannel(" ".join(words[:-1]), language)


def _is_made_of(words: list[str], known: frozenset[str]) -> bool:
    """Whether the words can be cut into known phrases without remainder."""
    if not words:
        return True
    return any(" ".join(words[:n]) in known and _is_made_of(words[n:], known) for n in range(1, min(len(words), 3) + 1))
