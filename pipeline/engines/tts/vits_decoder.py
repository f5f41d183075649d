"""A VITS voice that begins to sound before all of it is decoded.

A VITS model first settles the whole of a clause (phonemes, lengths, flow), which is a third of its work, and then turns
frames into sound. The second half is a stack of convolutions: what a frame sounds like depends on the `CONTEXT` frames
around it alone, so it can be run window by window, and the sound is the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.utils
from numpy.typing import NDArray

from pipeline.engines.onnx_session import open_session
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.engines.tts.speech_edges import Part

CONTEXT = 12
"""Frames on either side that a frame's sound depends on: with 12 of them no sample differs by more than 1e-6 of full
level from the sound of the whole, with 8 by 8e-4."""

FIRST = 32
"""Frames of the first window, 0.37 s in a voice of 22,050 Hz: decoded in a third of the time of a short clause, and
heard for longer than the rest of it takes."""

LATER = 128
"""Frames of the windows that follow."""

_DECODER_NODE = "/dec/conv_pre/Conv"
_DURATIONS = "/Ceil_output_0"
_SPEAKER = "sid"


class VitsDecoder:
    """A voice file cut in two where its frames are settled; one that is built otherwise is run whole.

    Args:
        file: a VITS model as Piper exports it.
        hop: samples of a frame.
        threads: threads inside one run.
        device: "cpu" or "cuda".

    Raises:
        EngineUnavailableError: the file cannot be read.
    """

    def __init__(self, file: Path, hop: int, threads: int, device: str = "cpu") -> None:
        self._hop = hop
        try:
            model = onnx.load(file)
        except Exception as error:  # protobuf, onnx and the file system have types of their own for a broken file
            raise EngineUnavailableError(
                f"{file} cannot be read ({error}): run `morgan models verify` and pull it again"
            ) from error
        halves = _cut(model)
        self._frames = halves.frames if halves else ""
        front = halves.front if halves else file
        self._front = open_session(front, threads=threads, label=str(file), device=device)
        self._back = open_session(halves.back, threads=threads, label=str(file), device=device) if halves else None

    def settle(self, feeds: dict[str, Any]) -> "Settled":
        """Decide on every sound of a clause.

        Args:
            feeds: the model's inputs.
        """
        if self._back is None:
            return Settled(None, iter([Part(self._front.run(None, feeds)[0].reshape(-1), last=True)]))
        frames, lengths = self._front.run([self._frames, _DURATIONS], feeds)
        wanted = {given.name for given in self._back.get_inputs()} - {self._frames}
        return Settled(lengths.reshape(-1), self._decode(frames, {name: feeds[name] for name in wanted}))

    def _decode(self, frames: NDArray[np.float32], feeds: dict[str, Any]) -> Iterator[Part]:
        assert self._back is not None
        count = frames.shape[2]
        for start, end in windows(count):
            begin, stop = max(0, start - CONTEXT), min(count, end + CONTEXT)
            sound = self._back.run(None, {self._frames: frames[:, :, begin:stop], **feeds})[0].reshape(-1)
            yield Part(sound[(start - begin) * self._hop : (end - begin) * self._hop], last=end == count)


@dataclass(frozen=True, slots=True)
class Settled:
    """A clause of which every sound is decided.

    Attributes:
        lengths: frames of each phoneme id; None where the model does not say.
        sound: made as it is asked for, in windows that follow each other without a seam.
    """

    lengths: NDArray[np.float32] | None
    sound: Iterator[Part]


def windows(count: int) -> list[tuple[int, int]]:
    """Where to part `count` frames: a short first window, no last one that is shorter than the first, or than half of
    the others where there are several."""
    if count <= 2 * FIRST:
        return [(0, count)]
    edges = [0, FIRST]
    while count - edges[-1] > LATER * 3 // 2:
        edges.append(edges[-1] + LATER)
    return list(zip(edges, [*edges[1:], count], strict=True))


@dataclass(frozen=True, slots=True)
class _Halves:
    front: bytes
    back: bytes
    frames: str
    """Name of the tensor that goes from one to the other."""


def _cut(model: onnx.ModelProto) -> _Halves | None:
    """The two halves as models of their own."""
    made = {output for node in model.graph.node for output in node.output}
    inputs = [node.input[0] for node in model.graph.node if node.name == _DECODER_NODE]
    if len(inputs) != 1 or _DURATIONS not in made:
        return None
    frames, extractor = inputs[0], onnx.utils.Extractor(model)
    given = [tensor.name for tensor in model.graph.input]
    front = extractor.extract_model(given, [frames, _DURATIONS])
    # In a voice of several speakers the second half, too, asks who speaks.
    speaker = [name for name in given if name == _SPEAKER]
    back = extractor.extract_model([frames, *speaker], [output.name for output in model.graph.output])
    return _Halves(front.SerializeToString(), back.SerializeToString(), frames)
