"""Numbers, money, dates and times of five languages, spelled by num2words; letters that their voices do not have."""

import random

import pytest
from num2words import num2words  # type: ignore[import-untyped]

from pipeline.text.spoken import speak, speakable

FIVE = ("de", "fr", "es", "it", "pt")
MARCH = {"de": "März", "fr": "mars", "es": "marzo", "it": "marzo", "pt": "março"}
EUROS = {"de": "Euro", "fr": "euros", "es": "euros", "it": "euro", "pt": "euros"}


@pytest.mark.parametrize("language", FIVE)
def test_numbers_and_money(language: str) -> None:
    rng = random.Random(6)
    for number in [rng.randint(2, 999) for _ in range(40)]:
        words = num2words(number, lang=language)
        assert speakable(f"x {number} y", language) == f"x {words} y"
        assert speakable(f"x {number} € y", language) == f"x {words} {EUROS[language]} y"


@pytest.mark.parametrize("language", FIVE)
def test_dates(language: str) -> None:
    for day in range(2, 32):
        for year in (1984, 2026):
            written = f"x {day:02d}.03.{year}." if language == "de" else f"x {day:02d}/03/{year}."
            said = num2words(day, lang=language, to="ordinal" if language == "de" else "cardinal")
            joint = " de " if language in ("es", "pt") else " "
            told = num2words(year, lang=language, to="year")
            assert speakable(written, language) == f"x {said}{joint}{MARCH[language]}{joint}{told}."


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("de", "um 14:30 Uhr", "um vierzehn Uhr dreißig"),
        ("de", "am 3. Oktober", "am dritten Oktober"),
        ("fr", "à 14h30", "à quatorze heures trente"),
        ("fr", "le 01/05/2026", "le premier mai deux mille vingt-six"),
        ("it", "alle 14:30", "alle quattordici e trenta"),
        ("pt", "às 14:30", "às catorze e trinta"),
        ("es", "a las 14:30", "a las catorce treinta"),
    ],
)
def test_times_and_days(language: str, written: str, said: str) -> None:
    assert speakable(written, language) == said


def test_letters_without_sounds_go_and_the_readable_part_stays() -> None:
    assert speakable("你好世界", "en") == ""
    spoken = speak("The word 你好 means hello.", "en")
    assert spoken.text == "The word means hello."
    assert len(spoken.spans) == 4
    assert "你好" in speakable("你好。", "zh")
