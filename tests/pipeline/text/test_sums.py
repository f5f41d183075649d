"""Sums in the words that they are asked in, and what only looks like one."""

import random

import pytest

from pipeline.text.numbers import cardinal
from pipeline.text.sums import sum_in


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("What is seventeen plus twenty-five?", "17 + 25 = 42"),
        ("What's 17 plus 25?", "17 + 25 = 42"),
        ("What is one hundred minus thirty-six?", "100 - 36 = 64"),
        ("Nine times seven", "9 × 7 = 63"),
        ("3 x 4?", "3 × 4 = 12"),
        ("What is 12 divided by four, please?", "12 ÷ 4 = 3"),
        ("What is 10 / 4?", "10 ÷ 4 = 2.5"),
        ("Ten take away three is what?", "10 - 3 = 7"),
        ("What is 10 divided by 3?", "10 ÷ 3 is about 3.3333"),
        ("What is three plus four times two?", "3 + 4 × 2 = 11"),
        ("What is minus five plus ten?", "-5 + 10 = 5"),
        ("What is a half of fifty?", "1/2 of 50 = 25"),
        ("How much is two thirds of ninety?", "2/3 of 90 = 60"),
        ("Tell me ten percent of two hundred.", "10% of 200 = 20"),
        ("How much is 15% of 80 dollars?", "15% of 80 = 12"),
        ("What is five per cent of 60?", "5% of 60 = 3"),
        ("What is double thirty-five?", "2 × 35 = 70"),
        ("What is seven squared?", "7^2 = 49"),
        ("What is the square root of 16?", "√16 = 4"),
        ("What is 2 to the power of 10?", "2 ^ 10 = 1024"),
        ("What is a million plus two hundred and five?", "1000000 + 205 = 1000205"),
        ("What is 1,250 plus 3,000?", "1250 + 3000 = 4250"),
        ("What is three point five times two?", "3.5 × 2 = 7"),
        ("What is two point five million plus one?", "2500000 + 1 = 2500001"),
    ],
)
def test_a_sum_that_is_asked_is_worked_out(asked: str, found: str) -> None:
    assert sum_in(asked) == found


@pytest.mark.parametrize(
    "said",
    [
        "",
        "What is five?",
        "My number is 555-1234, what is yours?",
        "Is it open 24/7?",
        "What happened on 9/11?",
        "I've told you three times. What is 5?",
        "How many times seven?",
        "What is five five five plus one?",
        "What is 1 hundred and 5 plus 2?",
        "He won one plus one more.",
        "I have three apples and buy four more. How many apples do I have?",
        "What is five divided by zero?",
        "What is 2 to the power of 10000?",
        "What is 999 billion times 999 billion?",
        "What is two plus?",
        "How much is the plus size?",
        "What is a half of it?",
        "What is two and two?",
        "What is " + "1 + " * 200 + "1?",
    ],
)
def test_what_is_no_sum_is_left_alone(said: str) -> None:
    assert sum_in(said) == ""


def test_any_two_numbers_in_words_or_digits_come_to_what_python_says() -> None:
    random_numbers = random.Random(5)
    signs = {"plus": "+", "minus": "-", "times": "×"}
    for _ in range(500):
        first, second = (random_numbers.randrange(10 ** random_numbers.randint(1, 6)) for _ in range(2))
        word = random_numbers.choice(list(signs))
        result = {"plus": first + second, "minus": first - second, "times": first * second}[word]
        shown = [cardinal(each) if random_numbers.random() < 0.5 else str(each) for each in (first, second)]
        asked = f"What is {shown[0]} {word} {shown[1]}?"
        assert sum_in(asked) == f"{first} {signs[word]} {second} = {result}", asked
