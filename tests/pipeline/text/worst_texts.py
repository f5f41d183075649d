"""Texts that cost the most to read for their length: each made a pattern look from every position to the end."""

UNITS = (
    "a_",
    "1a",
    "a1-",
    "1-2-",
    "1.000.a",
    "a1e",
    "--a",
    "a+",
    "A1-",
    " ",
    "\n```\n",
    "[ ",
    "=\n",
    "http://a)",
    "<a ",
    "I ",
    "1-800-",
    "Henry I ",
    "A:\\",
    "1-",
    "A<",
    "<a =",
    "a/",
    "1.1.",
    "$1-",
    '8"',
    "1h1",
    "1 A ",
)


def worst(unit: str, length: int) -> str:
    """The unit over and over, `length` characters."""
    return (unit * (length // len(unit) + 1))[:length]
