"""Whisper on onnxruntime: 8-bit graphs made from CTranslate2's weights, and decoding that a draft makes short."""
