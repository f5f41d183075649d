"""What sums come to that are asked in English words: "what is seventeen plus twenty-five" is "17 + 25 = 42".

Small language models cannot calculate. Whoever asks one a sum is answered rightly when the result stands in the prompt.
"""

import functools
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import Final

_ONES: Final = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS: Final = {word: value for value, word in enumerate(_ONES)} | {
    word: value for value, word in zip(range(20, 100, 10), _TENS, strict=True)
}
_SCALES: Final = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}

_SIGNS: Final = {
    "plus": "+", "added to": "+", "+": "+",
    "minus": "-", "take away": "-", "-": "-", "−": "-",
    "times": "×", "multiplied by": "×", "×": "×", "x": "×", "*": "×",
    "divided by": "÷", "÷": "÷", "/": "÷",
    "to the power of": "^", "^": "^",
}  # fmt: skip
_PARTS: Final = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10,
}  # fmt: skip
_FOLD: Final = {"double": 2, "twice": 2, "triple": 3}
_POWERS: Final = {"squared": 2, "cubed": 3}

_NUMBER: Final = r"\d[\d,]*(?:\.\d+)?"
_TOKEN: Final = re.compile(
    rf"{_NUMBER}|{'|'.join(re.escape(sign) for sign in sorted(_SIGNS, key=len, reverse=True) if not sign.isalpha())}"
    r"|[a-z]+|[%?,.!]"
)
_WANTS: Final = re.compile(r"\b(?:what|how much|how many|calculate|compute|work out|tell me|equals?|makes?)\b|\?|=")
"""What makes a sentence ask for a result; two numbers with a word between them may be anything."""

_NOT_SIGNS: Final = re.compile(r"(?<=\d)[-/](?=\d)|(?<=[a-z])[-/](?=[a-z])")
"""Within "555-1234", "24/7" and "twenty-five"."""

LARGEST: Final = 10**15
LARGEST_POWER: Final = 64
DIGITS: Final = 4
"""Behind the point."""

LONGEST_CHARS: Final = 400
"""Of what is looked at: a question that holds a sum is short."""


@functools.lru_cache(512)
def sum_in(text: str) -> str:
    """The first sum that a question holds, with what it comes to, "17 + 25 = 42"; empty where it holds none.

    Args:
        text: English, with numbers in words or digits. It must ask for something, or be nothing but the sum.
    """
    lowered = text.lower()
    if len(lowered) > LONGEST_CHARS:
        return ""
    tokens = list(_tokens(_NOT_SIGNS.sub(lambda match: " " if match[0] == "-" else "|", lowered)))
    asks = bool(_WANTS.search(lowered))
    for start in range(len(tokens)):
        if start and _goes_on(tokens, start):
            continue
        reader = _Reader(tokens, start)
        found = reader.sum()
        if found is not None and (asks or (start == 0 and all(word in "?,.!" for word in tokens[reader.at :]))):
            return found
    return ""


def _tokens(text: str) -> Iterator[str]:
    """Numbers in digits, words, and signs; signs in several words are one."""
    joined = text
    for sign in _SIGNS:
        if " " in sign:
            joined = joined.replace(sign, _SIGNS[sign])
    for match in _TOKEN.finditer(joined):
        yield match[0]


def _goes_on(tokens: list[str], at: int) -> bool:
    """Whether what stands at a place belongs to a number, or to a sum, that begins before it."""

    def counts(word: str) -> bool:
        return word[:1].isdigit() or word in _WORDS or word in _SCALES or word == "point" or word in _SIGNS

    before = tokens[at - 1]
    return counts(before) or (before == "and" and at > 1 and counts(tokens[at - 2]))


