"""Texts are made speakable in the language of the voice that says them, in calls and for requests alike."""

from collections.abc import AsyncIterator, Sequence
from typing import Literal

import numpy as np
import pytest

from pipeline.audio import SPEECH_RATE
from pipeline.call.effects import Synthesize
from pipeline.call.options import CallOptions
from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import SpeechChunk, Voice
from pipeline.engines.tts.piper import Piper
from pipeline.scheduling.lanes import Ticket
from server.http.errors import ApiError
from server.speech.speech import SpeechDesk, SpeechOrder
from tests.pipeline.call.simulation import Say, Simulation

VOICES = [Voice("joe", "joe", "en_US", "piper"), Voice("eva", "eva", "de_DE", "piper"), Voice("csm", "csm", "", "csm")]


@pytest.mark.parametrize(
    ("default", "chosen", "language", "prepared"),
    [
        ("joe", None, "de", "de"),
        ("joe", None, "fr", "en"),
        ("joe", "joe", "de", "en"),
        ("joe", "eva", "en", "de"),
        ("eva", None, None, "de"),
        ("csm", None, "fr", "fr"),
        ("csm", None, None, "en"),
    ],
)
def test_a_text_is_prepared_in_the_language_of_its_voice(
    default: str, chosen: str | None, language: str | None, prepared: str
) -> None:
    voices = VoiceChoice(VOICES, default, chosen)
    assert voices.prepared_in(voices.speaking(language), language) == prepared


class Listener:
    """A voice of each of five languages, which notes what it is given to say."""

    name = "listener"
    model = "listener"
    kind: Literal["in-process", "remote"] = "in-process"
    voices: Sequence[Voice] = tuple(Voice(code, code, code, "piper") for code in ("en", "de", "fr", "es", "it", "pt"))
    default_voice = "en"

    def __init__(self) -> None:
        self.given: list[str] = []

    async def synthesize(
        self, text: str, ticket: Ticket, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncIterator[SpeechChunk]:
        self.given.append(text)
        yield SpeechChunk(np.full(SPEECH_RATE // 10, 9000, np.int16))

    async def warm_up(self) -> None:
        pass

    async def close(self) -> None:
        pass


WRITTEN = "3,50 €, 21 km, 14:30, 22.11.2026."
GERMAN = WRITTEN.replace("22.", "am 22.")


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "drei Euro fünfzig, einundzwanzig Kilometer, vierzehn Uhr dreißig, am zweiundzwanzigsten November"
               " zweitausendsechsundzwanzig."),
        ("fr", "trois euros cinquante, vingt et un kilomètres, quatorze heures trente, vingt-deux novembre"
               " deux mille vingt-six."),
        ("es", "tres euros cincuenta, veintiún kilómetros, catorce treinta, veintidós de noviembre"
               " de dos mil veintiséis."),
        ("it", "tre euro cinquanta, ventun chilometri, quattordici e trenta, ventidue novembre duemilaventisei."),
        ("pt", "três euros cinquenta, vinte e um quilômetros, catorze e trinta, vinte e dois de novembro"
               " de dois mil e vinte e seis."),
    ],
)  # fmt: skip
async def test_requests_and_calls_read_numbers_money_times_and_dates_alike(language: str, said: str) -> None:
    voice, written = Listener(), GERMAN if language == "de" else WRITTEN
    desk = SpeechDesk(voice)
    try:
        await (await desk.open(SpeechOrder(written, language, "pcm", 1.0))).whole()
    finally:
        await desk.close()
    question = Say(1.0, 2.4, "Wie viel?", language=language)
    call = Simulation(
        [question], reply=written, options=CallOptions(language=language), voices=tuple(voice.voices)
    ).run(20)
    heard = " ".join(work.text for work in call.effects(Synthesize))
    assert heard == " ".join(voice.given)
    assert heard == said


async def test_a_text_without_a_letter_that_the_voice_knows_is_refused_by_name(piper: Piper) -> None:
    desk = SpeechDesk(piper)
    try:
        with pytest.raises(ApiError) as refused:
            await desk.open(SpeechOrder("你好世界。", None, "pcm", 1.0))
    finally:
        await desk.close()
    assert refused.value.status == 422
    assert "no sounds for the letters" in refused.value.message
