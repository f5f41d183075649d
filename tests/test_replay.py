"""`static/js/replay.js`: the line that is marked while a recording is heard."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.e2e.npm_clients import node

MODULE = Path(__file__).parents[1] / "static" / "js" / "replay.js"

CUES = """
const [module, wanted] = process.argv.slice(2);
const { cues } = await import(module);
const lines = JSON.parse(wanted).map((message, item) => ({ message, item }));
const recording = { started_at: "2026-01-01T00:00:00Z", duration_s: 60 };
console.log(JSON.stringify(cues(lines, recording).map(({ from, to }) => [from, to])));
"""


def cues(*messages: tuple[int, str, int | None]) -> list[list[float]]:
    """Begin and end in seconds of messages given as second of their end, content, length in milliseconds."""
    wanted: list[dict[str, Any]] = [
        {
            "created_at": f"2026-01-01T00:00:{second:02}Z",
            "content": content,
            "metadata": {} if length_ms is None else {"duration_ms": length_ms},
        }
        for second, content, length_ms in messages
    ]
    code = ["--input-type=module", "-e", CUES, "-", MODULE.as_uri(), json.dumps(wanted)]
    shown = subprocess.run([node(), *code], capture_output=True, text=True, check=True, timeout=60)
    found: list[list[float]] = json.loads(shown.stdout)
    return found


def test_a_message_ends_when_it_was_kept_and_takes_as_long_as_it_is_said_to() -> None:
    assert cues((4, "What is the weather?", 2_000), (12, "It rains.", 5_500)) == [[2, 4], [6.5, 12]]


def test_a_guess_at_a_long_reply_does_not_cover_the_question_before_it() -> None:
    assert cues((4, "What is the weather?", 2_000), (12, "word " * 60, None)) == [[2, 4], [4, 12]]


def test_an_interruption_may_lie_over_the_reply_that_it_ends() -> None:
    assert cues((10, "It rains.", 5_000), (12, "Stop!", 3_000)) == [[5, 10], [9, 12]]
