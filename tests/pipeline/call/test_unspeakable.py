"""Replies of which the voice has no sound: nobody is met with silence."""

import pytest

from pipeline.call.effects import Synthesize
from pipeline.call.events import CallFault, ReplyDone
from pipeline.call.options import CallOptions
from pipeline.engines.protocols import Voice
from pipeline.text.phrases import APOLOGIES, DELAYS
from tests.pipeline.call.simulation import Delays, Say, Simulation

JOE = Voice("joe", "Joe", "en_US", "piper")
EVA = Voice("eva", "Eva", "de_DE", "piper")
MEI = Voice("mei", "Mei", "zh_CN", "piper")
QUESTION = Say(1.0, 2.8, "What is good morning in Chinese?")
CHINESE = Say(1.0, 2.8, "今天天气怎么样？", language="zh")


def spoken(call: Simulation) -> str:
    return " ".join(work.text for work in call.effects(Synthesize))


@pytest.mark.parametrize("reply", ["早上好，今天天气很好。", "👍", "```\nprint(1)\n```"])
def test_a_reply_without_a_word_that_can_be_said_is_excused(reply: str) -> None:
    call = Simulation([QUESTION], reply=reply, voices=(JOE,)).run(12)
    assert spoken(call) == "Sorry, I cannot say that aloud."
    assert call.all(ReplyDone)[-1].text.startswith(reply.split(" ", maxsplit=1)[0])
    assert call.sounding(3.0, 6.0) > 0.3


def test_the_excuse_is_in_the_language_of_the_voice() -> None:
    call = Simulation([QUESTION], reply="早上好", voices=(EVA,)).run(12)
    assert spoken(call) == "Entschuldigung, das kann ich nicht aussprechen."


def test_what_can_be_said_of_a_reply_is_said_without_an_excuse() -> None:
    call = Simulation([QUESTION], reply="早上好 means good morning.", voices=(JOE,)).run(12)
    assert spoken(call) == "means good morning."


def test_a_model_that_says_nothing_at_all_is_apologised_for() -> None:
    call = Simulation([QUESTION], reply="", voices=(JOE,)).run(12)
    assert spoken(call) == call.options.apology
    assert [event.code for event in call.all(CallFault)] == ["llm_failed"]


@pytest.mark.parametrize(("voices", "told"), [((JOE,), False), ((JOE, MEI), True), ((MEI,), True)])
def test_the_answer_is_asked_for_in_a_language_that_a_voice_has_the_sounds_of(
    voices: tuple[Voice, ...], told: bool
) -> None:
    call = Simulation([CHINESE], options=CallOptions(language="zh"), voices=voices).run(12)
    prompt = "\n".join(message.content for message in call.asked[-1].request.messages)
    assert ("Answer in Chinese." in prompt) is told


def test_apologies_are_in_the_language_of_the_voice() -> None:
    german = Say(1.0, 2.8, "Wie ist das Wetter in Paris?", language="de")
    options = CallOptions(language="de", delay_apology=DELAYS["en"])
    late = Simulation([german], options=options, voices=(JOE, EVA), delays=Delays(llm_first=None)).run(38)
    assert spoken(late) == f"{DELAYS['de']} {APOLOGIES['de']}"
    failed = Simulation([german], options=options, voices=(JOE, EVA), fail=frozenset({"llm"})).run(12)
    assert spoken(failed) == APOLOGIES["de"]
    assert {work.voice for work in failed.effects(Synthesize)} == {"eva"}
    without = Simulation([german], options=options, voices=(JOE,), fail=frozenset({"llm"})).run(12)
    assert spoken(without) == APOLOGIES["en"]
    own = Simulation([german], options=CallOptions(language="de", apology="Hoppla."), voices=(JOE, EVA),
                     fail=frozenset({"llm"})).run(12)  # fmt: skip
    assert spoken(own) == "Hoppla."
