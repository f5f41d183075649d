"""Sentence embeddings by transformers: on a GPU, or for models that `bert_embedder` cannot read. An optional extra.

On a CPU it gives the same vectors as `bert_embedder`, for three to five times the memory.
"""

import importlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pipeline.engines.embedding.bert_embedder import CAPACITY, readable
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.scheduling.cores import slots_of
from pipeline.scheduling.lanes import Lane, Ticket

LONGEST = 256
"""Tokens of a text that are read."""


class TransformersEmbedder:
    """A `TextEmbedder` over transformers: mean over the attention mask, then length 1.

    Args:
        folder: a model in the Hugging Face layout.
        device: "cpu", "cuda", "mps"; "auto" takes the GPU where there is one.

    Raises:
        EngineUnavailableError: a package or the model is missing; the message says what to do.
    """

    name = "transformers"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(self, folder: Path, *, device: str = "auto") -> None:
        try:
            # Named at run time, because the type checker's environment need not have them.
            self._torch: Any = importlib.import_module("torch")
            transformers: Any = importlib.import_module("transformers")
        except ImportError as error:
            raise EngineUnavailableError(
                f"{error.name} is not installed: `pip install 'morgan-voice[transformers]'`, or set embedder_engine to "
                "ctranslate2"
            ) from None
        self.model = folder.name
        wanted = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._device = wanted if device == "auto" else device
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
            network = transformers.AutoModel.from_pretrained(str(folder), local_files_only=True)
        except (OSError, ValueError) as error:
            raise EngineUnavailableError(f"{folder} cannot be loaded ({error}): run `morgan models pull`") from error
        self._network = network.to(self._device).eval()
        self.dimensions: int = network.config.hidden_size
        self.lane = Lane("embedder", capacity=CAPACITY, cores=slots_of(self._device))

    async def embed(self, texts: Sequence[str], ticket: Ticket) -> list[list[float]]:
        """Vectors of length 1 and of `dimensions` numbers, one for each text, in order; see `BertEmbedder.embed`."""
        return [await self.lane.run(partial(self._embed, text), ticket) for text in texts]

    async def warm_up(self) -> None:
        """Embed a word."""
        await self.embed(["Hello"], Ticket())

    async def close(self) -> None:
        """Stop the lane."""
        await self.lane.aclose()

    def _embed(self, text: str) -> list[float]:
        torch = self._torch
        given = self._tokenizer([readable(text)], truncation=True, max_length=LONGEST, return_tensors="pt")
        given = given.to(self._device)
        with torch.inference_mode():
            hidden = self._network(**given).last_hidden_state
            mask = given["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
            vector: list[float] = torch.nn.functional.normalize(mean)[0].float().cpu().tolist()
        return vector
