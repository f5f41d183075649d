"""What may hear English on Whisper's first window, by name; apart from it, for onnxruntime takes long to load."""

from typing import Literal

Runtime = Literal["ctranslate2", "onnx"]
