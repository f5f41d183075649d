"""A real voice, and the real memory of the persistence tests."""

from collections.abc import Iterator

import pytest

from pipeline.engines.tts.piper import Piper
from tests.persistence.conftest import dsn, memory, open_memory, redis_url, servers  # noqa: F401
from tests.pipeline.engines.speech import model


@pytest.fixture(scope="package")
def piper() -> Iterator[Piper]:
    """Morgan's default voice, on one lane."""
    engine = Piper(model("piper-en_US-joe-medium"))
    yield engine
    engine.lane.close()
