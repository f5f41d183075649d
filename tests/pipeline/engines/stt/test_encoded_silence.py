"""Silence that is put behind speech already encoded: what it is, what it saves, and where it is not used."""

import ctranslate2
import numpy as np
import pytest

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.stt.encoded_silence import EncodedSilence
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.window_choice import KNOWN_SILENCE_S, PLAIN_PADDING_S, QUICK_PADDING_S
from pipeline.scheduling.lanes import Ticket
from tests.pipeline.engines.speech import clip, model


@pytest.fixture(scope="module")
def stt() -> FasterWhisper:
    return FasterWhisper(model("whisper-base"))


def windows_of(stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float | None, float]]:
    """The silence of every window that is encoded from now on: its own and the known one, seconds."""
    seen: list[tuple[float | None, float]] = []
    encoder = stt._encoder
    encode = encoder.encode

    def spy(audio: Waveform, padding_s: float | None, known_s: float = 0.0) -> object:
        seen.append((padding_s, known_s))
        return encode(audio, padding_s, known_s)

    monkeypatch.setattr(encoder, "encode", spy)
    return seen


def test_known_silence_makes_an_encoding_as_long_as_if_it_had_been_encoded(stt: FasterWhisper) -> None:
    audio = np.zeros(HEARING_RATE, np.float32)
    encoded = stt._encoder.encode(audio, QUICK_PADDING_S)
    silence = EncodedSilence(stt._encoder.model)
    whole = np.array(silence.behind(encoded, KNOWN_SILENCE_S))
    head = np.array(encoded)
    assert whole.shape == (1, head.shape[1] + 50 * int(KNOWN_SILENCE_S), head.shape[2])
    np.testing.assert_array_equal(whole[:, : head.shape[1]], head)
    assert not np.allclose(whole[:, head.shape[1] :].std(axis=1), 0)


def test_known_silence_ends_with_the_full_window(stt: FasterWhisper) -> None:
    audio = np.zeros(20 * HEARING_RATE, np.float32)
    encoded = stt._encoder.encode(audio, QUICK_PADDING_S)
    assert np.array(EncodedSilence(stt._encoder.model).behind(encoded, KNOWN_SILENCE_S)).shape[1] == 1500
    full = stt._encoder.encode(audio, None)
    assert isinstance(EncodedSilence(stt._encoder.model).behind(full, KNOWN_SILENCE_S), ctranslate2.StorageView)


async def test_english_is_heard_once_on_a_window_that_is_mostly_known(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = windows_of(stt, monkeypatch)
    heard = await stt.transcribe(clip("hello.wav"), Ticket(), language="en")
    assert "hello" in heard.text.lower()
    assert seen == [(QUICK_PADDING_S, KNOWN_SILENCE_S)]


@pytest.mark.parametrize(("language", "prior"), [("fr", None), (None, "fr")])
async def test_a_language_that_is_expected_and_not_english_gets_silence_of_its_own(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch, language: str | None, prior: str | None
) -> None:
    seen = windows_of(stt, monkeypatch)
    await stt.transcribe(clip("dev/leopard_fr.flac"), Ticket(), language=language, prior=prior)
    assert seen[0] == (PLAIN_PADDING_S, 0.0)


async def test_a_language_that_is_found_and_not_english_is_read_from_silence_of_its_own(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = windows_of(stt, monkeypatch)
    heard = await stt.transcribe(clip("dev/leopard_fr.flac"), Ticket())
    assert heard.language == "fr"
    assert seen[0] == (QUICK_PADDING_S, KNOWN_SILENCE_S)
    assert seen[-1] == (PLAIN_PADDING_S, 0.0)


async def test_nothing_heard_on_a_quick_window_is_heard_again(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = windows_of(stt, monkeypatch)
    heard = await stt.transcribe(np.zeros(HEARING_RATE, np.float32), Ticket(), language="en")
    assert heard.text == ""
    assert seen == [(QUICK_PADDING_S, KNOWN_SILENCE_S), (PLAIN_PADDING_S, 0.0)]