class _Reader:
    """Reads a sum from a word on; `at` is behind what was read."""

    def __init__(self, tokens: list[str], at: int) -> None:
        self._tokens = tokens
        self.at = at

    def sum(self) -> str | None:
        """The sum that begins here, written down with its result; None where none does."""
        shown, values, signs = [], [], []
        operations = 0
        while (operand := self._operand()) is not None:
            value, written, worked = operand
            values.append(value)
            shown.append(written)
            operations += worked
            sign = _SIGNS.get(self._token())
            if sign is None:
                break
            at, self.at = self.at, self.at + 1
            if self._peek_operand() is None:
                self.at = at
                break
            signs.append(sign)
            shown.append(sign)
            operations += 1
        if not operations or not values:
            return None
        try:
            result = _result(values, signs)
        except (ArithmeticError, ValueError):
            return None
        if abs(result) >= LARGEST:
            return None
        rounded = round(result, DIGITS)
        relation = "=" if rounded == result else "is about"
        return f"{' '.join(shown)} {relation} {_written(rounded)}"

    def _token(self, ahead: int = 0) -> str:
        at = self.at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _peek_operand(self) -> Fraction | None:
        at = self.at
        operand = self._operand()
        self.at = at
        return None if operand is None else operand[0]

    def _operand(self) -> tuple[Fraction, str, bool] | None:
        """A number, or a part or a multiple of one: its value, how it is written, and whether it took working out."""
        at = self.at
        if self._token() in ("minus", "negative"):
            self.at += 1
            if (number := self._number()) is not None:
                return -number, f"-{_written(number)}", False
            self.at = at
            return None
        found = self._part() or self._fold() or self._percent() or self._power()
        if found is None:
            self.at = at
        return found

    def _part(self) -> tuple[Fraction, str, bool] | None:
        """ "a half of fifty", "two thirds of ninety"."""
        at = self.at
        many = Fraction(1)
        if self._token() in ("a", "an", "one"):
            self.at += 1
        elif (number := self._number()) is not None:
            many = number
        part = _PARTS.get(self._token()) or _PARTS.get(self._token().removesuffix("s"))
        if part is not None and self._token(1) == "of":
            self.at += 2
            if (of := self._number()) is not None:
                over = f"{_written(many)}/{part}"
                return many * of / part, f"{over} of {_written(of)}", True
        self.at = at
        return None

    def _fold(self) -> tuple[Fraction, str, bool] | None:
        """ "double thirty-five"."""
        times = _FOLD.get(self._token())
        if times is None:
            return None
        at = self.at
        self.at += 1
        if (of := self._number()) is not None:
            return times * of, f"{times} × {_written(of)}", True
        self.at = at
        return None

    def _percent(self) -> tuple[Fraction, str, bool] | None:
        """ "ten percent of two hundred"."""
        at = self.at
        number = self._number()
        if number is not None:
            if self._token() == "per" and self._token(1) == "cent":
                self.at += 1
            if self._token() in ("percent", "%", "cent") and self._token(1) == "of":
                self.at += 2
                if (of := self._number()) is not None:
                    return number * of / 100, f"{_written(number)}% of {_written(of)}", True
        self.at = at
        return None

    def _power(self) -> tuple[Fraction, str, bool] | None:
        """A number, "seven squared", or "the square root of nine"."""
        if (self._token(), self._token(1), self._token(2)) == ("square", "root", "of"):
            at, self.at = self.at, self.at + 3
            of = self._number()
            if of is not None and of >= 0:
                return Fraction(float(of) ** 0.5).limit_denominator(10**6), f"√{_written(of)}", True
            self.at = at
            return None
        number = self._number()
        if number is None:
            return None
        exponent = _POWERS.get(self._token())
        if exponent is None:
            return number, _written(number), False
        self.at += 1
        return number**exponent, f"{_written(number)}^{exponent}", True

    def _number(self) -> Fraction | None:
        """A number in digits or words, of which there may be several: "3.5 million", "two hundred and five"."""
        at = self.at
        word = self._token()
        if word[:1].isdigit():
            self.at += 1
            value = Fraction(word.rstrip(",").replace(",", ""))
            while (scale := _SCALES.get(self._token())) is not None:
                value *= scale
                self.at += 1
            return value
        total, hundreds, read = 0, 0, False
        if word == "a" and self._token(1) in _SCALES:
            hundreds, self.at = 1, at + 1
        while True:
            word = self._token()
            if word in _SCALES and (hundreds or read):
                scale = _SCALES[word]
                if scale == 100:
                    hundreds *= scale
                else:
                    total, hundreds = total + hundreds * scale, 0
            elif word in _WORDS and self._fits(hundreds, _WORDS[word]):
                hundreds += _WORDS[word]
            elif word == "and" and read and self._token(1) in _WORDS and (hundreds + total) % 100 == 0:
                pass
            else:
                break
            read = True
            self.at += 1
        if not read:
            self.at = at
            return None
        value = Fraction(total + hundreds)
        if self._token() == "point" and self._token(1) in _ONES[:10]:
            self.at += 1
            digits = ""
            while (word := self._token()) in _ONES[:10]:
                digits += str(_WORDS[word])
                self.at += 1
            value += Fraction(int(digits), 10 ** len(digits))
        return value * self._scale()

    def _scale(self) -> int:
        """What "million" and its like behind digits make of them; 1 where there is none."""
        scale = 1
        while (times := _SCALES.get(self._token())) is not None:
            scale *= times
            self.at += 1
        return scale

    def _fits(self, so_far: int, value: int) -> bool:
        """Whether a number may go on with a word: "twenty five" does, "five five" does not."""
        rest = so_far % 100
        return rest == 0 or (rest >= 20 and rest % 10 == 0 and 0 < value < 10)


def _result(values: list[Fraction], signs: list[str]) -> Fraction:
    """Powers first, then products, then sums.

    Raises:
        ArithmeticError: division by zero.
        ValueError: a power that is too large, or none of whole numbers.
    """
    values, signs = list(values), list(signs)
    for level in ("^", "×÷", "+-"):
        at = 0
        while at < len(signs):
            if signs[at] not in level:
                at += 1
                continue
            left, right = values[at], values.pop(at + 1)
            match signs.pop(at):
                case "+":
                    values[at] = left + right
                case "-":
                    values[at] = left - right
                case "×":
                    values[at] = left * right
                case "÷":
                    values[at] = left / right
                case _:
                    if right.denominator != 1 or abs(right) > LARGEST_POWER or abs(left) > LARGEST:
                        raise ValueError("too large a power")
                    values[at] = left ** int(right)
    return values[0]


def _written(number: Fraction) -> str:
    """In digits."""
    return str(number.numerator) if number.denominator == 1 else f"{float(number):.{DIGITS}f}".rstrip("0")
