"""docs/api.md, and the pages of the doors that it names, tell of every route that the four ports have."""

import json
from pathlib import Path
from urllib.request import urlopen

from tests.serving import RunningServer

PAGES = ("api.md", "realtime.md", "signaling.md", "whip.md", "rtvi.md")


def test_every_route_is_told_of(server: RunningServer, repository: Path) -> None:
    told = "".join((repository / "docs" / name).read_text() for name in PAGES)
    host, _, port = server.url.rpartition(":")
    missing = []
    for offset in range(4):
        with urlopen(f"{host}:{int(port) + offset}/openapi.json", timeout=10) as answer:
            missing += [path for path in json.load(answer)["paths"] if path.removeprefix("/openai") not in told]
    assert sorted(set(missing)) == []
