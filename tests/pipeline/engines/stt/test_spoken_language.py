"""Which language is taken, given what the model ranks and what is expected."""

from pipeline.engines.stt.spoken_language import choose_language

LONG, SHORT = 48_000, 12_000
ACCENT = [("he", 0.55), ("en", 0.3), ("ar", 0.1)]


def test_a_sure_language_needs_no_second_look() -> None:
    choice = choose_language([("de", 0.9), ("en", 0.05)], LONG)
    assert (choice.code, choice.settled) == ("de", True)


def test_an_unsure_one_is_looked_at_on_the_full_window() -> None:
    assert not choose_language(ACCENT, LONG).settled
    assert choose_language(ACCENT, LONG, full_window=True).settled


def test_what_is_expected_stays_unless_the_model_is_sure() -> None:
    choice = choose_language(ACCENT, LONG, prior="en")
    assert (choice.code, choice.probability, choice.settled) == ("en", 0.3, True)


def test_a_sure_other_language_is_taken_once_the_full_window_agrees() -> None:
    ranking = [("fr", 0.85), ("en", 0.1)]
    first = choose_language(ranking, LONG, prior="en")
    assert (first.code, first.settled) == ("fr", False)
    assert choose_language(ranking, LONG, prior="en", full_window=True).code == "fr"
    assert choose_language([("fr", 0.6), ("en", 0.4)], LONG, prior="en", full_window=True).code == "en"


def test_short_speech_must_be_surer() -> None:
    ranking = [("es", 0.75), ("en", 0.1)]
    assert choose_language(ranking, SHORT, prior="en").code == "en"
    assert choose_language(ranking, LONG, prior="en").code == "es"


def test_only_allowed_languages_are_chosen_from() -> None:
    assert choose_language(ACCENT, LONG, allowed=("en", "de"), full_window=True).code == "en"


def test_a_prior_that_the_model_does_not_know_is_no_prior() -> None:
    assert choose_language([("de", 0.9), ("en", 0.1)], LONG, prior="xx").code == "de"
