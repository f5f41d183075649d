"""BERT weights in the form that CTranslate2 reads, made once from the published safetensors file.

CTranslate2's own converter needs PyTorch and transformers (some 600 MB on disk) only to read the file; the names of the
tensors are all that is to be known.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline.engines.protocols import EngineUnavailableError

FORMAT = 1
"""Part of the folder's name; to be raised when what is written changes."""

Tensors = dict[str, NDArray[np.float32]]


def encoder_weights(source: Path, cache: Path) -> Path:
    """The folder to load for a model: a copy for CTranslate2, made when it is not there yet (about a second).

    Args:
        source: a folder in the Hugging Face layout: `config.json`, `model.safetensors`, `vocab.txt`.
        cache: folder of the copies.

    Raises:
        EngineUnavailableError: the model is missing, or no BERT that this can read; or the copy cannot be written.
    """
    try:
        weights = source / "model.safetensors"
        copy = cache / f"{source.name}-{weights.stat().st_size}-ctranslate2-{FORMAT}"
        if not (copy / "model.bin").is_file():
            _write(_read(source), copy)
    except FileNotFoundError as error:
        raise EngineUnavailableError(f"{error.filename} is missing: run `morgan models pull`") from None
    except OSError as error:
        raise EngineUnavailableError(f"{cache} cannot be written: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise EngineUnavailableError(f"{source} is no BERT encoder that can be read: {error!r}") from error
    return copy


def _read(source: Path) -> Any:
    # Not above: where PyTorch is installed, this loads it, which takes seconds and is needed only to convert.
    from ctranslate2.specs import common_spec, transformer_spec

    config: dict[str, Any] = json.loads((source / "config.json").read_text())
    if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        raise ValueError(f"model_type {config['model_type']}, hidden_act {config['hidden_act']}")
    tensors: Tensors = load_file(source / "model.safetensors")
    encoder = transformer_spec.TransformerEncoderSpec(
        config["num_hidden_layers"],
        config["num_attention_heads"],
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
        num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD,
    )
    encoder.scale_embeddings = False
    words, kinds = encoder.embeddings
    words.weight = tensors["embeddings.word_embeddings.weight"]
    kinds.weight = tensors["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = tensors["embeddings.position_embeddings.weight"]
    _norm(encoder.layernorm_embedding, tensors, "embeddings.LayerNorm")
    for number, layer in enumerate(encoder.layer):
        _layer(layer, tensors, f"encoder.layer.{number}")
    # The pooling layer of BERT is left out: sentence embeddings are means over the tokens.
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)
    spec.register_vocabulary((source / "vocab.txt").read_text(encoding="utf-8").splitlines())
    spec.config.unk_token = "[UNK]"  # noqa: S105
    spec.config.layer_norm_epsilon = config["layer_norm_eps"]
    spec.validate()
    spec.optimize()
    return spec


def _layer(layer: Any, tensors: Tensors, name: str) -> None:
    attention = layer.self_attention
    inward = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    attention.linear[0].weight = np.concatenate([tensors[f"{part}.weight"] for part in inward])
    attention.linear[0].bias = np.concatenate([tensors[f"{part}.bias"] for part in inward])
    _linear(attention.linear[1], tensors, f"{name}.attention.output.dense")
    _norm(attention.layer_norm, tensors, f"{name}.attention.output.LayerNorm")
    _linear(layer.ffn.linear_0, tensors, f"{name}.intermediate.dense")
    _linear(layer.ffn.linear_1, tensors, f"{name}.output.dense")
    _norm(layer.ffn.layer_norm, tensors, f"{name}.output.LayerNorm")


def _linear(spec: Any, tensors: Tensors, name: str) -> None:
    spec.weight, spec.bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _norm(spec: Any, tensors: Tensors, name: str) -> None:
    spec.gamma, spec.beta = tensors[f"{name}.weight"], tensors[f"{name}.bias"]


def _write(spec: Any, copy: Path) -> None:
    # Under a name of this process, so that two that start together do not write into one another's folder.
    part = copy.with_name(f"{copy.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    try:
        spec.save(str(part))
        part.replace(copy)
    except OSError:
        # The other one may have been faster.
        if not (copy / "model.bin").is_file():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
