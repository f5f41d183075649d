"""What bridges say, read by their dialects: a table, and errors that name what is wrong."""

import base64
import json
import os
import random

import pytest

from media.telephone_band import WireFormat
from server.http.errors import ApiError
from server.telephone.dialects import DIALECTS, DialectName
from server.telephone.wire import (
    KeyCame,
    LineBegan,
    LineEnded,
    MarkCame,
    NothingCame,
    SoundCame,
    read_text,
)
from tests.server.telephone.messages import MESSAGES, SOUND, mutated

MUTATED = int(os.environ.get("MORGAN_TEST_LINE_MESSAGES", "500"))


@pytest.mark.parametrize("name", DIALECTS)
def test_a_short_call_is_read_in_every_dialect(name: DialectName) -> None:
    messages = [read_text(json.dumps(each), DIALECTS[name], first=not at) for at, each in enumerate(MESSAGES[name])]
    began = next(each for each in messages if isinstance(each, LineBegan))
    assert (began.stream_id, began.call_id) == (("CA1" if name == "jambonz" else "MZ1"), "CA1")
    encoding = {"telnyx": "alaw", "jambonz": "linear"}.get(name, "mulaw")
    assert began.wire == WireFormat(encoding)  # type: ignore[arg-type]
    assert began.parameters["user_id"] == "somebody"
    assert KeyCame("1") in messages
    assert MarkCame("a name") in messages
    if name != "jambonz":
        assert SoundCame(base64.b64decode(SOUND)) in messages
        assert messages[-1] == LineEnded()


def test_what_is_our_own_sound_is_passed_over() -> None:
    ours = {"event": "media", "media": {"track": "outbound", "payload": SOUND}}
    assert read_text(json.dumps(ours), DIALECTS["twilio"]) == NothingCame()


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("", "invalid_json", "JSON"),
        ("{", "invalid_json", "JSON"),
        ("[" * 5_000, "invalid_json", "JSON"),
        ("[]", "unknown_message", "event"),
        ('{"event": "bark"}', "unknown_message", "dtmf"),
        ('{"event": 7}', "unknown_message", "event"),
        ('{"event": "media"}', "invalid_body", "media.payload"),
        ('{"event": "media", "media": {"payload": "\u00e4"}}', "invalid_body", "media.payload"),
        ('{"event": "media", "media": []}', "invalid_body", "media.payload"),
        ('{"event": "dtmf", "dtmf": {"digit": "55"}}', "invalid_body", "dtmf.digit"),
        ('{"event": "mark", "mark": {}}', "invalid_body", "mark.name"),
        ('{"event": "start", "start": {}}', "invalid_body", "start.streamSid"),
        ('{"event": "start", "streamSid": "M", "start": {"mediaFormat": {"encoding": "opus"}}}', "invalid_body", "enc"),
        ('{"event": "start", "streamSid": "M", "start": {"mediaFormat": {"sampleRate": 9}}}', "invalid_body", "8000"),
        ('{"event": "start", "streamSid": "M", "start": {"customParameters": 1}}', "invalid_body", "customParameters"),
    ],
)
def test_what_is_wrong_is_named(text: str, code: str, named: str) -> None:
    with pytest.raises(ApiError) as refused:
        read_text(text, DIALECTS["twilio"])
    assert refused.value.code == code
    assert named in refused.value.message


@pytest.mark.parametrize("name", DIALECTS)
def test_whatever_comes_is_read_or_refused_with_the_reason(name: DialectName) -> None:
    """`MORGAN_TEST_LINE_MESSAGES=10000` reads more."""
    dice = random.Random(name)
    for _ in range(MUTATED):
        text = json.dumps(mutated(dice.choice(MESSAGES[name]), dice))
        if dice.random() < 0.05:
            text = text[: dice.randint(0, len(text))]
        refused = refusal(text, name, first=dice.random() < 0.1)
        assert refused is None or (refused.status in (400, 422) and len(refused.message) > 10), text


def refusal(text: str, name: DialectName, *, first: bool) -> ApiError | None:
    """What is said against a message."""
    try:
        read_text(text, DIALECTS[name], first=first)
    except ApiError as refused:
        return refused
    return None
