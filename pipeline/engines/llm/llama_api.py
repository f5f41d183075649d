"""The functions of `llama.h` that Morgan calls, out of the prebuilt wheel `xllamacpp`.

The wheel brings llama.cpp as one shared library that is a Python module too; that module offers a whole server, whose
slots know no urgency, and is left alone. Structures are laid out as in the llama.cpp of that very version (b11549):
they change between versions without a word, so another version of the package is refused.
"""

import ctypes
import functools
import importlib.metadata
import importlib.util
import os
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int8, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

from pipeline.engines.protocols import EngineUnavailableError

VERSION = "2026.10.11549"
"""Of the package whose structures these are; pyproject.toml names the same."""

VOCAB_TYPE_BPE = 2
FLASH_ATTENTION_OFF = 0
ERROR_LEVEL = 4
RANDOM_SEED = 0xFFFFFFFF

_REMEDY = (
    "install it with `pip install 'morgan-voice[llama]'`, or set an OpenAI-compatible endpoint for the language model"
)


class ModelParams(ctypes.Structure):
    """`llama_model_params`."""

    _fields_ = (
        ("devices", c_void_p),
        ("tensor_buft_overrides", c_void_p),
        ("n_gpu_layers", c_int32),
        ("split_mode", c_int32),
        ("load_mode", c_int32),
        ("lazy_mode", c_int32),
        ("main_gpu", c_int32),
        ("tensor_split", c_void_p),
        ("progress_callback", c_void_p),
        ("progress_callback_user_data", c_void_p),
        ("kv_overrides", c_void_p),
        ("vocab_only", c_bool),
        ("check_tensors", c_bool),
        ("use_extra_bufts", c_bool),
        ("no_host", c_bool),
        ("no_alloc", c_bool),
        ("load_mtp", c_bool),
    )


class ContextParams(ctypes.Structure):
    """`llama_context_params`."""

    _fields_ = (
        ("n_ctx", c_uint32),
        ("n_batch", c_uint32),
        ("n_ubatch", c_uint32),
        ("n_seq_max", c_uint32),
        ("n_rs_seq", c_uint32),
        ("n_outputs_max", c_uint32),
        ("n_outputs_max_per_seq", c_uint32),
        ("n_threads", c_int32),
        ("n_threads_batch", c_int32),
        ("ctx_type", c_int32),
        ("rope_scaling_type", c_int32),
        ("pooling_type", c_int32),
        ("attention_type", c_int32),
        ("flash_attn_type", c_int32),
        ("rope_freq_base", c_float),
        ("rope_freq_scale", c_float),
        ("yarn_ext_factor", c_float),
        ("yarn_attn_factor", c_float),
        ("yarn_beta_fast", c_float),
        ("yarn_beta_slow", c_float),
        ("yarn_orig_ctx", c_uint32),
        ("defrag_thold", c_float),
        ("cb_eval", c_void_p),
        ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32),
        ("type_v", c_int32),
        ("moe_cache_size", c_size_t),
        ("abort_callback", c_void_p),
        ("abort_callback_data", c_void_p),
        ("embeddings", c_bool),
        ("offload_kqv", c_bool),
        ("no_perf", c_bool),
        ("op_offload", c_bool),
        ("swa_full", c_bool),
        ("kv_unified", c_bool),
        ("samplers", c_void_p),
        ("n_samplers", c_size_t),
        ("ctx_other", c_void_p),
    )


class SamplerChainParams(ctypes.Structure):
    """`llama_sampler_chain_params`."""

    _fields_ = (("no_perf", c_bool),)


class Batch(ctypes.Structure):
    """`llama_batch`: tokens, each with its position and sequences, in arrays of C's."""

    _fields_ = (
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    )


class TokenData(ctypes.Structure):
    """`llama_token_data`: a candidate for the next token."""

    _fields_ = (("id", c_int32), ("logit", c_float), ("p", c_float))


class TokenDataArray(ctypes.Structure):
    """`llama_token_data_array`: the candidates that a sampler chooses from."""

    _fields_ = (("data", POINTER(TokenData)), ("size", c_size_t), ("selected", c_int64), ("sorted", c_bool))


LogCallback = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)

