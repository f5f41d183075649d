"""What bridges say, by dialect, and the same with something wrong in it."""

import base64
import json
import random
from typing import Any

SOUND = base64.b64encode(b"\xff\x7f" * 80).decode()
LINEAR = {"encoding": "audio/x-l16", "sampleRate": 8000}

MESSAGES: dict[str, list[dict[str, Any]]] = {
    "twilio": [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {
            "event": "start",
            "sequenceNumber": "1",
            "streamSid": "MZ1",
            "start": {
                "accountSid": "AC1",
                "streamSid": "MZ1",
                "callSid": "CA1",
                "tracks": ["inbound"],
                "customParameters": {"from": "+15550123", "user_id": "somebody"},
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            },
        },
        {
            "event": "media",
            "sequenceNumber": "3",
            "streamSid": "MZ1",
            "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": SOUND},
        },
        {"event": "dtmf", "streamSid": "MZ1", "sequenceNumber": "5", "dtmf": {"track": "inbound_track", "digit": "1"}},
        {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "a name"}},
        {"event": "clear", "streamSid": "MZ1"},
        {"event": "stop", "sequenceNumber": "5", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": "CA1"}},
    ],
    "plivo": [
        {
            "event": "start",
            "sequenceNumber": 0,
            "start": {
                "callId": "CA1",
                "streamId": "MZ1",
                "accountId": "10",
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000},
            },
            "extra_headers": '{"user_id": "somebody"}',
        },
        {
            "event": "media",
            "sequenceNumber": 1,
            "streamId": "MZ1",
            "media": {"track": "inbound", "timestamp": "1", "chunk": 1, "payload": SOUND},
        },
        {"event": "dtmf", "streamId": "MZ1", "dtmf": {"track": "inbound", "digit": "1", "timestamp": "1"}},
        {"event": "playedStream", "streamId": "MZ1", "name": "a name"},
        {"event": "stop", "streamId": "MZ1"},
    ],
    "telnyx": [
        {"event": "connected", "version": "1.0.0"},
        {
            "event": "start",
            "sequence_number": "1",
            "stream_id": "MZ1",
            "start": {
                "user_id": "3E6F",
                "call_control_id": "CA1",
                "from": "+15550123",
                "to": "+15550199",
                "custom_parameters": {"user_id": "somebody"},
                "media_format": {"encoding": "PCMA", "sample_rate": 8000, "channels": 1},
            },
        },
        {"event": "media", "stream_id": "MZ1", "media": {"track": "inbound", "chunk": "2", "payload": SOUND}},
        {"event": "dtmf", "stream_id": "MZ1", "dtmf": {"digit": "1"}},
        {"event": "mark", "stream_id": "MZ1", "mark": {"name": "a name"}},
        {"event": "stop", "stream_id": "MZ1", "stop": {"call_control_id": "CA1"}},
    ],
    "jambonz": [
        {
            "callSid": "CA1",
            "from": "+15550123",
            "to": "+15550199",
            "sampleRate": 8000,
            "mixType": "mono",
            "metadata": {"user_id": "somebody"},
        },
        {"event": "dtmf", "dtmf": "1", "duration": "1600"},
        {"type": "mark", "data": {"name": "a name", "event": "playout"}},
    ],
}
"""The messages of a short call, in order."""

JUNK: list[Any] = [
    *(None, True, False, 0, -1, 7.5, 10**30, "", "x", "inbound", "\x00", "\ud800", "e" * 300),
    *([], {}, [[]], [None], {"event": "x"}, {"": ""}, LINEAR, ["inbound"], "MZ2", "media", "start"),
]


def mutated(message: Any, dice: random.Random) -> Any:
    """A message with something in it exchanged, left out or added; of three one is whole."""
    copy = json.loads(json.dumps(message))
    for _ in range(dice.randint(0, 2)):
        place: Any = copy
        while isinstance(place, dict) and place:
            name = dice.choice(list(place))
            if isinstance(place[name], dict) and place[name] and dice.random() < 0.7:
                place = place[name]
                continue
            match dice.randrange(3):
                case 0:
                    del place[name]
                case 1:
                    place[dice.choice(["event", "start", "media", "extra"])] = dice.choice(JUNK)
                case _:
                    place[name] = dice.choice(JUNK)
            break
    return copy
