from pipeline.engines.protocols import Transcript, Word
from pipeline.transcription.segments import Segment, SpokenLanguage, prompt_after, sentences, whole_text


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


def said_in(code: str, seconds: float) -> Segment:
    """A segment in a language."""
    return Segment("words", 0.0, seconds, code)


def test_what_is_expected_is_what_was_spoken_last_and_the_language_what_was_spoken_most() -> None:
    language = SpokenLanguage(None, "fr")
    assert (language.wanted, language.prior, language.best) == (None, "fr", None)
    language.heard([said_in("en", 12.0), said_in("de", 20.0), said_in("en", 4.0)])
    assert (language.prior, language.best) == ("en", "de")


def test_a_word_that_sounds_like_another_language_does_not_change_what_is_expected() -> None:
    language = SpokenLanguage(None)
    language.heard([said_in("en", 3.0), said_in("es", 0.6)])
    assert language.prior == "en"


def test_the_prompt_is_of_the_language_spoken_last() -> None:
    """In another one it would have the engine translate."""
    said = [Segment("One two.", 0, 2, "en"), Segment("Drei vier.", 2, 4, "de"), Segment("Fünf.", 4, 6, "de")]
    assert prompt_after(said) == "Drei vier. Fünf."
    assert prompt_after(said[:1], "zero") == "One two."
    assert prompt_after([], "zero") == "zero"


def test_there_is_one_language_if_it_was_asked_for_or_was_alone_for_a_minute() -> None:
    assert SpokenLanguage("de").one
    language = SpokenLanguage(None)
    language.heard([said_in("en", 55.0)])
    assert not language.one
    language.heard([said_in("en", 6.0)])
    assert language.one
    language.heard([said_in("de", 4.0)])
    assert not language.one
