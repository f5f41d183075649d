"""docs/rtvi.md tells of every message that Pipecat's client knows: what comes of it, or that there is none here."""

import re
from pathlib import Path

from tests.e2e.npm_clients import run_in_node
from tests.server.realtime.talking import Say
from tests.server.rtvi.test_talk import RtviClient


def test_every_message_of_pipecats_client_is_told_of(repository: Path, tmp_path: Path) -> None:
    known = run_in_node(
        tmp_path,
        """
        import { createRequire } from 'node:module';
        return Object.values(createRequire(import.meta.url)('@pipecat-ai/client-js').RTVIMessageType);
        """,
    )
    page = (repository / "docs" / "rtvi.md").read_text()
    told = page[page.index("## Messages") :]
    assert len(known) > 30
    assert [name for name in known if f"`{name}`" not in told] == []


def test_every_message_that_is_sent_is_on_the_page(repository: Path) -> None:
    client = RtviClient(Say(1.0, 1.5, "what is the weather"), Say(6.0, 7.5, "Stop, that is enough, thank you."))
    client.talk.run(12)
    client.say("client-ready", version="2.1.0", about={"library": "x"})
    client.say("append-to-context", role="user", content="Hello.")
    client.say("client-message", t="session")
    client.say("dance")
    page = (repository / "docs" / "rtvi.md").read_text()
    sent = {
        row for line in re.findall(r"^\| (`[^|]*`) \|", page, re.MULTILINE) for row in re.findall(r"`([^`]+)`", line)
    }
    kinds = {message["type"] for message in client.sent}
    assert len(kinds) > 15
    assert kinds - sent == set()
