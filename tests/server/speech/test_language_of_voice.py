"""Texts are made speakable in the language of the voice that says them, in calls and for requests alike."""

import pytest

from pipeline.call.reply.voice_choice import VoiceChoice
from pipeline.engines.protocols import Voice
from pipeline.engines.tts.piper import Piper
from server.http.errors import ApiError
from server.speech.speech import SpeechDesk, SpeechOrder

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


async def test_a_text_without_a_letter_that_the_voice_knows_is_refused_by_name(piper: Piper) -> None:
    desk = SpeechDesk(piper)
    try:
        with pytest.raises(ApiError) as refused:
            await desk.open(SpeechOrder("你好世界。", None, "pcm", 1.0))
    finally:
        await desk.close()
    assert refused.value.status == 422
    assert "no sounds for the letters" in refused.value.message
