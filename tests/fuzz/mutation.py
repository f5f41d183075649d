"""Makes inputs of inputs: bytes for what is binary, parts of the tree for JSON."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

JUNK: list[Any] = [
    *(None, True, False, 0, -1, 7.5, 1e308, 10**30),
    *("", "x", "root", "none", "inf", "audio", "\x00", "\ud800", "e" * 300),
    *("http://", "http://[", "http://a:b", "https://a]b", "http://\u2100.org", "data:,", "../..", "a\r\nb: c"),
    *([], {}, [[]], [None], {"type": "x"}, {"type": "message"}, {"": ""}, ["text", "audio"], [1, 2], {"type": "mcp"}),
]
"""Values that are seldom expected."""

_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF)


def mutated(data: bytes, dice: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """Some bytes changed, left out, doubled or put in.

    Args:
        data: an input.
        dice: decides.
        words: that mean something to the parser.
    """
    found = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 8))):
        at = dice.randint(0, len(found))
        until = min(len(found), at + dice.choice((1, 1, 2, 4, 16, 64)))
        match dice.randrange(7):
            case 0 if at < len(found):
                found[at] ^= 1 << dice.randrange(8)
            case 1 if at < len(found):
                found[at] = dice.choice(_NUMBERS)
            case 2:
                del found[at:until]
            case 3:
                found[at:at] = found[at:until] * dice.choice((1, 1, 2, 20))
            case 4:
                other = dice.randint(0, len(found))
                found[other:other] = found[at:until]
            case 5 if words:
                found[at : at + dice.choice((0, 0, 4))] = dice.choice(words)
            case _:
                found[at:at] = dice.randbytes(dice.choice((1, 2, 4, 32)))
    return bytes(found)


def with_words(*words: bytes) -> Callable[[bytes, random.Random], bytes]:
    """`mutated` that knows some words."""
    return lambda data, dice: mutated(data, dice, words)


def mutated_json(data: bytes, dice: random.Random) -> bytes:
    """Lines of JSON with something in one exchanged, left out or added; sometimes bytes."""
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    try:
        tree = json.loads(lines[at])
    except (ValueError, RecursionError):
        return mutated(data, dice)
    match dice.randrange(10):
        case 0:
            return mutated(data, dice)
        case 1:
            lines.insert(at, dice.choice(lines))
        case _:
            lines[at] = json.dumps(mutated_tree(tree, dice)).encode()
    return b"\n".join(lines)


def mutated_tree(tree: Any, dice: random.Random) -> Any:
    """A copy of what JSON gave, changed in up to two places."""
    copy = copy_of(tree)
    for _ in range(dice.randint(0, 2)):
        place: Any = copy
        while isinstance(place, (dict, list)):
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = dice.choice(keys)
            inner = place[key]
            if isinstance(inner, (dict, list)) and inner and dice.random() < 0.7:
                place = inner
                continue
            match dice.randrange(4):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[dice.choice(["type", "id", "extra", "audio", "item"])] = copy_of(dice.choice(JUNK))
                case 2 if isinstance(inner, str):
                    at = dice.randint(0, len(inner))
                    place[key] = inner[:at] + dice.choice(["", "x", "\x00", "."]) + inner[at + 1 :]
                case _:
                    place[key] = copy_of(dice.choice(JUNK))
            break
    return copy


def copy_of(value: Any) -> Any:
    """The same, to be changed."""
    return json.loads(json.dumps(value))
