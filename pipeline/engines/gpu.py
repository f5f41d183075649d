"""The NVIDIA GPU of this machine, as its driver tells of it, and CUDA's libraries out of wheels.

Two libraries come with the driver: CUDA's, and NVML, which tells how much memory is free without taking any.
https://docs.nvidia.com/cuda/cuda-driver-api/ and https://docs.nvidia.com/deploy/nvml-api/.
"""

import ctypes
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from uuid import UUID

ALL_LAYERS: Final = 999
"""Of a language model, to be put on the GPU: more than any has."""

_MAJOR, _MINOR = 75, 76
"""`CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`."""

_SLEEP = 4
"""`CU_CTX_SCHED_BLOCKING_SYNC`."""

_PRELOADED: Final = (
    "libcudart.so.*",
    "libnvrtc.so.*",
    "libnvJitLink.so.*",
    "libcublasLt.so.*",
    "libcublas.so.*",
    "libcufft.so.*",
    "libcurand.so.*",
    "libcudnn.so.*",
)
"""In an order in which each finds those that it needs."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """An NVIDIA GPU.

    Attributes:
        name: as its driver has it.
        capability: of computing, such as (9, 0).
        cuda: version of CUDA that the driver knows, such as (13, 0); libraries of a later one do not run.
        uuid: by which NVML knows it, "" where that is not told.
        memory: bytes that it has.
    """

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]
    uuid: str = ""
    memory: int = 0


class _NvmlMemory(ctypes.Structure):
    """`nvmlMemory_t`."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


@cache
def gpu() -> Gpu | None:
    """The first NVIDIA GPU; None where there is none that works, as on most machines, which takes no time to find."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, version, major, minor = (ctypes.c_int() for _ in range(4))
    name, uuid, memory = ctypes.create_string_buffer(128), ctypes.create_string_buffer(16), ctypes.c_size_t()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetName(name, len(name), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, 0)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, 0)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), 0)
    known = driver.cuDeviceGetUuid(uuid, 0) == 0
    # Threads that wait for the GPU sleep. By default they spin, and each keeps a core busy that it has no use for.
    driver.cuDevicePrimaryCtxSetFlags(0, _SLEEP)
    return Gpu(
        name.value.decode("utf-8", "replace"),
        (major.value, minor.value),
        (version.value // 1000, version.value % 1000 // 10),
        f"GPU-{UUID(bytes=uuid.raw)}" if known else "",
        memory.value,
    )


def free_gpu_memory() -> int | None:
    """Bytes of the GPU's memory that no process has taken; None where there is no GPU, or that is not told.

    CUDA itself tells it only to a process that has begun to compute, which takes half a gigabyte for that.
    """
    card = gpu()
    if card is None:
        return None
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    device, memory = ctypes.c_void_p(), _NvmlMemory()
    if nvml.nvmlInit_v2():
        return None
    try:
        if nvml.nvmlDeviceGetHandleByUUID(card.uuid.encode(), ctypes.byref(device)) or nvml.nvmlDeviceGetMemoryInfo(
            device, ctypes.byref(memory)
        ):
            return None
    finally:
        nvml.nvmlShutdown()
    return int(memory.free)


@cache
def load_cuda_libraries() -> None:
    """Load CUDA's libraries out of NVIDIA's wheels, so that libraries which name them find them.

    The wheels (`nvidia-cublas` and its like, which PyTorch and onnxruntime-gpu bring) lie where no loader looks. What
    does not load, or is not there, is left to the system's own.
    """
    if gpu() is None:
        return
    found = importlib.util.find_spec("nvidia")
    for folder in (found and found.submodule_search_locations) or ():
        for pattern in _PRELOADED:
            for path in sorted(Path(folder).glob(f"*/lib/{pattern}")):
                try:
                    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
                except OSError:
                    continue
