import asyncio
import re
import time

import numpy as np
import pytest

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.stt.faster_whisper import FasterWhisper
from pipeline.scheduling.lanes import LaneClosedError, Ticket, Urgency
from tests.pipeline.engines.speech import clip, model
from tests.spoken import spoken


@pytest.fixture(scope="module")
def loaded() -> FasterWhisper:
    return FasterWhisper(model("whisper-base"))


@pytest.fixture
async def stt(loaded: FasterWhisper) -> FasterWhisper:
    await loaded.warm_up()
    return loaded


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def word_errors(said: str, heard: str) -> int:
    row = list(range(len(words(heard)) + 1))
    for i, a in enumerate(words(said), 1):
        before, row[0] = row[:], i
        for j, b in enumerate(words(heard), 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
    return row[-1]


JFK = "And so, my fellow Americans, ask not what your country can do for you, ask what you can do for your country."


async def test_a_question_is_heard_word_by_word(stt: FasterWhisper) -> None:
    transcript = await stt.transcribe(clip("weather.wav"), Ticket(), language="en")
    assert transcript.text == spoken("What is the weather in Paris?")
    assert transcript.confidence > 0.7
    assert transcript.no_speech < 0.3
    assert transcript.duration == pytest.approx(1.87, abs=0.01)


async def test_a_long_sentence_with_pauses_is_heard_to_its_end(stt: FasterWhisper) -> None:
    transcript = await stt.transcribe(clip("jfk.flac"), Ticket(), language="en")
    assert word_errors(JFK, transcript.text) <= 1


async def test_a_minute_is_heard_window_by_window(stt: FasterWhisper) -> None:
    done = stt.lane.load.done
    transcript = await stt.transcribe(clip("lecture.wav"), Ticket(), language="en", word_timestamps=True)
    assert stt.lane.load.done - done >= 3, "each window is a job of its own"
    for phrase in ("how do i get to dublin", "thomas piketty", "argues for a 4", "global wealth tax"):
        assert phrase in " ".join(words(transcript.text))
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
    assert 55 < starts[-1] < 60, "times count from the start of the whole audio"


@pytest.mark.parametrize("name", ["weather.wav", "hello.wav", "jfk.flac"])
async def test_the_language_is_detected(stt: FasterWhisper, name: str) -> None:
    assert (await stt.transcribe(clip(name), Ticket())).language == "en"


async def test_the_detection_keeps_to_the_languages_it_is_given(loaded: FasterWhisper) -> None:
    engine = FasterWhisper(model("whisper-base"), languages=("de", "fr"))
    assert (await engine.transcribe(clip("weather.wav"), Ticket())).language in ("de", "fr")
    await engine.close()


async def test_words_lie_where_they_are_spoken(stt: FasterWhisper) -> None:
    transcript = await stt.transcribe(clip("jfk.flac"), Ticket(), language="en", word_timestamps=True)
    said = [word.text.strip(",.").lower() for word in transcript.words]
    assert said == words(transcript.text)
    places = {word.text: word for word in transcript.words}
    assert 0.25 <= transcript.words[0].start <= 0.5
    assert 3.2 <= places["ask"].start <= 8.3, "behind the first long pause"
    assert 1.7 <= next(word.end for word in transcript.words if word.text.startswith("American")) <= 2.5
    assert 10.2 <= places["country."].end <= 10.7
    assert all(a.end <= b.start + 1e-6 for a, b in zip(transcript.words, transcript.words[1:], strict=False))


async def test_a_prompt_spells_names(stt: FasterWhisper) -> None:
    spelled = [
        (
            await stt.transcribe(clip("weather.wav"), Ticket(), language="en", prompt=f"We were in {name}, my friend.")
        ).text
        for name in ("Parris", "Pariss", "Pariz")
    ]
    assert any(name in text for name, text in zip(("Parris", "Pariss", "Pariz"), spelled, strict=True)), spelled


def noises() -> dict[str, np.ndarray]:
    random = np.random.default_rng(2)
    click = np.zeros(16_000)
    click[8_000] = 0.8
    return {
        "silence": np.zeros(16_000),
        "ten seconds of silence": np.zeros(160_000),
        "hiss": random.normal(0, 0.003, 32_000),
        "loud hiss": random.normal(0, 0.05, 32_000),
        "hum": 0.1 * np.sin(np.arange(32_000) / 16_000 * 2 * np.pi * 50),
        "click": click,
        "nothing": np.zeros(0),
    }


@pytest.mark.parametrize("name", list(noises()))
async def test_nothing_is_invented_where_nobody_speaks(stt: FasterWhisper, name: str) -> None:
    transcript = await stt.transcribe(noises()[name].astype(np.float32), Ticket())
    assert transcript.text == ""
    assert transcript.no_speech > 0.6


async def test_an_unknown_language_is_refused_and_a_region_is_ignored(stt: FasterWhisper) -> None:
    with pytest.raises(ValueError, match="'tlh'"):
        await stt.transcribe(clip("hello.wav"), Ticket(), language="tlh")
    assert (await stt.transcribe(clip("hello.wav"), Ticket(), language="en-US")).language == "en"


async def test_a_short_question_costs_a_fraction_of_a_full_window(stt: FasterWhisper) -> None:
    audio = clip("weather.wav")

    async def cost(engine: FasterWhisper) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            await engine.transcribe(audio, Ticket(Urgency.FINAL_TRANSCRIPT), language="en")
            times.append(time.perf_counter() - started)
        return min(times)

    full = FasterWhisper(model("whisper-base"), padding_s=30.0)
    assert await cost(stt) < 0.6 * await cost(full)
    await full.close()


async def test_two_lanes_hear_two_callers_at_once() -> None:
    engine = FasterWhisper(model("whisper-tiny.en"), lanes=2)
    running = 0

    async def watch() -> None:
        nonlocal running
        while True:
            running = max(running, engine.lane.load.running)
            await asyncio.sleep(0.001)

    watcher = asyncio.create_task(watch())
    audio = clip("weather.wav")
    heard = await asyncio.gather(*(engine.transcribe(audio, Ticket(Urgency.FINAL_TRANSCRIPT)) for _ in range(4)))
    watcher.cancel()
    assert {transcript.text for transcript in heard} == {"What is the weather in Paris?"}
    assert running == 2
    await engine.close()


async def test_an_english_model_takes_every_language_for_english() -> None:
    engine = FasterWhisper(model("whisper-tiny.en"))
    assert (await engine.transcribe(clip("weather.wav"), Ticket(), language="de")).language == "en"
    await engine.close()
    with pytest.raises(LaneClosedError):
        await engine.transcribe(clip("weather.wav"), Ticket())


def test_a_missing_model_says_what_to_do(tmp_path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        FasterWhisper(tmp_path)


def test_a_truncated_model_says_what_to_do(tmp_path) -> None:
    folder = model("whisper-tiny.en")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 1_000_000 if file.name == "model.bin" else None])
    with pytest.raises(EngineUnavailableError, match="morgan models verify"):
        FasterWhisper(tmp_path)
