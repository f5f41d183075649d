from pipeline.engines.protocols import Transcript, Word
from pipeline.transcription.segments import SpokenLanguage, sentences, whole_text


def spoken(text: str, gaps: dict[str, float] | None = None, length: float = 0.4) -> Transcript:
    """A transcript whose words follow each other without a pause, but for those in `gaps`."""
    words, at = [], 0.0
    for word in text.split():
        at += (gaps or {}).get(word, 0.0)
        words.append(Word(word, round(at, 3), round(at + length, 3)))
        at += length
    return Transcript(text, "en", confidence=0.9, duration=at, words=tuple(words))


def test_sentences_become_segments() -> None:
    found = sentences(spoken("How are you today? I am very well."), 10.0)
    assert [segment.text for segment in found] == ["How are you today?", "I am very well."]
    assert [(segment.start, segment.end) for segment in found] == [(10.0, 11.6), (11.6, 13.2)]


def test_a_pause_parts_segments_without_any_full_stop() -> None:
    found = sentences(spoken("one two three four", {"three": 1.0}), 0.0)
    assert [segment.text for segment in found] == ["one two", "three four"]


def test_an_abbreviation_before_a_small_letter_is_no_end() -> None:
    assert len(sentences(spoken("we met at five p.m. near the old bridge"), 0.0)) == 1


def test_no_segment_is_much_longer_than_twenty_seconds() -> None:
    found = sentences(spoken(" ".join(["word"] * 100)), 0.0)
    assert max(segment.end - segment.start for segment in found) <= 21
    assert whole_text(found) == " ".join(["word"] * 100)


def test_languages_without_spaces_keep_their_text() -> None:
    words = tuple(Word(character, index / 2, index / 2 + 0.5) for index, character in enumerate("今日は雨です"))
    found = sentences(Transcript("今日は雨です", "ja", confidence=0.9, duration=3.0, words=words), 0.0)
    assert whole_text(found) == "今日は雨です"


def test_what_describes_sounds_is_left_out_with_its_times() -> None:
    (segment,) = sentences(spoken("[Music] Good morning everybody"), 0.0)
    assert segment.text == "Good morning everybody"
    assert [word.text for word in segment.words] == ["Good", "morning", "everybody"]


def test_inventions_on_silence_are_no_segment() -> None:
    assert sentences(Transcript("Thank you.", "en", no_speech=0.8, confidence=0.2, duration=2.0), 0.0) == []


def test_the_language_is_asked_for_until_enough_was_heard() -> None:
    language = SpokenLanguage(None)
    language.heard(sentences(spoken("one two three"), 0.0))
    assert (language.best, language.for_engine) == ("en", None)
    language.heard(sentences(spoken(" ".join(["word"] * 20)), 0.0))
    assert language.for_engine == "en"
