"""No pattern that strangers' texts meet can be read in exponentially many ways.

A repetition of something that ends in a repetition itself, and may begin with the same characters, splits one run of
them in every way there is before it gives up: a text of 570 characters took 38 s of a core.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest

import media
import persistence
import pipeline
import server
from pipeline.text.languages import NAMES
from pipeline.text.spoken import _rules

parser: Any = importlib.import_module("re._parser")

CHARACTERS = [chr(code) for code in range(0x250)] + list("—–…’“”€₩½²٣你")
MANY = 10
"""Repetitions from which their ways are beyond counting."""


def ambiguous(pattern: re.Pattern[str]) -> bool:
    """Whether some repetition in a pattern can take the same run of characters in exponentially many ways."""
    return any(_ambiguous(token, pattern.flags) for token in _all(parser.parse(pattern.pattern, pattern.flags)))


def _all(tokens: Iterable[Any]) -> Iterator[Any]:
    for token in tokens:
        yield token
        for part in _parts(token):
            yield from _all(part)


def _parts(token: Any) -> list[Any]:
    name, value = str(token[0]), token[1]
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [value[2]]
    if name == "SUBPATTERN":
        return [value[3]]
    if name == "BRANCH":
        return list(value[1])
    if name == "ATOMIC_GROUP":
        return [value]
    return []


def _ambiguous(token: Any, flags: int) -> bool:
    if str(token[0]) not in ("MAX_REPEAT", "MIN_REPEAT") or token[1][1] < MANY:
        return False
    body = token[1][2]
    return bool(_first(body, flags) & _last_run(body, flags))


def _characters(token: Any, flags: int) -> frozenset[str]:
    name, value = str(token[0]), token[1]
    if name == "LITERAL":
        return frozenset(one for one in CHARACTERS if one == chr(value))
    if name == "ANY":
        return frozenset(CHARACTERS)
    if name == "NOT_LITERAL":
        return frozenset(one for one in CHARACTERS if one != chr(value))
    if name != "IN":
        return frozenset()
    found: set[str] = set()
    for kind, part in value:
        match str(kind):
            case "LITERAL":
                found.add(chr(part))
            case "RANGE":
                found |= {one for one in CHARACTERS if part[0] <= ord(one) <= part[1]}
            case "CATEGORY":
                shorthand = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[str(part).rsplit("_", 1)[1]]
                found |= _matched(shorthand.upper() if "_NOT_" in str(part) else shorthand)
    negated = str(value[0][0]) == "NEGATE"
    return frozenset(one for one in CHARACTERS if (one in found) != negated)


@cache
def _matched(shorthand: str) -> frozenset[str]:
    return frozenset(one for one in CHARACTERS if re.match(shorthand, one))


def _nullable(tokens: Iterable[Any]) -> bool:
    for token in tokens:
        name, value = str(token[0]), token[1]
        if name in ("AT", "ASSERT", "ASSERT_NOT"):
            continue
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and (value[0] == 0 or _nullable(value[2])):
            continue
        if name == "SUBPATTERN" and _nullable(value[3]):
            continue
        if name == "BRANCH" and any(_nullable(part) for part in value[1]):
            continue
        return False
    return True


def _first(tokens: Iterable[Any], flags: int) -> frozenset[str]:
    """Characters that it may begin with."""
    found: frozenset[str] = frozenset()
    for token in tokens:
        parts = _parts(token)
        found |= frozenset().union(*(_first(part, flags) for part in parts)) if parts else _characters(token, flags)
        if not _nullable([token]):
            break
    return found


def _last_run(tokens: Any, flags: int) -> frozenset[str]:
    """Characters of which a run of any length may stand at its end, one repetition taking them one by one."""
    found: frozenset[str] = frozenset()
    for token in reversed(list(tokens)):
        name, value = str(token[0]), token[1]
        if name in ("MAX_REPEAT", "MIN_REPEAT") and value[1] >= MANY and len(value[2]) == 1:
            found |= _characters(value[2][0], flags)
        for part in _parts(token):
            found |= _last_run(part, flags)
        if not _nullable([token]):
            break
    return found


def _of_modules() -> Iterator[tuple[str, re.Pattern[str]]]:
    for package in (media, persistence, pipeline, server):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not re.search(r"__main__|\.csm|transformers", found.name):
                module = importlib.import_module(found.name)
                for name, value in vars(module).items():
                    yield from ((f"{found.name}.{name}", each) for each in _within(value))


def _within(value: Any, depth: int = 3) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern):
        if isinstance(value.pattern, str):
            yield value
    elif depth and isinstance(value, list | tuple | set | frozenset | Mapping):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _within(each, depth - 1)


def test_what_is_looked_for_is_found() -> None:
    assert ambiguous(re.compile(r"0\d{2,4}[ /-]\d{3,}(?:[ -]?\d+)*(?![\w-])"))
    assert ambiguous(re.compile(r"(?:\w+\s?)*$"))
    assert ambiguous(re.compile(r"((a+)b?)+c"))
    assert not ambiguous(re.compile(r"\d{3,}(?:[ -]\d+)*(?![\w-])"))
    assert not ambiguous(re.compile(r"(?:\w+\s)*$"))
    assert not ambiguous(re.compile(r"(?:[ -]?\d{1,3}){1,5}x"))


def test_no_pattern_of_a_module_can_be_read_in_exponentially_many_ways() -> None:
    patterns = dict(_of_modules())
    assert len(patterns) > 100
    assert [name for name, pattern in patterns.items() if ambiguous(pattern)] == []


@pytest.mark.parametrize("language", sorted({"en", *NAMES}))
def test_no_rule_of_a_language_can_be_read_in_exponentially_many_ways(language: str) -> None:
    assert [pattern.pattern for pattern, _ in _rules(language) if ambiguous(pattern)] == []
