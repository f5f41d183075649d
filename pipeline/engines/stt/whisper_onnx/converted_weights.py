"""The weights in a `model.bin` as CTranslate2's converters write it (`ctranslate2/specs/model_spec.py`).

Version, name and revision of the specification; then the variables: name, dimensions, type and data; all little-endian.
"""

import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, Final

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
        self._file = file
        self._at: dict[str, tuple[Any, tuple[int, ...], int]] = {}
        try:
            with file.open("rb") as opened:
                self._index(opened)
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
        kind, shape, start = self._at[name]
        scale = self[f"{name}_scale"] if f"{name}_scale" in self._at else None
        return Rows(np.memmap(self._file, kind, "r", start, shape), scale)

    def _raw(self, name: str) -> NDArray[Any]:
        kind, shape, start = self._at[name]
        count = int(np.prod(shape, dtype=np.int64))
        # Read and not mapped, because pages of a map that were looked at once count as memory of the process.
        values: NDArray[Any] = np.fromfile(self._file, kind, count, offset=start).reshape(shape)
        return values

    def _layers(self, side: str) -> int:
        return len(
            {name.split("/")[1] for name in self._at if name.startswith(f"{side}/layer_") and "norm" in name}
            - {"layer_norm"}
        )

    def _index(self, file: BinaryIO) -> None:
        file.seek(4)
        name = _string(file)
        if name != "WhisperSpec":
            raise ValueError(f"a {name!r}")
        file.seek(4, os.SEEK_CUR)
        for _ in range(_number(file, "<I")):
            name = _string(file)
            shape = tuple(_number(file, "<I") for _ in range(_number(file, "<B")))
            kind, size = _number(file, "<B"), _number(file, "<I")
            if kind in _TYPES:
                self._at[name] = (_TYPES[kind], shape, file.tell())
            file.seek(size, os.SEEK_CUR)
        if file.tell() > self._file.stat().st_size:
            raise ValueError("its end is missing")


def _number(file: BinaryIO, form: str) -> int:
    return int(struct.unpack(form, file.read(struct.calcsize(form)))[0])


def _string(file: BinaryIO) -> str:
    return file.read(_number(file, "<H"))[:-1].decode()


class Rows:
    """Rows of a matrix that stays in its file."""

    def __init__(self, values: NDArray[Any], scale: Floats | None) -> None:
        self._values = values
        self._scale = scale

    def __getitem__(self, numbers: NDArray[np.int64]) -> Floats:
        """The rows of these numbers as float32, shape (n, width)."""
        rows = self._values[numbers].astype(np.float32)
        return rows if self._scale is None else rows / self._scale[numbers, None]