# Name: (what it returns, what it takes). Models, vocabularies, contexts, memories and samplers are plain pointers.
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_log_set": (None, (LogCallback, c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_model_n_ctx_train": (c_int32, (c_void_p,)),
    "llama_model_chat_template": (c_char_p, (c_void_p, c_char_p)),
    "llama_model_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_type": (c_int32, (c_void_p,)),
    "llama_vocab_bos": (c_int32, (c_void_p,)),
    "llama_vocab_eos": (c_int32, (c_void_p,)),
    "llama_vocab_get_add_bos": (c_bool, (c_void_p,)),
    "llama_vocab_get_text": (c_char_p, (c_void_p, c_int32)),
    "llama_vocab_is_control": (c_bool, (c_void_p, c_int32)),
    "llama_vocab_is_eog": (c_bool, (c_void_p, c_int32)),
    "llama_token_to_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_context_default_params": (ContextParams, ()),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_set_n_threads": (None, (c_void_p, c_int32, c_int32)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_memory_seq_cp": (None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_batch_free": (None, (Batch,)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits_ith": (POINTER(c_float), (c_void_p, c_int32)),
    "llama_sampler_chain_default_params": (SamplerChainParams, ()),
    "llama_sampler_chain_init": (c_void_p, (SamplerChainParams,)),
    "llama_sampler_chain_add": (None, (c_void_p, c_void_p)),
    "llama_sampler_init_penalties": (c_void_p, (c_int32, c_int32, c_float, c_float, c_float)),
    "llama_sampler_init_greedy": (c_void_p, ()),
    "llama_sampler_init_top_k": (c_void_p, (c_int32,)),
    "llama_sampler_init_top_p": (c_void_p, (c_float, c_size_t)),
    "llama_sampler_init_temp": (c_void_p, (c_float,)),
    "llama_sampler_init_dist": (c_void_p, (c_uint32,)),
    "llama_sampler_apply": (None, (c_void_p, POINTER(TokenDataArray))),
    "llama_sampler_accept": (None, (c_void_p, c_int32)),
    "llama_sampler_free": (None, (c_void_p,)),
}


class Log:
    """Keeps llama.cpp off the console; its last error goes into our own messages.

    Attributes:
        verbose: let llama.cpp print after all.
        last_error: its last line that was one.
    """

    def __init__(self) -> None:
        self.verbose = False
        self.last_error = ""
        # llama.cpp keeps a pointer to it for as long as the process lives.
        self.callback = LogCallback(self._on_line)

    def _on_line(self, level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace")
        if level == ERROR_LEVEL:
            self.last_error = line.strip()
        if self.verbose:
            print(line, end="", flush=True)  # noqa: T201 - asked for


LOG = Log()


def load_library(verbose: bool = False) -> Any:
    """llama.cpp: the shared library, its functions with what they take and return.

    Args:
        verbose: let it print its log from now on.

    Raises:
        EngineUnavailableError: it is not installed, of another version, or does not load.
    """
    LOG.verbose = verbose
    return _loaded(_shared_library())


@functools.cache
def _loaded(path: Path) -> Any:
    # GNU OpenMP reads it when it is loaded. A token has hundreds of barriers, at which threads spin for up to 15 ms by
    # default: where anything else wants one of the cores, 32 prompt tokens took 2-14 s. Spinning for 50 µs and then
    # sleeping takes 0.26-0.40 s there and costs nothing on a quiet machine (not spinning at all does: 34 ms a token
    # instead of 11).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        # The wheel leaves OpenMP to the system.
        hint = "install libgomp (Debian, Ubuntu: apt-get install libgomp1)" if "libgomp" in str(error) else _REMEDY
        raise EngineUnavailableError(f"llama.cpp does not load on this machine ({error}): {hint}") from error
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.llama_log_set(LOG.callback, None)
    return library


def _shared_library() -> Path:
    # Found, not imported: its Python part is not needed.
    found = importlib.util.find_spec("xllamacpp")
    folders = [Path(folder) for folder in (found and found.submodule_search_locations) or ()]
    files = [folder / f"xllamacpp{suffix}" for folder in folders for suffix in EXTENSION_SUFFIXES]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        raise EngineUnavailableError(f"xllamacpp is not installed: {_REMEDY}")
    version = importlib.metadata.version("xllamacpp")
    if version != VERSION:
        raise EngineUnavailableError(f"xllamacpp {version} is installed, and {VERSION} is needed: {_REMEDY}")
    return path
