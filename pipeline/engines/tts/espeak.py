"""Phonemes by espeak-ng, as the package piper-tts carries it (GPL-3.0, an optional extra)."""

import threading

from pipeline.engines.protocols import EngineUnavailableError

ESPEAK = threading.Lock()
"""espeak-ng keeps one state for the whole process: this is held while it is asked."""


class Espeak:
    """The phonemizer.

    Raises:
        EngineUnavailableError: piper-tts is not installed.
    """

    def __init__(self) -> None:
        try:
            from piper.phonemize_espeak import EspeakPhonemizer
        except ImportError as error:
            raise EngineUnavailableError(
                "the phonemizer espeak-ng is missing: pip install morgan-voice[piper]"
            ) from error
        with ESPEAK:
            self._phonemizer = EspeakPhonemizer()

    def phonemes(self, language: str, text: str) -> str:
        """IPA with stress marks and punctuation, sentences one space apart.

        Args:
            language: a voice of espeak-ng's, such as "en-us".
            text: what is said.
        """
        with ESPEAK:
            sentences = self._phonemizer.phonemize(language, text)
        return " ".join("".join(sentence).strip() for sentence in sentences)
