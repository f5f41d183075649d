"""Transcriptions of several calls at once as one batch on a GPU."""

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import ctranslate2
import numpy as np

MOST: Final = 16
"""Windows of a batch."""


class BatchedWhisper:
    """A `ctranslate2.models.Whisper` that computes what several threads ask of it together.

    Nothing waits for company: what is asked for while the GPU is busy is computed together once it is free. All else
    that the model can is left to it, one after the other.

    Args:
        model: on a GPU.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._queue = _Batches()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features: Any) -> Any:
        """The states of one window, shape (1, n, d), in the memory of the CPU."""
        given = np.asarray(features)

        def together(windows: Sequence[Any]) -> list[Any]:
            states = self._model.encode(ctranslate2.StorageView.from_array(np.concatenate(windows)), to_cpu=True)
            return list(np.asarray(states)[:, None])

        return ctranslate2.StorageView.from_array(self._queue.run(("encode", given.shape), given, together))

    def generate(self, encoded: Any, prompts: Sequence[list[int]], **options: Any) -> list[Any]:
        """The tokens of one encoding; `max_length` is that of the longest in the batch."""
        (prompt,) = prompts
        states, longest = np.asarray(encoded), options.pop("max_length")

        def together(asked: Sequence[Any]) -> list[Any]:
            stacked = ctranslate2.StorageView.from_array(np.concatenate([states for states, _, _ in asked]))
            most = max(length for _, _, length in asked)
            return list(self._model.generate(stacked, [prompt for _, prompt, _ in asked], max_length=most, **options))

        # CTranslate2 wants the text to begin at the same place in all of a batch.
        alike = ("generate", states.shape, len(prompt), prompt[-1], str(options))
        return [self._queue.run(alike, (states, prompt, longest), together)]


class _Batches:
    """Computes like calls of several threads together, one batch of a kind at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: dict[Hashable, _Kind] = {}

    def run(self, alike: Hashable, given: Any, together: Callable[[Sequence[Any]], Sequence[Any]]) -> Any:
        """What a call gives.

        Args:
            alike: calls of the same can be computed together.
            given: what it is about.
            together: computes several, in order.
        """
        asked = _Asked(given)
        with self._lock:
            kind = self._kinds.setdefault(alike, _Kind())
            kind.waiting.append(asked)
        while not asked.done:
            with kind.turn:
                # By now, the one whose turn it was may have computed this one too.
                if not asked.done:
                    self._compute(kind, together)
        if asked.error is not None:
            raise asked.error
        return asked.result

    def _compute(self, kind: "_Kind", together: Callable[[Sequence[Any]], Sequence[Any]]) -> None:
        with self._lock:
            batch, kind.waiting = kind.waiting[:MOST], kind.waiting[MOST:]
        try:
            for asked, result in zip(batch, together([asked.given for asked in batch]), strict=True):
                asked.result = result
        except Exception as error:  # what CTranslate2 raises is told to each of them
            for asked in batch:
                asked.error = error
        for asked in batch:
            asked.done = True


@dataclass(slots=True)
class _Asked:
    given: Any
    result: Any = None
    error: Exception | None = None
    done: bool = False


@dataclass(slots=True)
class _Kind:
    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[_Asked] = field(default_factory=list)
