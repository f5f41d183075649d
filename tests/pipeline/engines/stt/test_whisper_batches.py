"""Transcriptions of several threads in one batch: the same words as one by one, in fewer runs of the model."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ctranslate2
import numpy as np
import pytest

from pipeline.engines.log_mel import whisper_features
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES
from pipeline.engines.stt.whisper_batches import MOST, BatchedWhisper, _Batches
from tests.pipeline.engines.speech import clip, model

CLIPS = ("dev/az_whats_the_weather_like.flac", "dev/az_good_morning.flac", "dev/arctic_a0024.flac")
START = [50258, 50259, 50359, 50363]


@pytest.fixture(scope="module")
def whisper() -> Any:
    return ctranslate2.models.Whisper(str(model("whisper-base")), device="cpu", compute_type="int8")


def heard(whisper: Any, features: Any) -> list[int]:
    encoded = whisper.encode(ctranslate2.StorageView.from_array(features[None]))
    [result] = whisper.generate(encoded, [START], beam_size=1, max_length=100, return_scores=True)
    return list(result.sequences_ids[0])


def test_several_threads_hear_in_a_batch_what_each_hears_alone(whisper: Any) -> None:
    features = [whisper_features(clip(name), LONGEST_FRAMES, whisper.n_mels) for name in CLIPS]
    alone = [heard(whisper, each) for each in features]
    with ThreadPoolExecutor(len(CLIPS)) as threads:
        together = list(threads.map(heard, [BatchedWhisper(whisper)] * len(CLIPS), features))
    assert together == alone
    assert len({tuple(tokens) for tokens in together}) == len(CLIPS)


def test_what_else_the_model_can_is_left_to_it(whisper: Any) -> None:
    batched = BatchedWhisper(whisper)
    assert (batched.n_mels, batched.is_multilingual) == (80, True)


def test_what_comes_while_a_batch_runs_is_computed_together_and_told_apart() -> None:
    batches, begun, go_on = _Batches(), threading.Event(), threading.Event()
    sizes: list[int] = []

    def together(numbers: Any) -> list[int]:
        sizes.append(len(numbers))
        begun.set()
        assert go_on.wait(10)
        return [number * 2 for number in numbers]

    count = MOST + 4
    with ThreadPoolExecutor(count + 1) as threads:
        first = threads.submit(batches.run, "kind", 1, together)
        assert begun.wait(10)
        others = [threads.submit(batches.run, "kind", number, together) for number in range(count)]
        while len(batches._kinds["kind"].waiting) < count:
            pass
        go_on.set()
        assert first.result() == 2
        assert [other.result() for other in others] == [number * 2 for number in range(count)]
    assert sizes == [1, MOST, 4]


def test_an_error_reaches_each_of_a_batch_and_none_of_the_next() -> None:
    batches = _Batches()

    def failing(numbers: Any) -> list[int]:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        batches.run("kind", 1, failing)
    assert batches.run("kind", 1, lambda numbers: [int(np.sum(numbers))]) == 1
