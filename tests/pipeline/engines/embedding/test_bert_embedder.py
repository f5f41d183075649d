"""Sentence embeddings with the real model: what they are, what they are like, and that transformers gives the same."""

import asyncio
import importlib.util
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.engines.embedding.bert_embedder import BertEmbedder
from pipeline.engines.embedding.transformers_embedder import TransformersEmbedder
from pipeline.engines.protocols import EngineUnavailableError, TextEmbedder
from pipeline.scheduling.lanes import Ticket, Urgency
from tests.conftest import lacking

TEXTS = (
    "",
    " \n",
    ".",
    "Hello",
    "My dog is called Biscuit.",
    "What is my dog called?",
    "I live in Rome and work as a nurse in a hospital near the river.",
    "Straße, naïve café, déjà vu: Ünïcödé",
    "東京は日本の首都です。",
    "Привет, как дела?",
    "مرحبا بالعالم",
    "🙂🙂🙂 emoji 🚀",
    "a" * 500,
    "word " * 400,
    "The quick brown fox jumps over the lazy dog. " * 40,
    "1234567890 +49 151 23456789",
    "SELECT * FROM messages; DROP TABLE users;",
    "combining e\u0301\u0301 and zero width \u200b space",
    "a lone surrogate \ud800 in the middle",
    "NUL \x00 and tabs\tand\r\nlines",
)


@pytest.fixture(scope="module")
def folder(models_dir: Path) -> Path:
    return models_dir / "all-minilm-l6-v2"


@pytest.fixture
async def embedder(folder: Path, models_dir: Path) -> AsyncIterator[BertEmbedder]:
    engine = BertEmbedder(folder, models_dir / "converted")
    await engine.warm_up()
    yield engine
    await engine.close()


async def test_each_text_gets_a_vector_of_length_one(embedder: BertEmbedder) -> None:
    typed: TextEmbedder = embedder
    vectors = np.array(await typed.embed(TEXTS, Ticket()))
    assert vectors.shape == (len(TEXTS), embedder.dimensions) == (len(TEXTS), 384)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


async def test_what_means_the_same_lies_near(embedder: BertEmbedder) -> None:
    asked, dog, tea = np.array(
        await embedder.embed(["What is my dog called?", "My dog is called Biscuit.", "I like green tea."], Ticket())
    )
    assert asked @ dog > 0.5
    assert asked @ tea < 0.25


async def test_transformers_gives_the_same_vectors(embedder: BertEmbedder, folder: Path) -> None:
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("transformers") is None:
        lacking("PyTorch and transformers are not installed (the extra `transformers`)")
    reference = TransformersEmbedder(folder, device="cpu")
    expected = np.array(await reference.embed(TEXTS, Ticket()))
    await reference.close()
    cosines = (np.array(await embedder.embed(TEXTS, Ticket())) * expected).sum(axis=1)
    assert cosines.min() >= 0.999, dict(zip(TEXTS, cosines, strict=True))


async def test_a_question_does_not_wait_for_a_batch(embedder: BertEmbedder) -> None:
    batch = asyncio.create_task(embedder.embed(["word " * 400] * 20, Ticket()))
    await asyncio.sleep(0.01)
    await embedder.embed(["What is my dog called?"], Ticket(Urgency.INTERIM))
    assert not batch.done()
    batch.cancel()
    await asyncio.gather(batch, return_exceptions=True)


def weights_in(cache: Path) -> Path:
    """The one converted model."""
    (written,) = cache.glob("*/model.bin")
    return written


async def test_weights_are_converted_once(folder: Path, tmp_path: Path) -> None:
    first = BertEmbedder(folder, tmp_path)
    (vector,) = await first.embed(["hello"], Ticket())
    await first.close()
    written = weights_in(tmp_path)
    at = written.stat().st_mtime_ns
    second = BertEmbedder(folder, tmp_path)
    assert await second.embed(["hello"], Ticket()) == [vector]
    await second.close()
    assert written.stat().st_mtime_ns == at


@pytest.mark.parametrize("missing", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named_with_what_to_do(folder: Path, tmp_path: Path, missing: str) -> None:
    broken = tmp_path / "model"
    shutil.copytree(folder, broken, copy_function=lambda source, to: Path(to).symlink_to(source))
    (broken / missing).unlink()
    with pytest.raises(EngineUnavailableError, match="morgan models pull"):
        BertEmbedder(broken, tmp_path / "cache")
