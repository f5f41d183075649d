"""One way to open an ONNX model: on few threads that never spin, with errors that say what to do."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import onnxruntime
import structlog

from pipeline.engines.device import Placement, placed
from pipeline.engines.protocols import EngineUnavailableError
from pipeline.processor import int8_sums_overflow

EXACT_SUMS: Final = "session.x64quantprecision"
"""Has onnxruntime compute sums of 8-bit products without overflow."""

_CUDA: Final = "CUDAExecutionProvider"
_NO_CUDA: Final = "this onnxruntime has no CUDA; onnxruntime-gpu in its place has"
_CUDA_OPTIONS: Final[Mapping[str, str]] = {
    # The default tries every algorithm of cuDNN for each new shape, and no two clauses have the same.
    "cudnn_conv_algo_search": "HEURISTIC",
    "use_tf32": "0",
}

log = structlog.get_logger(__name__)

onnxruntime.set_default_logger_severity(3)


def open_session(
    model: Path | bytes, *, threads: int = 1, label: str = "", device: str = "cpu", patterns: bool = True
) -> onnxruntime.InferenceSession:
    """Load an ONNX model.

    Args:
        model: the file, or its content.
        threads: threads inside one run; with 1 the run stays on the calling thread.
        label: what to call the model in errors; the file by default.
        device: "cpu" or "cuda".
        patterns: whether the layout of memory is kept for each shape of the inputs; not where these always differ.
            Large weights are then kept outside of the arena, too, which grows by doubling.

    Raises:
        EngineUnavailableError: the file is missing or is not a model that this onnxruntime can run, or it has no such
            device.
    """
    label = label or str(model if isinstance(model, Path) else "the model")
    if isinstance(model, Path) and not model.is_file():
        raise EngineUnavailableError(f"{label} is missing: run `morgan models pull`")
    providers = _providers(device)
    on_cpu = device == "cpu"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_mem_pattern = patterns
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "0" if patterns else "1")
    # Spinning threads burn the cores that the other engines and the media loop need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = str(model) if isinstance(model, Path) else model
    if on_cpu and int8_sums_overflow():
        # Weights become uint8. Smart Turn's scores were off by 0.19 on the average, and 4 of 12 on the other side of a
        # half; with this they are those of a processor with VNNI, in up to 1.8 times as long (measured on an emulated
        # AMD Zen 3). On a processor with VNNI it would only cost time.
        options.add_session_config_entry(EXACT_SUMS, "1")
        with contextlib.suppress(Exception):
            return onnxruntime.InferenceSession(source, options, providers=providers)
        # It cannot be done where two operators share their weights.
        log.warning("8-bit sums may overflow in a model", model=label)
        options.add_session_config_entry(EXACT_SUMS, "0")
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime raises a dozen unrelated types here
        raise EngineUnavailableError(
            f"{label} cannot be loaded ({error}): run `morgan models verify` and pull it again"
        ) from error
    if not on_cpu and _CUDA not in session.get_providers():
        # It says so on the console alone, and goes on without.
        raise EngineUnavailableError(
            f"{label} cannot be loaded on cuda: onnxruntime does not find CUDA's libraries (cuBLAS, cuDNN 9, cuFFT, "
            "cuRAND of the version that it was built for); install them, or set the device to cpu"
        )
    return session


def session_on(
    label: str,
    device: str,
    open_on: Callable[[str], onnxruntime.InferenceSession],
    feeds: Mapping[str, Any],
) -> tuple[onnxruntime.InferenceSession, Placement]:
    """A session where its model computes best.

    Args:
        label: names the engine in warnings.
        device: "auto", "cpu" or "cuda".
        open_on: `open_session` or its like, for "cpu" or "cuda".
        feeds: inputs of usual size, to try and to time it with.

    Raises:
        EngineUnavailableError: as `open_session`.
    """
    return placed(label, device, open_on, lambda session: session.run(None, dict(feeds)), lacking=lacking_cuda)


def lacking_cuda() -> str:
    """Why onnxruntime cannot use a GPU that is there; "" if it can."""
    return "" if _CUDA in onnxruntime.get_available_providers() else _NO_CUDA


def _providers(device: str) -> list[Any]:
    """What onnxruntime calls a device; the CPU takes what a GPU has no kernel for."""
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if problem := lacking_cuda():
        raise EngineUnavailableError(f"{problem}: install it, or set the device to cpu")
    return [(_CUDA, dict(_CUDA_OPTIONS)), "CPUExecutionProvider"]


def open_with_output(
    model: Path, tensor: str, *, threads: int = 1, device: str = "cpu"
) -> onnxruntime.InferenceSession:
    """Load a model with one of its inner tensors as a further output, where it has a tensor of that name.

    Args:
        model: the file.
        tensor: name of the tensor, such as the lengths of phonemes.
        threads: threads inside one run.
        device: "cpu" or "cuda".

    Raises:
        EngineUnavailableError: as `open_session`.
    """
    try:
        content = model.read_bytes()
    except OSError as error:
        raise EngineUnavailableError(f"{model} cannot be read ({error}): run `morgan models pull`") from error
    if tensor.encode() in content:
        with contextlib.suppress(EngineUnavailableError):
            return open_session(_with_output(content, tensor), threads=threads, label=str(model), device=device)
    return open_session(model, threads=threads, device=device)


def _with_output(model: bytes, tensor: str) -> bytes:
    """Add a tensor to the outputs of an ONNX model.

    A protobuf parser merges a message that comes twice, so the addition can simply follow the model: field 7 of
    ModelProto is the graph, field 12 of GraphProto an output, field 1 of ValueInfoProto its name
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
    """
    return model + _field(7, _field(12, _field(1, tensor.encode())))


def _field(number: int, content: bytes) -> bytes:
    assert len(content) < 128, "a length of one byte"
    return bytes([number << 3 | 2, len(content)]) + content
