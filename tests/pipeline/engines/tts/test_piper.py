import json
import sys
import time
from typing import Any

import numpy as np
import onnxruntime
import pytest

from pipeline.audio import SPEECH_RATE, to_waveform
from pipeline.engines.protocols import EngineUnavailableError, SpeechChunk
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.engines.tts.piper import Piper, split_speakable
from pipeline.scheduling.lanes import Ticket
from tests.pipeline.engines.speech import model, resampled

VOICE = "piper-en_US-joe-medium"


@pytest.fixture(scope="module")
def tts() -> Piper:
    onnxruntime.set_seed(7)  # a voice draws noise for every clause; the tests want the same one each time
    return Piper(model(VOICE))


@pytest.fixture(scope="module")
def stt() -> FasterWhisper:
    return FasterWhisper(model("whisper-base"))


async def say(tts: Piper, text: str, **options: Any) -> list[SpeechChunk]:
    return [chunk async for chunk in tts.synthesize(text, Ticket(), **options)]


def joined(chunks: list[SpeechChunk]) -> np.ndarray:
    return to_waveform(np.concatenate([chunk.pcm for chunk in chunks]))


def silence_s(audio: np.ndarray) -> tuple[float, float]:
    """Seconds of near-silence before and after the sound."""
    loud = np.flatnonzero(np.abs(audio) > 0.01)
    return float(loud[0] / SPEECH_RATE), float((audio.size - loud[-1]) / SPEECH_RATE)


async def test_what_is_said_can_be_understood(tts: Piper, stt: FasterWhisper) -> None:
    text = "Good morning, the weather is sunny and warm today."
    heard = await stt.transcribe(resampled(joined(await say(tts, text)), SPEECH_RATE), Ticket(), language="en")
    assert heard.text.lower().replace(".", "").replace(",", "") == text.lower().replace(".", "").replace(",", "")


async def test_speech_comes_at_the_common_rate_and_at_an_even_loudness(tts: Piper) -> None:
    for text in ("What is the weather in Paris?", "Yes, of course.", "I am not sure about that."):
        chunks = await say(tts, text)
        assert {chunk.pcm.dtype for chunk in chunks} == {np.dtype(np.int16)}
        level = np.sqrt(np.square(joined(chunks)).mean())
        assert 0.035 < level < 0.14
        assert max(np.abs(chunk.pcm).max() for chunk in chunks) < 32_767, "nothing is clipped"


async def test_words_lie_where_they_are_heard(tts: Piper, stt: FasterWhisper) -> None:
    """Also where the phonemizer runs words together ("of the") and says one as several ("1984")."""
    text = "Well, most of the people in the town were born in 1984."
    chunks = await say(tts, text)
    said = [word for chunk in chunks for word in chunk.words]
    assert [word.text for word in said] == text.split()
    audio = resampled(joined(chunks), SPEECH_RATE)
    heard = (await stt.transcribe(audio, Ticket(), language="en", word_timestamps=True)).words
    assert len(heard) == len(said)
    assert max(abs(a.start - b.start) for a, b in zip(said, heard, strict=True)) < 0.2


async def test_the_times_come_from_the_voice_and_are_no_estimate(tts: Piper) -> None:
    chunks = await say(tts, "Well, it stops there.")
    well, it, *_ = chunks[0].words
    pause = it.start - well.end
    audio = np.abs(joined(chunks))
    first, last = (int(edge * SPEECH_RATE) for edge in (well.end + 0.02, it.start - 0.02))
    assert pause > 0.05
    assert audio[first:last].mean() < 0.3 * audio.mean(), "it is quiet where the words say that there is a pause"


async def test_a_clause_begins_at_once_and_rests_as_its_punctuation_asks(tts: Piper) -> None:
    before, after = silence_s(joined(await say(tts, "It is a fine day.")))
    assert before < 0.06
    assert 0.1 <= after <= 0.2
    before, after = silence_s(joined(await say(tts, "If it is a fine day")))
    assert before < 0.06
    assert 0.05 <= after <= 0.14


async def test_joints_do_not_click(tts: Piper) -> None:
    for piece in ("Sure, I can help you with that,", "if you tell me what you need."):
        audio = joined(await say(tts, piece)) * 32_768
        assert np.abs(audio[:24]).max() < 300
        assert np.abs(audio[-24:]).max() < 300


async def test_twice_the_speed_takes_about_half_the_time(tts: Piper) -> None:
    text = "The weather in Paris is sunny and warm."
    natural = joined(await say(tts, text)).size
    assert 0.4 < joined(await say(tts, text, speed=2.0)).size / natural < 0.72
    assert 1.6 < joined(await say(tts, text, speed=0.5)).size / natural < 2.3


