"""The page of bounds is `server/bounds.py`, and nothing that clients send has a bound elsewhere."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from server import bounds

GATHERED = (
    *("calls", "calls/websocket", "conversations", "http", "identity", "memory", "realtime", "routes", "rtvi"),
    *("services", "speech", "telephone", "transcription", "v1", "webhooks"),
)
"""Packages whose bounds are in the one place."""

COUNTED = 10_000
"""From here on a length is a bound of memory, not of a name."""


def test_the_page_is_not_stale(repository: Path) -> None:
    script = repository / "docs" / "write_bounds.py"
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    checked = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60, env=environment
    )
    assert checked.returncode == 0, checked.stderr


def test_every_bound_is_on_the_page(repository: Path) -> None:
    text = (repository / "docs" / "bounds.md").read_text()
    assert [name for name in vars(bounds) if name.isupper() and f"`{name}`" not in text] == []


def test_no_door_has_a_bound_of_its_own(repository: Path) -> None:
    files = [path for package in GATHERED for path in sorted((repository / "server" / package).glob("*.py"))]
    assert len(files) > 20
    assert [found for path in files for found in own_bounds(path)] == []


def test_every_websocket_is_of_the_one_kind_that_has_a_bound(repository: Path) -> None:
    opened = {
        path.name
        for path in (repository / "server").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("WebSocketResponse", "ClientSocket"))
    }
    assert opened == {"web_socket.py"}


def own_bounds(path: Path) -> Iterator[str]:
    """Numbers that bound what a client sends: named MAX_..., or as an argument."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) if re.match(r"MAX_\w*(BODY|TEXT|BYTES|UPLOAD|CHARS)", name):
                yield f"{path.name}: {name}"
            case ast.keyword(arg="max_length" | "body_limit" | "max_msg_size", value=ast.Constant(value=int(value))):
                if value > COUNTED:
                    yield f"{path.name}: {value}"
