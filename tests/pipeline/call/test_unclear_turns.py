"""Somebody spoke and no words could be made out: Morgan says so, once or twice, and then waits."""

import random

import pytest

from pipeline.call.events import (
    PlaybackStarted,
    ReplyDone,
    SpeechStarted,
    TranscriptCompleted,
    TurnDropped,
    TurnUnclear,
)
from pipeline.call.options import CallOptions
from pipeline.call.state import State
from pipeline.engines.protocols import Voice
from pipeline.text.phrases import UNCLEAR, phrase_in
from tests.pipeline.call.simulation import Delays, Say, Simulation
from tests.thorough import share

SORRY = UNCLEAR["en"]


def mumble(start: float, seconds: float = 1.2) -> Say:
    """Speech that speech to text makes nothing of."""
    return Say(start, start + seconds, "", voice=0.97)


def said(call: Simulation) -> list[str]:
    """What Morgan has said."""
    return [event.text for event in call.all(ReplyDone)]


def test_speech_without_words_is_told() -> None:
    call = Simulation([mumble(1.0)]).run(8)
    assert said(call) == [SORRY]
    assert [event.voice_s > 1 for event in call.all(TurnUnclear)] == [True]
    assert call.all(TurnDropped) == []
    assert call.counts()["unclear"] == 1
    assert call.machine.state is State.LISTENING
    assert [entry.role for entry in call.context.entries] == ["assistant"]


def test_it_is_told_as_soon_as_an_answer_would_be() -> None:
    call = Simulation([mumble(1.0)]).run(8)
    assert call.when(PlaybackStarted) - 2.2 <= 0.5


def test_a_noise_is_not_answered() -> None:
    call = Simulation([Say(1.0, 2.2, "", voice=0.85)]).run(8)
    assert said(call) == []
    assert call.all(TurnUnclear) == []
    assert len(call.all(TurnDropped)) == 1
    assert call.counts()["dropped"] == 1


def test_a_short_sound_or_a_faint_one_is_not_answered() -> None:
    call = Simulation([mumble(1.0, 0.13), Say(4.0, 5.2, "", voice=0.97, level_db=-58.0)]).run(9)
    assert said(call) == []
    assert len(call.all(SpeechStarted)) == len(call.all(TurnDropped)) == 2


def test_it_is_told_twice_in_a_row_and_then_waited_for_a_turn_that_is_understood() -> None:
    script = [mumble(1 + 7 * number) for number in range(4)]
    understood = Say(31.0, 32.5, "What is the weather in Paris?")
    call = Simulation([*script, understood, mumble(48.0)]).run(56)
    assert said(call) == [SORRY, SORRY, call.reply, SORRY]
    assert len(call.all(TurnUnclear)) == 5
    assert call.machine.state is State.LISTENING


def test_how_often_can_be_set() -> None:
    options = CallOptions(unclear_prompts=1)
    assert said(Simulation([mumble(1.0), mumble(8.0)], options=options).run(16)) == [SORRY]


def test_no_text_means_no_word_but_still_an_event() -> None:
    call = Simulation([mumble(1.0)], options=CallOptions(unclear_prompt="")).run(8)
    assert said(call) == []
    assert len(call.all(TurnUnclear)) == 1
    assert call.machine.state is State.LISTENING


def test_the_user_can_speak_over_it() -> None:
    script = [mumble(1.0), Say(3.0, 4.6, "What is the weather in Paris?")]
    call = Simulation(script, speech_s_per_char=0.12).run(24)
    assert call.all(ReplyDone)[0].status == "cancelled"
    assert [event.text for event in call.all(TranscriptCompleted)] == ["What is the weather in Paris?"]
    assert said(call)[-1] == call.reply


def test_text_without_end_is_no_words_either() -> None:
    call = Simulation([Say(1.0, 2.2, "and so on " * 60, confidence=0.5)]).run(8)
    assert said(call) == [SORRY]
    assert call.all(TurnUnclear)[0].text.startswith("and so on")


def test_what_speech_to_text_is_slow_to_make_nothing_of_is_told_too() -> None:
    call = Simulation([mumble(1.0)], delays=Delays(stt=1.5)).run(10)
    assert said(call) == [SORRY]


def test_it_is_said_in_the_language_and_the_voice_of_the_call() -> None:
    voices = (Voice("joe", "Joe", "en_US", "piper"), Voice("siwis", "Siwis", "fr_FR", "piper"))
    script = [Say(1.0, 3.0, "Quel temps fait-il à Paris ?", language="fr"), mumble(16.0)]
    call = Simulation(script, voices=voices).run(22)
    assert said(call)[-1] == UNCLEAR["fr"]


@pytest.mark.parametrize(
    ("text", "language", "wanted"),
    [
        (SORRY, "de", (UNCLEAR["de"], "de")),
        (SORRY, "en", (SORRY, "en")),
        (SORRY, "sv", (SORRY, "en")),
        ("Wie bitte?", "fr", ("Wie bitte?", None)),
        ("", "de", ("", None)),
    ],
)
def test_a_text_that_was_set_is_said_in_every_language(text: str, language: str, wanted: tuple[str, str]) -> None:
    assert phrase_in("unclear_prompt", text, language) == wanted


@pytest.mark.parametrize("seed", range(share(20)))
def test_twenty_seconds_of_television_get_at_most_two_sorries(seed: int) -> None:
    """Bursts of speech with no words to them, of any length and at any distance."""
    chance = random.Random(seed)
    script, at = [], 1.0
    while at < 21:
        length = chance.uniform(0.1, 3.0)
        script.append(Say(at, at + length, "", voice=chance.choice([0.6, 0.85, 0.97])))
        at += length + chance.uniform(0.1, 2.5)
    call = Simulation(script).run(32)
    assert all(SORRY.startswith(text) for text in said(call))
    assert sum(event.status == "completed" for event in call.all(ReplyDone)) <= 2
    assert len(call.all(ReplyDone)) <= 2
    assert call.machine.state is State.LISTENING
