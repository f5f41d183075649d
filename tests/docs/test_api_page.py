"""docs/api.md, docs/realtime.md and docs/signaling.md tell of every route that the four ports have."""

import json
from pathlib import Path
from urllib.request import urlopen

from tests.serving import RunningServer


def test_every_route_is_told_of(server: RunningServer, repository: Path) -> None:
    told = "".join((repository / "docs" / name).read_text() for name in ("api.md", "realtime.md", "signaling.md"))
    host, _, port = server.url.rpartition(":")
    missing = []
    for offset in range(4):
        with urlopen(f"{host}:{int(port) + offset}/openapi.json", timeout=10) as answer:
            missing += [path for path in json.load(answer)["paths"] if path.removeprefix("/openai") not in told]
    assert sorted(set(missing)) == []
