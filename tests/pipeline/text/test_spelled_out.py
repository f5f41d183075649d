"""Five languages are read as those who speak them spell numbers, dates, money and units."""

import random

import pytest

from pipeline.text.numbers import cardinal, counted
from pipeline.text.spoken import speak, speakable
from tests.pipeline.text import spelled_out
from tests.pipeline.text.spelled_out import FIVE, same, spelled, table

COUNT = 600


@pytest.mark.parametrize("language", FIVE)
def test_numbers_are_spelled_as_their_speakers_spell_them(language: str) -> None:
    rng = random.Random(7)
    for number in [*range(1_100), *(rng.randrange(10**size) for size in range(4, 10) for _ in range(25))]:
        assert same(str(cardinal(number, language))) == same(spelled(number, language)), number


@pytest.mark.parametrize("language", FIVE)
@pytest.mark.parametrize("gender", ["m", "f"])
def test_numbers_have_the_gender_of_what_they_count(language: str, gender: str) -> None:
    # Nobody says "ventuna ore", though CLDR has it.
    for number in range(1, 21 if (language, gender) == ("it", "f") else 1_000):
        said = counted(number, language, feminine=gender == "f")
        assert same(str(said)) == same(spelled_out.counted(number, language, gender)), number


def test_the_table_of_five_languages_is_read_right() -> None:
    wrong = [
        (language, written, said, speakable(written, language))
        for language, written, said in table(13, COUNT)
        if same(speakable(written, language)) != same(said)
    ]
    print(f"read right: {COUNT - len(wrong)} of {COUNT}", *wrong, sep="\n")
    assert len(wrong) <= 0.02 * COUNT, wrong


def test_what_is_read_knows_where_it_was_written() -> None:
    for language, written, _ in table(14, COUNT):
        spoken = speak(written, language)
        assert len(spoken.spans) == len(spoken.text.split())
        starts = [span.start for span in spoken.spans]
        assert starts == sorted(starts)
        assert all(0 <= span.start < span.end <= len(written) for span in spoken.spans)


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("de", "Er wurde 21. Danach ging er.", "Er wurde einundzwanzig. Danach ging er."),
        ("de", "z. B. im 3. Stock", "zum Beispiel im dritten Stock"),
        ("de", "am 24.12. um 8 Uhr", "am vierundzwanzigsten Dezember um acht Uhr"),
        ("de", "seit 1998, 1.998 Euro", "seit neunzehnhundertachtundneunzig, eintausendneunhundertachtundneunzig Euro"),
        ("de", "vom 21.–23. Mai", "vom einundzwanzigsten bis dreiundzwanzigsten Mai"),
        ("de", "14:00-16:30 Uhr", "vierzehn Uhr bis sechzehn Uhr dreißig"),
        ("de", "unter 1.000.000 Euro usw.", "unter eine Million Euro und so weiter."),
        ("de", "ab 1-2-3 und 2010-11-12-13", "ab eins zwei drei und zweitausendzehn elf zwölf dreizehn"),
        ("fr", "le 1er étage, env. 1/2 litre", "le premier étage, environ un demi litre"),
        ("fr", "au XXe siècle, M. Petit", "au vingtième siècle, Monsieur Petit"),
        ("es", "el siglo XXI, el 3.er piso", "el siglo veintiuno, el tercer piso"),
        ("es", "200 £ y 21 £", "doscientas libras y veintiuna libras"),
        ("it", "nel secolo XXI il Sig. Rossi", "nel secolo ventunesimo il signor Rossi"),
        ("pt", "o século XXI, 2 h", "o século vinte e um, duas horas"),
        ("pt-PT", "16 km", "dezasseis quilômetros"),
        ("pt", "16 km", "dezesseis quilômetros"),
    ],
)
def test_what_needs_its_neighbours_to_be_read(language: str, written: str, said: str) -> None:
    assert speakable(written, language) == said
