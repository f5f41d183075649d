"""Whisper on onnxruntime: states of a window with the silence behind them, and greedy decoding with a draft."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from pipeline.engines.log_mel import Features, whisper_features
from pipeline.engines.onnx_session import open_session
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.stt.encoded_silence import LONGEST_FRAMES, silent_stretch, spoken
from pipeline.engines.stt.whisper_onnx.converted_weights import ConvertedWeights, Floats, UnknownWeightsError
from pipeline.engines.stt.whisper_onnx.drafted_decoding import Decoded, TokenRules, decode
from pipeline.engines.stt.whisper_onnx.graph_files import whisper_graphs
from pipeline.engines.stt.whisper_onnx.names import (
    EMBEDDED,
    FEATURES,
    KEYS,
    LOGITS,
    MASK,
    NEXT_KEYS,
    NEXT_VALUES,
    PAST_KEYS,
    PAST_VALUES,
    ROWS,
    SILENT_KEYS,
    SILENT_VALUES,
    STATES,
    VALUES,
)
from pipeline.processor import int8_sums_overflow, return_free_memory

Tensor = Any
"""An `onnxruntime.OrtValue`, which bindings take without a copy."""

_START: Final = "<|startoftranscript|>"
_END: Final = "<|endoftext|>"
_NO_SPEECH: Final = ("<|nospeech|>", "<|nocaptions|>")
_MASKED: Final = np.float32(-1e9)


Ranking = list[tuple[str, float]]
"""ISO 639-1 codes and probabilities, best first."""


class AnotherLanguageError(Exception):
    """A window that is not to be read as it was to be."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One window as the decoder attends to it.

    Attributes:
        states: of the encoder, without the silence that was known, shape (n, width).
        attended: keys and values by the names of the decoder's inputs.
    """

    states: Floats
    attended: dict[str, Tensor]


class OnnxWhisper:
    """The model in 8 bits on the CPU. Thread-safe: each run is on the caller's thread, and the weights are shared.

    Args:
        folder: a model converted for CTranslate2.
        vocabulary: its `tokenizers.Tokenizer`.
        threads: inside one run.
        cache: where the graphs are kept; None to make them anew.

    Attributes:
        bands: of the mel spectrum.

    Raises:
        EngineUnavailableError: these weights cannot be computed so.
    """

    def __init__(self, folder: Path, vocabulary: Any, *, threads: int = 1, cache: Path | None = None) -> None:
        graphs = whisper_graphs(folder, cache, unsigned=int8_sums_overflow())
        self._encoder = open_session(graphs.encoder, threads=threads, label=f"the encoder of {folder}", patterns=False)
        self._decoder = open_session(graphs.decoder, threads=threads, label=f"the decoder of {folder}", patterns=False)
        del graphs
        return_free_memory()
        try:
            weights = ConvertedWeights(folder / "model.bin")
            told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            ids = {mark: vocabulary.token_to_id(mark) for mark in (_START, _END, *_NO_SPEECH)}
            self._start, end = int(ids[_START]), int(ids[_END])
            self._no_speech = int(next(ids[mark] for mark in _NO_SPEECH if ids[mark] is not None))
            self._languages = [(int(each), str(vocabulary.id_to_token(each))[2:-2]) for each in told["lang_ids"] or ()]
            never = [each for each in told["suppress_ids"] or () if each >= 0]
            self._rules = TokenRules(end, np.array(never, np.int64), np.array(told["suppress_ids_begin"], np.int64))
        except (OSError, KeyError, TypeError, ValueError, StopIteration, UnknownWeightsError) as error:
            raise EngineUnavailableError(f"{folder} is no Whisper that can be read: {error!r}") from error
        self.bands = weights.bands
        self._layers = range(weights.decoder_layers)
        self._embeddings = weights.rows("decoder/embeddings/weight")
        self._positions = weights["decoder/position_encodings/encodings"]
        self._head = weights.heads, weights.width // weights.heads
        self._outputs = [output.name for output in self._decoder.get_outputs()]
        self._preparing = threading.Lock()
        self._silence: dict[str, Floats] | None = None
        none = self._empty()
        self._unheard = {f"{name}{n}": none[name] for n in self._layers for name in (PAST_KEYS, PAST_VALUES)}

    def prepare(self) -> None:
        """Encode the silence that follows speech, once; costs what a full window does."""
        with self._preparing:
            if self._silence is None:
                self._silence = self._encoded(whisper_features(spoken(), LONGEST_FRAMES, self.bands), shrink=True)
                self._silence.pop(STATES)

    def hear(self, features: Features, known_s: float) -> Heard:
        """Encode one window.

        Args:
            features: log-mel values, shape (bands, frames), an even number of them.
            known_s: seconds of known silence behind it; less where the full window ends sooner.
        """
        self.prepare()
        assert self._silence is not None
        heard = self._encoded(features)
        states = heard.pop(STATES)
        part = silent_stretch(states.shape[0], known_s)
        attended = {name: _tensor(values) for name, values in heard.items()}
        for n in self._layers:
            keys, values = self._silence[f"{KEYS}{n}"], self._silence[f"{VALUES}{n}"]
            attended[f"{SILENT_KEYS}{n}"] = _tensor(keys[:, :, part])
            attended[f"{SILENT_VALUES}{n}"] = _tensor(values[:, part])
        return Heard(states, attended)

    def languages_of(self, heard: Heard) -> Ranking:
        """The languages of a window, by a pass of its own."""
        (logits,) = _Passes(self, heard).run([self._start], [0])
        return self._ranked(logits)

    def _ranked(self, logits: Floats) -> Ranking:
        """Those of the logits behind the start of a transcript, shape (words,)."""
        shares = _softmax(logits[[token for token, _ in self._languages]])
        ranked = sorted(zip(shares.tolist(), self._languages, strict=True), reverse=True)
        return [(code, probability) for probability, (_, code) in ranked]

    def decode(
        self,
        heard: Heard,
        start: Sequence[int],
        most: int,
        draft: Sequence[int] = (),
        accept: Callable[[Ranking], bool] | None = None,
    ) -> Decoded:
        """The likeliest token after the likeliest token.

        Args:
            heard: the window.
            start: tokens before the text; among them that of the start of a transcript.
            most: tokens.
            draft: a guess at the text.
            accept: asked after the first pass whether to go on, given the languages that the window may be in.

        Raises:
            AnotherLanguageError: it is not to go on. Of a text with a prompt they are asked by a pass of their own.
        """
        place = list(start).index(self._start)
        if accept is not None and place:
            if not accept(self.languages_of(heard)):
                raise AnotherLanguageError
            accept = None
        passes = _Passes(self, heard, place, accept)
        tokens, log_probability, count = decode(passes.run, passes.forget, start, self._rules, most, draft)
        no_speech = float(_softmax(passes.looked_at)[self._no_speech])
        return Decoded(tokens, log_probability, no_speech, count)

    def _encoded(self, features: Features, *, shrink: bool = False) -> dict[str, Floats]:
        options = onnxruntime.RunOptions()
        if shrink:
            # The memory that a full window takes is not needed again.
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        names = [output.name for output in self._encoder.get_outputs()]
        return dict(zip(names, self._encoder.run(names, {FEATURES: features[None]}, options), strict=True))

    def _empty(self) -> dict[str, Tensor]:
        heads, d = self._head
        keys, values = np.zeros((heads, d, 0), np.float32), np.zeros((heads, 0, d), np.float32)
        return {PAST_KEYS: _tensor(keys), PAST_VALUES: _tensor(values)}


class _Passes:
    """Passes of the decoder over one window. Tokens that are forgotten stay in the cache and are attended to no more.

    Args:
        model: whose decoder.
        heard: the window.
        look_at: place of the first pass's tokens whose logits are kept.
        accept: see `OnnxWhisper.decode`.

    Attributes:
        looked_at: these, shape (words,).
    """

    def __init__(
        self,
        model: OnnxWhisper,
        heard: Heard,
        look_at: int | None = None,
        accept: Callable[[Ranking], bool] | None = None,
    ) -> None:
        self._model = model
        self._accept = accept
        self._binding = model._decoder.io_binding()
        for name, tensor in (*heard.attended.items(), *model._unheard.items()):
            self._binding.bind_ortvalue_input(name, tensor)
        self._said: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._look_at = look_at
        self.looked_at: Floats = np.zeros(0, np.float32)

    def run(self, tokens: Sequence[int], places: Sequence[int]) -> Floats:
        """See `drafted_decoding.Pass`."""
        looked = [] if self._look_at is None or self._said.size else [self._look_at]
        given = np.array(tokens, np.int64)
        first = int(np.count_nonzero(self._said))
        embedded = self._model._embeddings[given] + self._model._positions[first : first + given.size]
        self._said = np.concatenate([self._said, np.ones(given.size, np.bool_)])
        self._binding.bind_cpu_input(EMBEDDED, embedded)
        self._binding.bind_cpu_input(MASK, self._mask(given.size))
        self._binding.bind_cpu_input(ROWS, np.array([*looked, *places], np.int64))
        for name in self._model._outputs:
            self._binding.bind_output(name, "cpu")
        self._model._decoder.run_with_iobinding(self._binding)
        made = dict(zip(self._model._outputs, self._binding.get_outputs(), strict=True))
        logits: Floats = made[LOGITS].numpy()
        for n in self._model._layers:
            self._binding.bind_ortvalue_input(f"{PAST_KEYS}{n}", made[f"{NEXT_KEYS}{n}"])
            self._binding.bind_ortvalue_input(f"{PAST_VALUES}{n}", made[f"{NEXT_VALUES}{n}"])
        if looked:
            self.looked_at, logits = logits[0], logits[1:]
            if self._accept is not None and not self._accept(self._model._ranked(self.looked_at)):
                raise AnotherLanguageError
        return logits

    def forget(self, count: int) -> None:
        """So many of the tokens that came last were not said."""
        self._said[self._said.size - count :] = False

    def _mask(self, given: int) -> Floats:
        """What each of the new tokens may attend to, as an addition to its scores: what was said before it."""
        past = self._said.size - given
        mask = np.zeros((given, self._said.size), np.float32)
        mask[:, :past][:, ~self._said[:past]] = _MASKED
        mask[:, past:][np.triu_indices(given, 1)] = _MASKED
        return mask


def _tensor(values: Floats) -> Tensor:
    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(values))


def _softmax(logits: Floats) -> Floats:
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum(), np.float32)
