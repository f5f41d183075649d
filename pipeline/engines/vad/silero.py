"""Voice activity by Silero VAD (https://github.com/snakers4/silero-vad), ONNX, 16 kHz.

The model hears 512 new samples (32 ms) together with the 64 before them and carries an LSTM state from window to
window. A window costs about 0.1 ms, less than a hop to another thread, so it runs in place. On a GPU (an H200) it took
five times as long, so there is no way to run it there.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime

from pipeline.audio import HEARING_RATE, Waveform
from pipeline.engines.onnx_session import open_session
from pipeline.engines.protocols import EngineUnavailableError

WINDOW = 512
"""Samples that `SileroStream.probability` takes: 32 ms at 16 kHz."""

_CONTEXT = 64
_STATE = (2, 1, 128)
# The 16 kHz build gives the same numbers as the full one, is half as large and loads in half the time.
_FILES = ("silero_vad_16k_op15.onnx", "silero_vad.onnx")


class SileroStream:
    """Voice activity of one call.

    All buffers are bound once. Two bindings take turns, each reading the state that the other has written, so that
    nothing is copied but the samples.
    """

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._input = np.zeros((1, _CONTEXT + WINDOW), np.float32)
        self._output = np.zeros((1, 1), np.float32)
        self._rate = np.array(HEARING_RATE, np.int64)
        self._states = (np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32))
        self._bindings = (self._bind(*self._states), self._bind(*self._states[::-1]))
        self._turn = 0

    def probability(self, window: Waveform) -> float:
        """Speech probability (0 to 1) of the next 512 samples at 16 kHz.

        Raises:
            ValueError: the window has another length.
        """
        if window.shape != (WINDOW,):
            raise ValueError(f"a window has {WINDOW} samples at 16 kHz, not {window.shape}")
        samples = self._input[0]
        samples[:_CONTEXT] = samples[WINDOW:]
        samples[_CONTEXT:] = window
        self._session.run_with_iobinding(self._bindings[self._turn])
        self._turn ^= 1
        return float(self._output[0, 0])

    def reset(self) -> None:
        """Forget what was heard."""
        self._input.fill(0)
        for state in self._states:
            state.fill(0)
        self._turn = 0

    def _bind(self, state: np.ndarray, next_state: np.ndarray) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        for name, array in (("input", self._input), ("state", state), ("sr", self._rate)):
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for name, array in (("output", self._output), ("stateN", next_state)):
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding


class SileroVad:
    """Silero VAD behind `pipeline.engines.protocols.VoiceActivityDetector`.

    Args:
        folder: holds `silero_vad_16k_op15.onnx` or `silero_vad.onnx`.

    Raises:
        EngineUnavailableError: neither file is there, or it is not the model.
    """

    name = "silero"
    kind: Literal["in-process", "remote"] = "in-process"

    def __init__(self, folder: Path) -> None:
        self.model = folder.name
        path = next((folder / file for file in _FILES if (folder / file).is_file()), folder / _FILES[0])
        self._session = open_session(path)
        if not {"input", "state", "sr"} <= {tensor.name for tensor in self._session.get_inputs()}:
            raise EngineUnavailableError(f"{path} is not Silero VAD 5 or newer: run `morgan models pull`")

    def open_stream(self) -> SileroStream:
        """A stream for one call."""
        return SileroStream(self._session)

    async def warm_up(self) -> None:
        """Hear one window of silence."""
        self.open_stream().probability(np.zeros(WINDOW, np.float32))

    async def close(self) -> None:
        """Nothing to give back: the session goes with its last stream."""
