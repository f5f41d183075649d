"""What a test refers to: names of functions, classes and modules, through its fixtures and the helpers of `tests`."""

import inspect
from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

OURS = "tests."
"""Begins the names of modules whose functions are looked into, beside the test's own."""


def used_by(item: pytest.Item) -> frozenset[str]:
    """Dotted names of what a test and its fixtures refer to, however many helpers of `tests` are in between.

    A name of a module is there for itself (`subprocess`), and with each name that is read beside it (`sys.executable`).
    A package that a function imports within itself is there by the name in the statement.
    """
    info = getattr(item, "_fixtureinfo", None)
    fixtures = [definition.func for found in info.name2fixturedefs.values() for definition in found] if info else []
    return _used(getattr(item, "function", None), *fixtures)


@cache
def _used(*roots: object) -> frozenset[str]:
    return frozenset[str]().union(*(_closure(_plain(root)) for root in roots))


@cache
def _closure(root: object) -> frozenset[str]:
    found: set[str] = set()
    seen: set[object] = {root}
    left: list[object] = [root]
    while left:
        names, helpers = _direct(left.pop())
        found |= names
        left += helpers - seen
        seen |= helpers
    return frozenset(found)


@cache
def _direct(value: object) -> tuple[frozenset[str], frozenset[object]]:
    """Names that a function or class refers to by itself, and those of them that are helpers."""
    names: set[str] = set()
    helpers: set[object] = set()
    for function in _functions(value):
        words = set(_words(function.__code__))
        names |= words - function.__globals__.keys()
        for word in words & function.__globals__.keys():
            found = function.__globals__[word]
            names |= set(_names(found, words))
            inner = _plain(found)
            home = str(getattr(inner, "__module__", ""))
            if isinstance(inner, FunctionType | type) and (home.startswith(OURS) or home == function.__module__):
                helpers.add(inner)
    return frozenset(names), frozenset(helpers)


def _names(value: object, words: set[str]) -> Iterator[str]:
    if isinstance(value, ModuleType):
        yield value.__name__
        yield from (f"{value.__name__}.{word}" for word in words if hasattr(value, word))
    else:
        home = str(getattr(value, "__module__", ""))
        yield home
        yield f"{home}.{getattr(value, '__qualname__', '')}"


def _functions(value: object) -> Iterator[FunctionType]:
    """A function itself, or all methods of a class."""
    if isinstance(value, FunctionType):
        yield value
    elif isinstance(value, type):
        for member in vars(value).values():
            inner = _plain(member.fget if isinstance(member, property) else member)
            if isinstance(inner, FunctionType):
                yield inner


def _words(code: CodeType) -> Iterator[str]:
    """Names in a function's code and in the functions within it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _words(constant)


def _plain(value: Any) -> Any:
    """Without decorators: `contextmanager`, `staticmethod`, hypothesis' `given` and the like."""
    given = getattr(value, "hypothesis", None)
    inner = getattr(given, "inner_test", value)
    return inspect.unwrap(inner) if callable(inner) else getattr(inner, "__func__", inner)
