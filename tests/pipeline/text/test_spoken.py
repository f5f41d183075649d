"""Making written text speakable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.text.spoken import speak, speakable


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("I have 21 cats.", "I have twenty-one cats."),
        ("It is 3.05 now", "It is three point zero five now"),
        ("1,234 people", "one thousand two hundred and thirty-four people"),
        ("-5 or −3", "minus five or minus three"),
        ("the 1st and 22nd", "the first and twenty-second"),
        ("007", "zero zero seven"),
        ("12345678901", "one two three four five six seven eight nine zero one"),
        ("1/2 cup, 1 1/2 cups, 3/4, 2½", "one half cup, one and a half cups, three quarters, two and a half"),
        ("24/7", "twenty-four seven"),
        ("5-10 and 5–10", "five to ten and five to ten"),
        ("2 * 3 = 6 and 5 - 3 = 2", "two times three equals six and five minus three equals two"),
        ("2*3", "two times three"),
        ("version 1.2.3", "version one point two point three"),
        ("192.168.1.1", "one nine two dot one six eight dot one dot one"),
        ("No. 7 and #5", "number seven and number five"),
        ("x^2", "x squared"),
        ("A4", "A-four"),
        ("call 911, dial 112, buy 112", "call nine one one, dial one one two, buy one hundred and twelve"),
        ("about 8.9M, $30k-$40k", "about eight point nine million, thirty thousand dollars to forty thousand dollars"),
        ("a 3:1 ratio, .5", "a three to one ratio, point five"),
        ("5'7\"", "five foot seven"),
        ("C# and .NET", "C sharp and dot NET"),
        ("COVID-19", "COVID nineteen"),
    ],
)
def test_numbers(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$3.50", "three dollars and fifty cents"),
        ("$1", "one dollar"),
        ("$0.99", "ninety-nine cents"),
        ("€20", "twenty euros"),
        ("20 €", "twenty euros"),
        ("$3.5 million", "three point five million dollars"),
        ("£1,000.01", "one thousand pounds and one penny"),
        ("50 EUR", "fifty euros"),
        ("$5-$10", "five dollars to ten dollars"),
        ("45%", "forty-five percent"),
        ("12.5 %", "twelve point five percent"),
    ],
)
def test_money_and_percentages(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2026-11-22", "November twenty-second, twenty twenty-six"),
        ("Nov 22", "November twenty-second"),
        ("Nov. 5th, 2026.", "November fifth, twenty twenty-six."),
        ("11/22/2026", "November twenty-second, twenty twenty-six"),
        ("22 November 2026", "the twenty-second of November, twenty twenty-six"),
        ("the 3rd of May", "the third of May"),
        ("in 1984, from 1990-2000", "in nineteen eighty-four, from nineteen ninety to two thousand"),
        ("2048 bits", "two thousand and forty-eight bits"),
        ("the 1990s and '80s", "the nineteen nineties and eighties"),
        ("10:30", "ten thirty"),
        ("10:30 pm", "ten thirty p.m."),
        ("10:05", "ten oh five"),
        ("10:00", "ten o'clock"),
        ("at 9 a.m. Then we", "at nine a.m. Then we"),
        ("9am-5pm", "nine a.m. to five p.m."),
    ],
)
def test_dates_and_times(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("(555) 123-4567", "five five five, one two three, four five six seven"),
        ("+49 30 1234567", "plus four nine, three zero, one two three four five six seven"),
        ("555-1234", "five five five, one two three four"),
    ],
)
def test_telephone_numbers_digit_by_digit(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("5 km", "five kilometers"),
        ("1 km", "one kilometer"),
        ("20 °C", "twenty degrees Celsius"),
        ("-5°F", "minus five degrees Fahrenheit"),
        ("3 kg", "three kilograms"),
        ("60 km/h", "sixty kilometers per hour"),
        ("5 kg/day", "five kilograms per day"),
        ("16GB", "sixteen gigabytes"),
        ("3 m²", "three square meters"),
        ("a 5-min walk", "a five minute walk"),
        ("5 min. later. Then 6 min. And", "five minutes later. Then six minutes. And"),
    ],
)
def test_units(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Dr. Smith and Mr. Jones met Mrs. Lee.", "Doctor Smith and Mister Jones met Missus Lee."),
        ("fruit, e.g. apples, i.e. food", "fruit, for example apples, that is food"),
        ("and so on, etc.", "and so on, et cetera."),
        ("St. Paul on Main St.", "Saint Paul on Main Street."),
        ("5 vs. 6 w/o R&D", "five versus six without R and D"),
        ("the U.S. army", "the U.S. army"),
        ("a Ph.D. student", "a PhD student"),
    ],
)
def test_abbreviations(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("example.com/path.", "example dot com slash path."),
        ("https://www.example.com/a_b?q=1#x", "example dot com slash a underscore b"),
        ("(see http://example.org)", "see example dot org"),
        ("jane.doe@example.com!", "jane dot doe at example dot com!"),
        ("main.py in /usr/bin", "main dot py in slash usr slash bin"),
    ],
)
def test_addresses(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("**Bold**, *italic*, __both__ and ~~gone~~", "Bold, italic, both and gone"),
        ("half **of it", "half of it"),
        ("# Title\n\nText", "Title. Text"),
        ("- first\n- second", "first. second"),
        ("* [x] done", "done"),
        ("1. Wash\n2. Cook", "one. Wash. two. Cook"),
        ("> quoted", "quoted"),
        ("[a link](https://example.com/x_(y)) here", "a link here"),
        ("![picture](x.png)", "picture"),
        ("so it is [1], they say[^2]", "so it is, they say"),
        ("use `my_name` here", "use my name here"),
        ("Run:\n```python\nx = 1\n```\nDone.", "Run: Done."),
        ("| a | b |\n|---|---|\n| c | d |", "a, b. c, d"),
        ("a<br>b &amp; <b>c</b>", "a b and c"),
        ("end<|im_end|>", "end"),
        ("Party 🎉🎉 time 👩‍👩‍👧 :)", "Party time"),
    ],
)
def test_markup_and_emoji_go(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Wow!!! Really?! Hm....", "Wow! Really? Hm..."),
        ("one — two – three -- four", "one, two, three, four"),
        ("this (an aside) is", "this, an aside, is"),
        ("so it is (really).", "so it is, really."),
        ('he said "yes" and “no”', "he said yes and no"),
        ("it’s", "it's"),
        ("a well-known thing", "a well-known thing"),
    ],
)
def test_punctuation(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize("written", ["", " \n", "🎉", "```\ncode\n```", "```python\nopen", "---", "**", "...", "|---|"])
def test_nothing_to_say(written: str) -> None:
    spoken = speak(written)
    assert (spoken.text, spoken.spans) == ("", ())


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("de", "Das kostet 3,50 €, **ja**!", "Das kostet drei Euro fünfzig, ja!"),
        ("de-AT", "45 % von 1.000", "fünfundvierzig Prozent von eintausend"),
        ("de", "am 22.11.2026", "am zweiundzwanzigsten November zweitausendsechsundzwanzig"),
        ("fr", "3,14 et 21", "trois virgule un quatre et vingt et un"),
        ("es", "Tengo $1 y 21 años", "Tengo un dólar y veintiuno años"),
        ("it", "3,05", "tre virgola zero cinque"),
        ("nl", "example.com", "example punt com"),
        ("zz", "I have 3 apples & $5, see x@y.com 🎉", "I have 3 apples & $5, see x@y.com"),
    ],
)
def test_other_languages(language: str, written: str, said: str) -> None:
    assert speakable(written, language) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1-877-KARS-4-KIDS", "one eight seven seven kars four kids"),
        ("the 49ers and the 76ers", "the forty-niners and the seventy-sixers"),
        ("I-405, US-101 and Form 1099", "I four oh five, US one oh one and Form ten ninety-nine"),
        (
            "Her card ends in 4242, the year in 1984.",
            "Her card ends in four two four two, the year in nineteen eighty-four.",
        ),
        ("John 3:16, Psalm 23:1-4", "John three sixteen, Psalm twenty-three one to four"),
        ("it began at 21:19 and we won 21:19", "it began at twenty-one nineteen and we won twenty-one to nineteen"),
        ("WWII, MMXXIV, Scene ii, Malcolm X", "World War two, twenty twenty-four, Scene two, Malcolm X"),
        ("i7-12700K, B2B, 1-2-3", "i seven twelve thousand seven hundred K, B two B, one two three"),
        ("100s of B-52s, the 6s", "hundreds of B fifty-twos, the sixes"),
    ],
)
def test_numbers_that_are_names(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("£3m, $1.2tn, €10k", "three million pounds, one point two trillion dollars, ten thousand euros"),
        ("$5–10 million", "five to ten million dollars"),
        ("$1.50-2", "one dollar and fifty cents to two dollars"),
        ("Rs. 500, ₿2, ¢5", "five hundred rupees, two bitcoins, five cents"),
        ("12,50 € or €3,20", "twelve euros and fifty cents or three euros and twenty cents"),
        ("the $5 bill costs a $5 bill", "the five dollars bill costs a five dollar bill"),
    ],
)
def test_more_money(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("8.5/10, 10/10, 4/5 stars", "eight point five out of ten, ten out of ten, four out of five stars"),
        ("odds of 5/2, 1/20 of it, on 1/20", "odds of five to two, one twentieth of it, on one twenty"),
        (
            "10 / 2 = 5, √16, 10^-3",
            "ten divided by two equals five, the square root of sixteen, ten to the power of minus three",
        ),
        (
            "120/80 mmHg, 10 mg/dL",
            "one hundred and twenty over eighty millimeters of mercury, ten milligrams per deciliter",
        ),
        (
            "9.8 m/s², 3 sq. ft., 2 tbsp",
            "nine point eight meters per second squared, three square feet, two tablespoons",
        ),
        ('6 ft 2 in, an 8" pizza', "six feet two inches, an eight inch pizza"),
        ('he said "I have 8" twice', "he said I have eight twice"),
        ("40° 26′ 46″ N", "forty degrees twenty-six minutes forty-six seconds north"),
        ("2 lbs., 1 oz", "two pounds, one ounce"),
    ],
)
def test_measures_and_shares(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2024-05-01T10:30:00Z", "May first, twenty twenty-four, ten thirty UTC"),
        ("in 1066, c. 1850, 6/2024", "in ten sixty-six, circa eighteen fifty, June twenty twenty-four"),
        ("2030 will be warm.", "twenty thirty will be warm."),
        (
            "the 1984 Olympics for 1984 people",
            "the nineteen eighty-four Olympics for one thousand nine hundred and eighty-four people",
        ),
        ("2023/24", "twenty twenty-three to twenty-four"),
        ("Sat 10–2, Mon and Wed, we sat", "Saturday ten to two, Monday and Wednesday, we sat"),
        ("the 1st–3rd", "the first to third"),
    ],
)
def test_more_dates(written: str, said: str) -> None:
    assert speakable(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10.0.0.1:443", "ten dot zero dot zero dot one colon four four three"),
        ("192.168.0.0/16", "one nine two dot one six eight dot zero dot zero slash sixteen"),
        ("version 1.2.3.4", "version one point two point three point four"),
        ("run ./build.sh", "run dot slash build dot sh"),
        ("and/or, he/she", "and or, he she"),
    ],
)
def test_more_addresses(written: str, said: str) -> None:
    assert speakable(written) == said


def sources(text: str) -> list[tuple[str, str]]:
    spoken = speak(text)
    return [(w, text[s.start : s.end]) for w, s in zip(spoken.text.split(), spoken.spans, strict=True)]


def test_every_spoken_word_knows_what_it_came_from() -> None:
    assert sources("**Pay** $3.50 to [Dr. Lee](http://x.com) now.") == [
        ("Pay", "Pay"),
        ("three", "$3.50"),
        ("dollars", "$3.50"),
        ("and", "$3.50"),
        ("fifty", "$3.50"),
        ("cents", "$3.50"),
        ("to", "to"),
        ("Doctor", "Dr."),
        ("Lee", "Lee"),
        ("now.", "now."),
    ]


def test_parts_of_a_date_know_their_own_place() -> None:
    assert [source for _, source in sources("Nov 22, 2026")] == ["Nov", "22", "2026", "2026"]


TRICKY = (
    "$3.50",
    "10:30 pm",
    "Nov 22, 2026",
    "**b**",
    "[l](u)",
    "e.g.",
    "🎉",
    "a_b",
    "5 km",
    "-",
    "(x)",
    "1/0",
    "^",
    "½",
)
written_text = st.lists(st.one_of(st.sampled_from(TRICKY), st.text(max_size=8)), max_size=20).map(" ".join)


@given(written_text, st.sampled_from(["en", "de", "fr", "ja", "zz"]))
def test_spans_match_the_words_and_never_go_back(text: str, language: str) -> None:
    spoken = speak(text, language)
    assert len(spoken.spans) == len(spoken.text.split())
    assert all(0 <= s.start < s.end <= len(text) for s in spoken.spans)
    starts = [s.start for s in spoken.spans]
    assert starts == sorted(starts)


@given(written_text)
def test_what_is_speakable_stays_so(text: str) -> None:
    said = speakable(text)
    assert not any(c in said for c in "*`#|[]🎉$")
