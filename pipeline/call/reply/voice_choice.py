"""The choice of the voice that says a reply, by the language that it is in."""

from collections.abc import Sequence

from pipeline.engines.protocols import Voice
from pipeline.text.scripts import has_sounds
from pipeline.text.words import primary_language


class VoiceChoice:
    """The voices that a call can speak with.

    Args:
        voices: all of them.
        default: id of the one that speaks unless told otherwise.
        chosen: id of the one that the caller chose, which then says everything; None for none.
    """

    def __init__(self, voices: Sequence[Voice] = (), default: str = "", chosen: str | None = None) -> None:
        self._voices, self._default = voices, default
        self._by_language: dict[str, str] = {}
        for voice in voices:
            if voice.language:
                self._by_language.setdefault(primary_language(voice.language), voice.id)
        self._languages = {voice.id: primary_language(voice.language) for voice in voices if voice.language}
        self.choose(chosen)

    def choose(self, chosen: str | None) -> None:
        """From now on the caller has chosen another voice, or none."""
        self._chosen = chosen
        speaks = chosen or self._default
        own = next((voice.language for voice in self._voices if voice.id == speaks), "")
        self.language = primary_language(own) if own else None
        """Of the voice that speaks unless told otherwise, ISO 639-1; None where that is not known, or many."""

    def speaking(self, language: str | None) -> str | None:
        """The voice for a text: None for the default, which also says what no voice has the language for.

        Args:
            language: of the text, ISO 639-1; None where it is not known.
        """
        if self._chosen is not None or language is None or self.language is None:
            return self._chosen
        code = primary_language(language)
        return None if code == self.language else self._by_language.get(code)

    def at_hand(self, language: str | None) -> str | None:
        """The voice whose sound of the call's own phrases is made ahead of calls, whatever the caller has chosen.

        Args:
            language: of the text, ISO 639-1; None where it is not known.
        """
        code, own = primary_language(language) if language else None, self._languages.get(self._default)
        return (self._by_language.get(code) if code and own and code != own else None) or self._default or None

    def prepared_in(self, voice: str | None, language: str | None) -> str:
        """The language in which a text is made speakable: that of the voice, whatever the text is in.

        Args:
            voice: that `speaking` gave.
            language: of the text; taken where the voice has none of its own, or many.
        """
        own = self.language if voice is None else self._languages.get(voice)
        return own or language or "en"

    def answers_in(self, language: str) -> str:
        """The language to answer in: that of the caller, unless the voice has no sounds for its letters.

        Args:
            language: of the caller, ISO 639-1.
        """
        spoken = self.prepared_in(self.speaking(language), language)
        return language if has_sounds(spoken, language) else spoken
