"""English by onnxruntime: the words of CTranslate2, with and without drafts; all else stays with CTranslate2."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ctranslate2
import numpy as np
import pytest

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.log_mel import whisper_features
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.stt.whisper_encoder import window_frames
from pipeline.engines.stt.whisper_onnx.drafted_decoding import Decoded
from pipeline.engines.stt.whisper_onnx.onnx_whisper import Heard, OnnxWhisper, Ranking
from pipeline.engines.stt.window_choice import KNOWN_SILENCE_S, QUICK_PADDING_S
from pipeline.processor import int8_sums_overflow
from pipeline.scheduling.lanes import Ticket
from pipeline.text.normalise import normalise
from server.services.health import engine_health
from tests.pipeline.engines.speech import clip, model
from tests.spoken import spoken

SPEECH = ("weather.wav", "hello.wav", "jfk.flac")
START = (50258, 50259, 50359, 50363)
"""Of an English transcript without timestamps."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("converted")


@pytest.fixture(scope="module")
def stt(cache: Path) -> Iterator[FasterWhisper]:
    engine = FasterWhisper(model("whisper-base"), lanes=2, runtime="onnx", cache=cache)
    assert engine.runtime == "onnx"
    yield engine
    asyncio.run(engine.close())


@pytest.fixture
async def plain() -> AsyncIterator[FasterWhisper]:
    engine = FasterWhisper(model("whisper-base"))
    yield engine
    await engine.close()


def quick(stt: FasterWhisper) -> OnnxWhisper:
    assert stt._quick is not None
    return stt._quick.model


def window(stt: FasterWhisper, audio: Waveform) -> Heard:
    features = whisper_features(audio, window_frames(audio.size, QUICK_PADDING_S), quick(stt).bands)
    return quick(stt).hear(features, KNOWN_SILENCE_S)


def decodings(stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch) -> list[Decoded]:
    """Of every window that is read from now on by onnxruntime."""
    seen: list[Decoded] = []
    decode = OnnxWhisper.decode

    def spy(self: OnnxWhisper, *arguments: object) -> Decoded:
        seen.append(decode(self, *arguments))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(OnnxWhisper, "decode", spy)
    return seen


@pytest.mark.parametrize("name", SPEECH)
def test_a_window_comes_out_as_of_ctranslate2(stt: FasterWhisper, name: str) -> None:
    heard, encoder = window(stt, clip(name)), stt._encoder
    states = ctranslate2.StorageView.from_array(heard.states[None])
    encoded = encoder.silence.behind(states, KNOWN_SILENCE_S)
    (expected,) = encoder.model.generate(
        encoded, [list(START)], beam_size=1, return_scores=True, return_no_speech_prob=True, suppress_tokens=[-1]
    )
    decoded = quick(stt).decode(heard, START, 200)
    ours, theirs = (stt._vocabulary.decode(list(each)) for each in (decoded.tokens, expected.sequences_ids[0]))
    assert normalise(ours) == normalise(theirs)
    if ours == theirs:  # CTranslate2 rounds otherwise on each kind of processor: a full stop comes or does not
        total = expected.scores[0] * len(decoded.tokens)
        assert decoded.log_probability == pytest.approx(total, abs=0.15 * len(decoded.tokens))
    assert decoded.no_speech == pytest.approx(expected.no_speech_prob, abs=0.15)
    ranking = quick(stt).languages_of(heard)
    assert ranking[0][0] == "en"
    assert ranking[0][1] == pytest.approx(encoder.languages_of(encoded)[0][1], abs=0.1)
    assert sum(probability for _, probability in ranking) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", SPEECH)
def test_the_encoder_makes_the_states_of_ctranslate2(stt: FasterWhisper, name: str) -> None:
    states = window(stt, clip(name)).states
    expected = np.asarray(stt._encoder.encode(clip(name), QUICK_PADDING_S))[0]
    assert states.shape == expected.shape
    error = np.sqrt(np.square(states - expected).mean() / np.square(expected).mean())
    assert error < 0.2, "both round to 8 bits, each by itself to 0.09 of what float32 gives"


