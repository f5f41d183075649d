"""Times and days of five languages; letters that their voices do not have."""

import pytest

from pipeline.text.spoken import speak, speakable


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
