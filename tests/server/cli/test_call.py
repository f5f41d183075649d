"""What `morgan call` tells of a call."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.cli.call import CallReport, _read_events
from server.client.caller import Caller


def told(*events: dict[str, Any]) -> CallReport:
    report = CallReport()
    caller = SimpleNamespace(messages=[(0.0, json.dumps(event)) for event in events])
    _read_events(cast(Caller, caller), report)
    return report


@pytest.mark.parametrize("whole", [True, False])
def test_the_words_of_a_reply_that_was_longer_than_was_waited_for_are_those_that_came(*, whole: bool) -> None:
    kind = "response.output_audio_transcript"
    deltas = [{"type": f"{kind}.delta", "item_id": "1", "delta": delta} for delta in ("A brave", " dog")]
    done = {"type": f"{kind}.done", "item_id": "1", "transcript": "A brave dog."}
    assert told(*deltas, *([done] if whole else [])).reply == ("A brave dog." if whole else "A brave dog")
