"""What tests on a GPU share."""

import os
from pathlib import Path

import pytest

from bench.gpu_place import Place, read_clips
from pipeline.engines.gpu import gpu, load_cuda_libraries
from tests.gpu.weights import MODELS

CLIPS = os.environ.get("GPU_CLIPS", Path(__file__).parents[3] / "shared" / "audio" / "dev")
NAMES = ("az_whats_the_weather_like", "az_good_morning", "coffee_00_253b08c9", "arctic_a0024")


@pytest.fixture(scope="session")
def on_gpu() -> Place:
    """The weights, and some speech; skips where there is no GPU, also under CI, whose machines have none."""
    if gpu() is None:
        pytest.skip("There is no NVIDIA GPU.")
    load_cuda_libraries()
    return Place(MODELS, read_clips(Path(CLIPS), NAMES))
