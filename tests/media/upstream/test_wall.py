"""Private names of aiortc, aioice and aiohttp are touched behind the wall and nowhere else."""

import ast
import importlib.util
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

LIBRARIES = ("aiortc", "aioice", "aiohttp")
WALL = {"media/upstream", "server/http/upstream.py"}
TESTS = {
    "media/upstream": "tests/media/upstream/test_private_names.py",
    "server/http/upstream.py": "tests/server/http/test_upstream.py",
}
"""Where the private names that a part of the wall touches have their tests, which say what to look at."""

APART = "bench/peers"
"""The independent caller and the bots that Morgan is compared with: they stand without any code of Morgan."""


def test_no_private_upstream_name_is_touched_outside_of_the_wall(repository: Path) -> None:
    upstream = Upstream.read([_folder(library) for library in LIBRARIES], [repository / path for path in sorted(WALL)])
    assert "_queue" in upstream.of_class["Agent"]
    packages = ("server", "media", "pipeline", "persistence", "bench", "docs")
    files = [path for package in packages for path in sorted((repository / package).rglob("*.py"))]
    assert len(files) > 300
    found = [
        f"{path.relative_to(repository)}:{line}: {name}"
        for path in files
        if not _behind_the_wall(path.relative_to(repository))
        for line, name in touched(path.read_text(encoding="utf-8"), upstream)
    ]
    assert found == []


@pytest.mark.parametrize(("wall", "tests"), TESTS.items())
def test_every_private_name_behind_the_wall_has_a_test(repository: Path, wall: str, tests: str) -> None:
    upstream = Upstream.read([_folder(library) for library in LIBRARIES], [])
    texts = [path.read_text(encoding="utf-8") for path in _sources(repository / wall)]
    names = {name for text in texts for _, name in touched(text, upstream)}
    assert len(names) > 5
    text = (repository / tests).read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f'"{name}"' not in text] == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from aiortc.rtcsctptransport import _private\nimport aiortc._thing\n", ["_private", "aiortc._thing"]),
        (
            "from aiortc import Transport as T\nclass Own(T):\n    def _set_role(self): self._rx = 1\n",
            ["_set_role", "_rx"],
        ),
        ("from media.upstream.dtls import Srtp\nclass Own(Srtp):\n    def f(self): return self._rx\n", ["_rx"]),
        ("from media.upstream.dtls import Srtp\ndef f(t): return t._rx\n", ["_rx"]),
        ("from aiortc import Transport\nclass Own:\n    def __init__(self): self._rx = 1\n", []),
        ("class Own:\n    def f(self, other): return other._rx\n", []),
    ],
)
def test_what_is_found(text: str, names: list[str]) -> None:
    upstream = Upstream({"_set_role", "_rx"}, {"Transport": {"_set_role", "_rx"}, "Srtp": {"_rx"}})
    assert [name for _, name in touched(text, upstream)] == names


@dataclass(frozen=True)
class Upstream:
    """Private names of the libraries: all, and those of each class with its bases (the wall's classes too)."""

    names: set[str]
    of_class: dict[str, set[str]]

    @classmethod
    def read(cls, libraries: list[Path], wall: list[Path]) -> "Upstream":
        """From the sources."""
        trees = [[_parsed(path) for path in _sources(place)] for place in libraries]
        behind = [_parsed(path) for place in wall for path in _sources(place)]
        names = {name for library in trees for tree in library for name in _private_names(tree)}
        classes = [
            node
            for tree in (*behind, *itertools.chain(*trees))
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef)
        ]
        own: dict[str, set[str]] = {}
        bases: dict[str, set[str]] = {}
        for node in classes:
            own.setdefault(node.name, set()).update(_private_names(node))
            bases.setdefault(node.name, set()).update(_last_names(node.bases))
        return cls(names, {name: _with_bases(name, own, bases, set()) for name in own})


def touched(text: str, upstream: Upstream) -> Iterator[tuple[int, str]]:
    """Lines that touch a private name: imported, overridden in a subclass, or asked of something else than `self`."""
    if not any(word in text for word in (*LIBRARIES, "upstream")):
        return
    tree = ast.parse(text)
    foreign: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            parts = node.module.split(".")
            if parts[0] in LIBRARIES or "upstream" in parts:
                foreign |= {alias.asname or alias.name: alias.name for alias in node.names}
                yield from ((node.lineno, alias.name) for alias in node.names if _is_private(alias.name))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] in LIBRARIES:
                    foreign[alias.asname or parts[0]] = alias.name
                    if any(map(_is_private, parts)):
                        yield node.lineno, alias.name
    if not foreign:
        return
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    ours = {name for node in classes if not _last_names(node.bases) & foreign.keys() for name in _private_names(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            theirs = {name for base in _last_names(node.bases) for name in _of(foreign.get(base, base), upstream)}
            yield from ((line, name) for line, name in _private_places(node) if name in theirs)
        elif isinstance(node, ast.Attribute) and node.attr in upstream.names - ours and not _is_own(node):
            yield node.lineno, node.attr


def _of(name: str, upstream: Upstream) -> set[str]:
    return upstream.of_class.get(name, set())


def _is_own(node: ast.Attribute) -> bool:
    """Asked of the object itself, or of one of its parts whose classes are ours: `self._x`, `cls._x`."""
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def _private_places(node: ast.AST) -> Iterator[tuple[int, str]]:
    for each in ast.walk(node):
        match each:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if _is_private(name):
                yield each.lineno, name
            case ast.Attribute(attr=name) if _is_private(name) and _is_own(each):
                yield each.lineno, name
            case _:
                pass


@cache
def _private_names(node: ast.AST) -> set[str]:
    return {name for _, name in _private_places(node)}


def _last_names(nodes: list[ast.expr]) -> set[str]:
    """Names of bases: the last part of dotted ones, and what generic ones are made of."""
    parts = [part for node in nodes for part in ast.walk(node)]
    return {part.id for part in parts if isinstance(part, ast.Name)} | {
        part.attr for part in parts if isinstance(part, ast.Attribute)
    }


def _with_bases(name: str, own: dict[str, set[str]], bases: dict[str, set[str]], seen: set[str]) -> set[str]:
    if name in seen:
        return set()
    seen.add(name)
    return own.get(name, set()).union(*(_with_bases(base, own, bases, seen) for base in bases.get(name, set())))


def _folder(library: str) -> Path:
    spec = importlib.util.find_spec(library)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _sources(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def _behind_the_wall(path: Path) -> bool:
    return str(path) in WALL or str(path.parent) in WALL or str(path).startswith(APART)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
