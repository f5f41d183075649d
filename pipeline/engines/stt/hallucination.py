"""Hallucinations of Whisper: what it invents on silence and noise, told from what was said."""

import re
from dataclasses import dataclass
from typing import Final

from pipeline.engines.protocols import Transcript
from pipeline.text.normalise import normalise

_ANNOTATION: Final = re.compile(
    r"\[[^\[\]]{0,60}\]|\([^()]{0,60}\)|\{[^{}]{0,60}\}|<[^<>]{0,60}>|\*[^*\n]{1,60}\*|[♪♫♩♬]+[^♪♫♩♬\n]*[♪♫♩♬]+|[♪♫♩♬]"
)


@dataclass(frozen=True, slots=True)
class HallucinationThresholds:
    """When a transcript is not believed.

    whisper-base (int8, greedy) on silence, white and brown noise, hum and clicks of 1 to 4 s: no-speech 0.68 to 0.82,
    confidence 0.11 to 0.38. On "Thank you.", "Bye.", "So." and the like, really said: at most 0.21, at least 0.41.

    Attributes:
        known_no_speech: a known invention is not believed from this no-speech probability on,
        known_confidence: nor below this confidence.
        known_short_s: audio shorter than this is too short for a known invention of three words or more.
        any_no_speech: any text is disbelieved from this no-speech probability on, provided that
        any_confidence: its confidence lies below this (Whisper's own rule: 0.6 and exp(-1)).
        words_per_s: faster speech than this does not exist, provided that
        fast_words: there are so many words.
    """

    known_no_speech: float = 0.5
    known_confidence: float = 0.4
    known_short_s: float = 0.3
    any_no_speech: float = 0.6
    any_confidence: float = 0.37
    words_per_s: float = 8.0
    fast_words: int = 6


DEFAULT_THRESHOLDS: Final = HallucinationThresholds()


def _phrases(text: str) -> frozenset[str]:
    return frozenset(normalise(phrase) for phrase in text.split(","))


_KNOWN: Final = _phrases(
    "you, thank you, thank you very much, thank you so much, thanks, thanks for watching, thank you for watching,"
    " thanks for listening, thank you for listening, thank you for your time, bye, bye bye, goodbye, good bye, see you,"
    " see you next time, see you in the next video, i'll see you next time, i'll see you in the next video,"
    " please subscribe, please subscribe to my channel, don't forget to subscribe, like and subscribe,"
    " please like and subscribe, so, oh, uh, um, hmm, mm, ah, the, okay, yeah, i'm sorry, the end, music, applause,"
    " laughter, silence, we'll be right back,"
    " vielen dank, vielen dank fürs zuschauen, danke fürs zuschauen, danke, tschüss, bis zum nächsten mal,"
    " merci, merci d'avoir regardé cette vidéo, merci d'avoir regardé, au revoir, à bientôt,"
    " gracias, gracias por ver el video, gracias por ver, muchas gracias, suscríbete, adiós, hasta la próxima,"
    " grazie, grazie per la visione, grazie a tutti, ciao, obrigado, obrigada, tchau, bedankt voor het kijken,"
    " dank je wel"
)

_CREDITS: Final = re.compile(
    r"(?:sub(?:titles?|titled|titling)|captions?|transcri(?:bed|ption|pt)|translat(?:ed|ion)) (?:by|provided by|from)\b"
    r"|amara org|opensubtitles|untertitel (?:von|der|im|des)\b|untertitelung|sous titr(?:es|age)\b"
    r"|subt[ií]tulos (?:por|de|realizados)\b|sottotitoli|legendas? (?:por|pela)\b|ondertiteling|ondertiteld door"
    r"|all rights reserved|www \w+ (?:com|org|net)$"
)


def strip_annotations(text: str) -> str:
    """The transcript without what describes sounds: "[Music]", "(applause)", "*sighs*", notes of music."""
    return " ".join(_ANNOTATION.sub(" ", text).split())


def is_hallucination(
    text: str,
    no_speech: float,
    confidence: float,
    duration_s: float,
    thresholds: HallucinationThresholds = DEFAULT_THRESHOLDS,
) -> bool:
    """Whether a transcript is better ignored.

    True where no word is left without annotations; for known inventions and subtitle credits where the model's own
    doubts make them likely; for any text that the model believes to be none; for more words than fit in the time.

    Args:
        text: the transcript.
        no_speech: probability (0 to 1) that there was no speech.
        confidence: exp of the mean log probability per token (0 to 1).
        duration_s: seconds of audio that were transcribed, padding left out; 0 where not known.
        thresholds: what counts as doubt.
    """
    t = thresholds
    phrase = normalise(strip_annotations(text))
    if not phrase:
        return True
    if no_speech >= t.any_no_speech and confidence < t.any_confidence:
        return True
    words = phrase.split()
    if len(words) >= t.fast_words and len(words) > t.words_per_s * duration_s > 0:
        return True
    if phrase in _KNOWN or _is_known_twice(words) or _CREDITS.search(phrase):
        too_short = len(words) >= 3 and 0 < duration_s < t.known_short_s
        return no_speech >= t.known_no_speech or confidence < t.known_confidence or too_short
    return False


def clean_transcript(transcript: Transcript, thresholds: HallucinationThresholds = DEFAULT_THRESHOLDS) -> str:
    """The words that were said, without annotations; "" where they are better ignored."""
    t = transcript
    if is_hallucination(t.text, t.no_speech, t.confidence, t.duration, thresholds):
        return ""
    return strip_annotations(t.text)


def _is_known_twice(words: list[str]) -> bool:
    """Whether the text is a known invention said several times ("Bye. Bye. Bye.")."""
    return any(
        len(words) % n == 0 and words == words[:n] * (len(words) // n) and " ".join(words[:n]) in _KNOWN
        for n in range(1, len(words) // 2 + 1)
    )
