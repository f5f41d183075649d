"""Sentence embeddings by a BERT encoder on CTranslate2: all-MiniLM-L6-v2 and its like.

Same vectors as transformers' (cosine above 0.99999), with the library that Whisper needs anyway, in place of PyTorch.
In int8 the vectors of odd texts would turn by up to 12 degrees (cosine 0.976), so the weights stay in float32.
"""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import ctranslate2
import numpy as np
from tokenizers import Tokenizer

from pipeline.engines.device import Placement, placed
from pipeline.engines.embedding.bert_weights import encoder_weights
from pipeline.engines.protocols import EngineError, EngineUnavailableError
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket

CAPACITY = 256
"""Texts that may wait; one more raises `LaneFullError`."""

_CPU: Final = ctranslate2.Device.cpu
_TRIED: Final = "What did we say about the weather in Paris last week?"

LONGEST_CHARS = 20_000
"""Of a text, what lies beyond is not even looked at: 256 tokens are far fewer characters."""


class BertEmbedder:
    """A `TextEmbedder` over CTranslate2, one thread.

    Each text is a job of its own in the lane (4 ms for a sentence, 80-100 ms for 256 tokens), so that a question's
    vector does not wait for a batch.

    Args:
        folder: a model in the Hugging Face layout, mean pooling.
        cache: where the converted weights are kept.
        device: "cpu", "cuda", or "auto" for the quicker one.
        compute_type: as CTranslate2 names them.

    Raises:
        EngineUnavailableError: the model is missing or unusable; the message says what to do.
    """

    name = "ctranslate2"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(self, folder: Path, cache: Path, *, device: str = "cpu", compute_type: str = "float32") -> None:
        self.model = folder.name
        weights = encoder_weights(folder, cache)
        self._tokenizer = load_tokenizer(folder)
        self.lane = Lane("embedder", capacity=CAPACITY)
        try:
            # In the lane, because CTranslate2's own threads inherit the niceness of the thread that starts them.
            self._encoder, self._placement = self.lane.call(partial(self._load, weights, device, compute_type))
        except EngineUnavailableError:
            self.lane.close()
            raise
        except Exception as error:  # a broken model shows as RuntimeError, ValueError or a plain Exception
            self.lane.close()
            raise EngineUnavailableError(f"{weights} cannot be loaded ({error}): delete it and start again") from error
        self.lane = self.lane.among(slots_of(self._placement.device), workers=1)
        self.dimensions: int = json.loads((folder / "config.json").read_text())["hidden_size"]

    @property
    def configuration(self) -> dict[str, Any]:
        """Where it computes, for health."""
        return self._placement.configuration

    async def embed(self, texts: Sequence[str], ticket: Ticket) -> list[list[float]]:
        """Vectors of length 1 and of `dimensions` numbers, one for each text, in order.

        Raises:
            EngineError: a text could not be embedded.
            LaneFullError, LaneClosedError: too much waits, or the engine was closed.
        """
        return [await self.lane.run(partial(self._embed, text), ticket) for text in texts]

    async def warm_up(self) -> None:
        """Embed a word."""
        await self.embed(["Hello"], Ticket())

    async def close(self) -> None:
        """Stop the lane and give the memory of the weights back."""
        await self.lane.aclose()
        self._encoder.unload_model()

    def _load(self, weights: Path, device: str, compute_type: str) -> tuple[Any, Placement]:
        def load(where: str) -> Any:
            return ctranslate2.Encoder(str(weights), device=where, compute_type=compute_type, intra_threads=1)

        ids = self._tokenizer.encode(_TRIED).ids
        return placed(
            "the embedder",
            device,
            load,
            lambda encoder: np.asarray(encoder.forward_batch([ids]).last_hidden_state.to_device(_CPU)),
            discard=lambda encoder: encoder.unload_model(),
        )

    def _embed(self, text: str) -> list[float]:
        """One vector, in the lane."""
        ids = self._tokenizer.encode(readable(text)).ids
        try:
            states = self._encoder.forward_batch([ids]).last_hidden_state
            hidden = np.asarray(states.to_device(_CPU), np.float32)[0]
        except RuntimeError as error:
            raise EngineError(f"{self.model} could not embed a text: {error}") from error
        # One text is one sequence without padding: the mean over its attention mask is the mean.
        mean = hidden.mean(axis=0)
        return [float(value) for value in mean / max(float(np.linalg.norm(mean)), 1e-12)]


def readable(text: str) -> str:
    """A text as the tokenizers take it: no lone surrogates, not endless."""
    return text[:LONGEST_CHARS].encode("utf-8", "replace").decode()


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a sentence model, cutting at the length that the model was made for.

    Raises:
        EngineUnavailableError: a file is missing or broken.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        longest: int = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
    except Exception as error:  # tokenizers raises plain exceptions
        raise EngineUnavailableError(f"{folder} lacks files ({error}): run `morgan models pull`") from error
    # The file comes with a padding and a cut that were those of its makers' training.
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer
