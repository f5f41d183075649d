import itertools
import time

import numpy as np
import pytest

from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.vad.silero import WINDOW, SileroStream, SileroVad
from tests.pipeline.engines.speech import clip, model


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad(model("silero-vad-v6"))


def probabilities(stream: SileroStream, audio: np.ndarray) -> np.ndarray:
    return np.array(
        [stream.probability(audio[start : start + WINDOW]) for start in range(0, audio.size - WINDOW + 1, WINDOW)]
    )


def test_speech_is_found_where_it_is(vad: SileroVad) -> None:
    speech = probabilities(vad.open_stream(), clip("weather.wav")) > 0.5
    first, last = np.flatnonzero(speech)[[0, -1]] * 0.032
    assert 0.40 <= first <= 0.50, "the first word begins at 0.44 s"
    assert last >= 1.75, "the last word goes on to the end of the file"
    assert speech[int(first / 0.032) + 1 : int(last / 0.032)].all()


def test_silence_and_noise_are_not_speech(vad: SileroVad) -> None:
    noise = np.random.default_rng(7).normal(0, 0.01, 5 * 16_000).astype(np.float32)
    assert probabilities(vad.open_stream(), np.zeros(5 * 16_000, np.float32)).max() < 0.2
    assert probabilities(vad.open_stream(), noise).max() < 0.5


def test_pauses_of_half_a_second_inside_a_sentence_show(vad: SileroVad) -> None:
    speech = probabilities(vad.open_stream(), clip("jfk.flac")) > 0.5
    edges = np.flatnonzero(np.diff(speech.astype(int)))
    pauses = [
        (after - before) * 0.032
        for before, after in itertools.pairwise(edges)
        if not speech[before + 1] and (after - before) * 0.032 > 0.4
    ]
    assert len(pauses) >= 3
    assert max(pauses) < 1.5


def test_streams_do_not_hear_each_other(vad: SileroVad) -> None:
    audio = clip("weather.wav")
    alone = probabilities(vad.open_stream(), audio)
    first, second = vad.open_stream(), vad.open_stream()
    together = []
    for start in range(0, audio.size - WINDOW + 1, WINDOW):
        together.append(first.probability(audio[start : start + WINDOW]))
        second.probability(np.full(WINDOW, 0.5, np.float32))
    assert np.allclose(alone, together, atol=1e-6)


def test_reset_forgets_what_was_heard(vad: SileroVad) -> None:
    audio = clip("weather.wav")
    stream = vad.open_stream()
    before = probabilities(stream, audio)
    stream.reset()
    assert np.allclose(before, probabilities(stream, audio), atol=1e-6)


def test_the_result_is_that_of_the_plain_session(vad: SileroVad) -> None:
    """The two bindings that take turns must not change what the model hears."""
    audio = clip("hello.wav")
    state, context = np.zeros((2, 1, 128), np.float32), np.zeros((1, 64), np.float32)
    plain = []
    for start in range(0, audio.size - WINDOW + 1, WINDOW):
        heard = np.concatenate([context, audio[None, start : start + WINDOW]], axis=1)
        feeds = {"input": heard, "state": state, "sr": np.array(16_000, np.int64)}
        output, state = vad._session.run(["output", "stateN"], feeds)
        context = heard[:, -64:]
        plain.append(output[0, 0])
    assert np.allclose(plain, probabilities(vad.open_stream(), audio), atol=1e-6)


def test_a_window_of_another_length_is_refused(vad: SileroVad) -> None:
    with pytest.raises(ValueError, match="512 samples"):
        vad.open_stream().probability(np.zeros(160, np.float32))


async def test_a_window_is_cheap_enough_for_the_event_loop(vad: SileroVad) -> None:
    await vad.warm_up()
    stream, window = vad.open_stream(), np.zeros(WINDOW, np.float32)
    times = []
    for _ in range(200):
        started = time.perf_counter()
        stream.probability(window)
        times.append(time.perf_counter() - started)
    assert float(np.median(times)) < 0.02


def test_a_missing_model_says_what_to_do(tmp_path) -> None:
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        SileroVad(tmp_path)


def test_a_corrupt_model_says_what_to_do(tmp_path) -> None:
    (tmp_path / "silero_vad.onnx").write_bytes(b"not a model" * 100)
    with pytest.raises(EngineUnavailableError, match="morgan models verify"):
        SileroVad(tmp_path)