async def test_weights_without_a_sign_compute_the_same(
    stt: FasterWhisper, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if int8_sums_overflow():
        pytest.skip("weights with a sign overflow on this processor: these are what all other tests are of")
    monkeypatch.setattr("pipeline.engines.stt.whisper_onnx.onnx_whisper.int8_sums_overflow", lambda: True)
    other = FasterWhisper(model("whisper-base"), runtime="onnx", cache=cache)
    assert len(os.listdir(cache)) == 2  # noqa: PTH208
    ours, theirs = window(stt, clip("hello.wav")), window(other, clip("hello.wav"))
    np.testing.assert_allclose(theirs.states, ours.states, atol=1e-3)
    assert quick(other).decode(theirs, START, 200).tokens == quick(stt).decode(ours, START, 200).tokens
    await other.close()


@pytest.mark.parametrize("name", SPEECH)
def test_a_draft_changes_no_word(stt: FasterWhisper, name: str) -> None:
    heard = window(stt, clip(name))
    words = quick(stt).decode(heard, START, 200)
    assert words.passes == len(words.tokens) + 1
    said = words.tokens
    for draft in (said, said[:-2], (*said, 100, 200), (100, 200, 300), (*said[:1], 100, *said[1:]), said[1:]):
        drafted = quick(stt).decode(heard, START, 200, draft)
        assert drafted.tokens == said
        assert drafted.log_probability == pytest.approx(words.log_probability, abs=0.1)
        assert drafted.passes <= words.passes
    assert quick(stt).decode(heard, START, 200, said).passes == 1


async def test_what_was_heard_as_the_speech_grew_shortens_the_last_reading(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, audio = decodings(stt, monkeypatch), clip("jfk.flac")
    await stt.transcribe(audio[: 8 * HEARING_RATE], Ticket(), prior="en", retry=False)
    heard = await stt.transcribe(audio, Ticket(), prior="en")
    first, last = seen
    assert first.passes == len(first.tokens) + 1
    assert last.passes < len(last.tokens) / 2
    again = await stt.hear_once(audio, Ticket(), padding_s=QUICK_PADDING_S, language="en")
    assert again.text == heard.text
    assert seen[-1].passes == len(seen[-1].tokens) + 1, "windows are compared by what they cost without a draft"


async def test_two_lanes_hear_at_once_what_they_hear_alone(stt: FasterWhisper) -> None:
    heard = [await stt.transcribe(clip(name), Ticket(), prior="en") for name in SPEECH]
    together = await asyncio.gather(*(stt.transcribe(clip(name), Ticket(), prior="en") for name in SPEECH * 2))
    assert [each.text for each in together] == [each.text for each in heard] * 2


@pytest.mark.parametrize("name", SPEECH)
@pytest.mark.parametrize("known", [{"language": "en"}, {"prior": "en"}, {}])
async def test_words_are_those_of_ctranslate2(
    stt: FasterWhisper, plain: FasterWhisper, name: str, known: dict[str, str]
) -> None:
    ours = await stt.transcribe(clip(name), Ticket(), **known)  # type: ignore[arg-type]
    theirs = await plain.transcribe(clip(name), Ticket(), **known)  # type: ignore[arg-type]
    assert normalise(ours.text) == normalise(theirs.text)
    assert ours.language == theirs.language == "en"
    assert ours.confidence == pytest.approx(theirs.confidence, abs=0.2)


async def test_other_languages_and_the_times_of_words_stay_with_ctranslate2(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = decodings(stt, monkeypatch)
    assert (await stt.transcribe(clip("dev/leopard_fr.flac"), Ticket())).language == "fr"
    assert (await stt.transcribe(clip("dev/leopard_fr.flac"), Ticket(), language="fr")).language == "fr"
    timed = await stt.transcribe(clip("weather.wav"), Ticket(), language="en", word_timestamps=True)
    assert len(timed.words) == len(timed.text.split())
    assert not seen


@pytest.mark.parametrize("prompt", ["", "We spoke of the weather."])
async def test_the_language_is_told_by_the_pass_that_reads_unless_there_is_a_prompt(
    stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch, prompt: str
) -> None:
    asked: list[Heard] = []
    languages_of = OnnxWhisper.languages_of

    def spy(self: OnnxWhisper, heard: Heard) -> Ranking:
        asked.append(heard)
        return languages_of(self, heard)

    monkeypatch.setattr(OnnxWhisper, "languages_of", spy)
    heard = await stt.transcribe(clip("weather.wav"), Ticket(), prior="en", prompt=prompt)
    assert heard.text == spoken("What is the weather in Paris?")
    assert heard.language == "en"
    assert 0.5 < heard.language_probability < 1
    assert len(asked) == bool(prompt)
    other = await stt.transcribe(clip("dev/leopard_fr.flac"), Ticket(), prior="en", prompt=prompt)
    assert other.language == "fr"
    assert len(asked) == 2 * bool(prompt)


async def test_doubted_words_are_read_again_by_ctranslate2(stt: FasterWhisper, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = OnnxWhisper.decode

    def doubled(self: OnnxWhisper, *arguments: object) -> Decoded:
        said = decode(self, *arguments)  # type: ignore[arg-type]
        return Decoded(said.tokens * 4, said.log_probability * 4, said.no_speech, said.passes)

    monkeypatch.setattr(OnnxWhisper, "decode", doubled)
    before = stt.heard["again"]
    heard = await stt.transcribe(clip("weather.wav"), Ticket(), language="en")
    assert heard.text == spoken("What is the weather in Paris?")
    assert stt.heard["again"] == before, "with timestamps, from the same encoding"


async def test_a_model_of_english_alone_is_heard_so_too(tmp_path: Path) -> None:
    engine = FasterWhisper(model("whisper-tiny.en"), runtime="onnx", cache=tmp_path)
    heard = await engine.transcribe(clip("weather.wav"), Ticket())
    assert engine.runtime == "onnx"
    assert heard.text == spoken("What is the weather in Paris?")
    await engine.close()


async def test_the_runtime_is_changed_and_shown(plain: FasterWhisper) -> None:
    plain.cache = None
    assert engine_health(plain, None)["runtime"] == "ctranslate2"
    await plain.change_runtime("onnx")
    assert engine_health(plain, None)["runtime"] == "onnx"
    assert (await plain.transcribe(clip("hello.wav"), Ticket(), language="en")).text
    await plain.reload("int8", threads=2)
    assert plain.configuration["runtime"] == "onnx"
    assert (await plain.transcribe(clip("hello.wav"), Ticket(), language="en")).text
    await plain.change_runtime("ctranslate2")
    assert plain.configuration["runtime"] == "ctranslate2"


async def test_weights_that_it_cannot_read_stay_with_ctranslate2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engines.stt.whisper_onnx.graph_files.LARGEST", 1)
    engine = FasterWhisper(model("whisper-tiny.en"), runtime="onnx")
    assert engine.runtime == "ctranslate2"
    assert (await engine.transcribe(clip("weather.wav"), Ticket())).text
    await engine.close()
