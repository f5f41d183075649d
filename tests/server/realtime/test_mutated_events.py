"""Random and mutated client events: no crash, no leak, always an error that names the problem."""

import json
import random
from typing import Any

import pytest
from openai.types.realtime import RealtimeClientEvent

from server.realtime.client_events import ClientEvent
from tests.fuzz.mutation import mutated_tree
from tests.server.realtime.client_events import EVENTS
from tests.server.realtime.talking import Say, Talk
from tests.thorough import share

CLIENT_EVENTS: Any = RealtimeClientEvent


def kinds(union: Any) -> set[str]:
    """The types of the events of a union."""
    return {form.model_fields["type"].annotation.__args__[0] for form in union.__args__}


@pytest.mark.parametrize("seed", range(share(10)))
@pytest.mark.parametrize("over", ["socket", "webrtc"])
def test_whatever_a_client_sends_is_answered_or_done(seed: int, over: str) -> None:
    dice = random.Random(f"{seed} {over}")
    said = [Say(second, second + 1.2, "What is the weather in Paris?") for second in range(1, 400, 7)]
    talk = Talk(*said, over=over)
    for _ in range(500):
        event = mutated_tree(dice.choice(EVENTS), dice)
        text = json.dumps(event)
        if dice.random() < 0.03:
            text = text[: dice.randint(0, len(text))]
        before = len(talk.told)
        talk.session.receive(text, talk)
        for told in talk.told[before:]:
            if told["type"] == "error":
                assert told["error"]["type"] == "invalid_request_error", (event, told)
                assert told["error"]["code"]
                assert len(told["error"]["message"]) > 10
        del talk.told[:-50]
        if dice.random() < 0.2:
            talk.run(dice.choice([0.02, 0.1, 0.5, 1.5]))
    assert not [name for name in talk.call.machine.counts if name.startswith(("unexpected", "healed"))]
    # It still does what it is for.
    talk.say("response.cancel")
    talk.say("session.update", session={"type": "realtime", "tool_choice": "auto", "output_modalities": ["text"]})
    talk.run(3)
    talk.say("response.cancel")
    talk.type("Are you there?")
    talk.say("response.create")
    talk.run(20)
    assert talk.all("response.done")[-1]["response"]["status"] in ("completed", "cancelled")
    assert len(talk.session.events.responses) <= 1


def test_every_client_event_that_openai_knows_is_known_here() -> None:
    theirs, ours = kinds(CLIENT_EVENTS.__args__[0]), kinds(ClientEvent)
    assert theirs <= ours
