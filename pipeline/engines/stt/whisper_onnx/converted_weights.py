"""The weights in a `model.bin` as CTranslate2's converters write it (`ctranslate2/specs/model_spec.py`).

Version, name and revision of the specification; then the variables: name, dimensions, type and data; all little-endian.
"""

import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TYPES: Final = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""By the number that stands for them; 5 is bfloat16, which NumPy does not have."""

_GELU: Final = 3


class UnknownWeightsError(ValueError):
    """The file is none that the graphs can be made from; the message says why."""


class ConvertedWeights:
    """Variables of Whisper by name, read when they are asked for.

    Args:
        file: `model.bin`.

    Attributes:
        width: of the model's states.
        heads: of its attention.
        bands: of its mel spectrum.
        encoder_layers: how many.
        decoder_layers: how many.
        words: size of the vocabulary.

    Raises:
        UnknownWeightsError: it is not Whisper's, or cannot be read.
        OSError: likewise.
    """

    def __init__(self, file: Path) -> None:
        self._at: dict[str, tuple[Any, tuple[int, ...], int]] = {}
        try:
            self._data: NDArray[np.uint8] = np.memmap(file, np.uint8, "r")
            self._index()
            self.width, self.bands, _ = self.shape("encoder/conv1/weight")
            self.heads = int(self._raw("decoder/num_heads"))
            self.words = self.shape("decoder/embeddings/weight")[0]
            self.encoder_layers, self.decoder_layers = self._layers("encoder"), self._layers("decoder")
            known = int(self._raw("decoder/activation")) == _GELU and bool(self._raw("decoder/pre_norm"))
        except (KeyError, IndexError, ValueError, struct.error) as error:
            raise UnknownWeightsError(f"{file} is not laid out as Whisper's weights are: {error!r}") from error
        if not known or self.width % self.heads or self.bands > self.width:
            raise UnknownWeightsError(f"{file} holds another kind of Whisper")

    def shape(self, name: str) -> tuple[int, ...]:
        """Dimensions of a variable."""
        return self._at[name][1]

    def __getitem__(self, name: str) -> Floats:
        """A variable as float32; rows that are kept in 8 bits are spread again by their scale."""
        values: Floats = np.zeros(self.shape(name), np.float32)
        values += self._raw(name)
        if f"{name}_scale" in self._at:
            np.divide(values.T, self[f"{name}_scale"], out=values.T)
        return values

    def rows(self, name: str) -> "Rows":
        """The rows of a matrix, read as they are asked for."""
        scale = self._at.get(f"{name}_scale")
        return Rows(self._raw(name), None if scale is None else self._raw(f"{name}_scale"))

    def _raw(self, name: str) -> NDArray[Any]:
        kind, shape, start = self._at[name]
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
        values: NDArray[Any] = self._data[start : start + size].view(kind).reshape(shape)
        return values

    def _layers(self, side: str) -> int:
        return len(
            {name.split("/")[1] for name in self._at if name.startswith(f"{side}/layer_") and "norm" in name}
            - {"layer_norm"}
        )

    def _index(self) -> None:
        place = 4
        name, place = self._string(place)
        if name != "WhisperSpec":
            raise ValueError(f"a {name!r}")
        count, place = self._number("<I", place + 4)
        for _ in range(count):
            name, place = self._string(place)
            rank, place = self._number("<B", place)
            shape = struct.unpack_from(f"<{rank}I", self._data.data, place)
            kind, place = self._number("<B", place + 4 * rank)
            size, place = self._number("<I", place)
            if kind in _TYPES:
                self._at[name] = (_TYPES[kind], shape, place)
            place += size
        if place > self._data.size:
            raise ValueError("its end is missing")

    def _number(self, form: str, place: int) -> tuple[int, int]:
        return int(struct.unpack_from(form, self._data.data, place)[0]), place + struct.calcsize(form)

    def _string(self, place: int) -> tuple[str, int]:
        size, place = self._number("<H", place)
        return bytes(self._data[place : place + size - 1]).decode(), place + size


class Rows:
    """Rows of a matrix that stays in its file."""

    def __init__(self, values: NDArray[Any], scale: NDArray[Any] | None) -> None:
        self._values = values
        self._scale = scale

    def __getitem__(self, numbers: NDArray[np.int64]) -> Floats:
        """The rows of these numbers as float32, shape (n, width)."""
        rows = self._values[numbers].astype(np.float32)
        return rows if self._scale is None else rows / self._scale[numbers].astype(np.float32)[:, None]