async def test_long_text_goes_out_sentence_by_sentence(tts: Piper) -> None:
    text = "The first sentence is this one here. The second sentence follows it. And this is the third of them."
    assert [len(chunk.words) for chunk in await say(tts, text) if chunk.words] == [7, 5, 7]


async def test_a_clause_begins_to_sound_before_all_of_it_is_made(tts: Piper) -> None:
    began = time.monotonic()
    chunks, at = [], []
    async for chunk in tts.synthesize("The weather in Paris is sunny and warm on most days of the year", Ticket()):
        chunks.append(chunk)
        at.append(time.monotonic() - began)
    assert chunks[0].pcm.size < joined(chunks).size / 4
    assert at[0] < 0.9 * at[-1]
    assert chunks[0].words[-1].end == pytest.approx(joined(chunks).size / SPEECH_RATE, abs=0.25)


async def test_windows_leave_no_seam(tts: Piper) -> None:
    """Decoded window by window, the frames of a sentence sound as they do decoded in one go."""
    decoder = next(iter(tts._speakers.values())).model._decoder
    session, frames = decoder._back, decoder._frames
    assert session is not None
    settled = np.random.default_rng(7).normal(0, 1, (1, 192, 500)).astype(np.float32)
    whole = session.run(None, {frames: settled})[0].reshape(-1)
    parts = [part.sound for part in decoder._decode(settled, {})]
    assert len(parts) > 3
    assert np.abs(np.concatenate(parts) - whole).max() < 1e-4


async def test_cancelling_stops_behind_the_sentence_in_hand(tts: Piper) -> None:
    ticket = Ticket()
    text = "The first sentence is this one here. " * 20
    chunks = []
    async for chunk in tts.synthesize(text, ticket):
        chunks.append(chunk)
        ticket.cancel()
    assert len(chunks) == 1


@pytest.mark.parametrize("text", ["", "  ", "...", '"!"'])
async def test_text_without_words_is_not_spoken(tts: Piper, text: str) -> None:
    assert await say(tts, text) == []


async def test_an_unknown_voice_is_refused_with_the_known_ones(tts: Piper) -> None:
    with pytest.raises(ValueError, match="en_US-joe-medium"):
        tts.synthesize("Hello.", Ticket(), voice="nobody")
    with pytest.raises(ValueError, match="speed"):
        tts.synthesize("Hello.", Ticket(), speed=9.0)


async def test_the_voice_is_described(tts: Piper) -> None:
    (voice,) = tts.voices
    assert (voice.id, voice.name, voice.language, voice.engine) == ("en_US-joe-medium", "joe", "en-US", "piper")
    assert tts.default_voice == voice.id
    assert len(await say(tts, "Hello.", voice=voice.id)) == 1


async def test_our_input_is_the_one_that_piper_would_make(tts: Piper) -> None:
    speaker = tts._speakers[tts.default_voice].model
    (phonemes,) = speaker._piper.phonemize("Most of the people, in 1984.")
    assert speaker._ids(phonemes)[0] == speaker._piper.phonemes_to_ids(phonemes)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("Yes.", ["Yes."]),
        ("Yes. No. Maybe so, perhaps.", ["Yes. No. Maybe so, perhaps."]),
        ("It will rain all day tomorrow. Take a coat.", ["It will rain all day tomorrow.", "Take a coat."]),
        (("word " * 24 + "end, ") * 2, [("word " * 24 + "end,")] * 2),
    ],
)
def test_text_is_cut_where_a_speaker_breathes(text: str, pieces: list[str]) -> None:
    assert split_speakable(text) == pieces


def test_no_piece_is_endless() -> None:
    pieces = split_speakable("word " * 500)
    assert max(map(len, pieces)) <= 250
    assert " ".join(pieces).split() == ["word"] * 500


def test_without_the_package_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "piper.voice", None)
    with pytest.raises(EngineUnavailableError, match=r"pip install morgan-voice\[piper\]"):
        Piper(tmp_path)


def test_a_missing_voice_says_what_to_do(tmp_path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        Piper(tmp_path)


@pytest.mark.parametrize("content", [b"not a model", b"not a model /Ceil_output_0"])
def test_a_corrupt_voice_says_what_to_do(tmp_path, content: bytes) -> None:
    description = model(VOICE) / "en_US-joe-medium.onnx.json"
    (tmp_path / "voice.onnx").write_bytes(content)
    (tmp_path / "voice.onnx.json").write_text(json.dumps(json.loads(description.read_text("utf-8"))), "utf-8")
    with pytest.raises(EngineUnavailableError, match="morgan models verify"):
        Piper(tmp_path)


def test_a_voice_without_its_description_says_what_to_do(tmp_path) -> None:
    (tmp_path / "voice.onnx").write_bytes(b"")
    with pytest.raises(EngineUnavailableError, match=r"voice\.onnx\.json"):
        Piper(tmp_path)
