"""The NVIDIA GPU of this machine, as its driver tells of it, and CUDA's libraries out of wheels."""

import ctypes
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_MAJOR, _MINOR = 75, 76
"""`CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`."""

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
    """

    name: str
    capability: tuple[int, int]
    cuda: tuple[int, int]


@cache
def gpu() -> Gpu | None:
    """The first NVIDIA GPU; None where there is none that works, as on most machines, which takes no time to find."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, version, major, minor = (ctypes.c_int() for _ in range(4))
    name = ctypes.create_string_buffer(128)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetName(name, len(name), 0)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, 0)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, 0)
    cuda = (version.value // 1000, version.value % 1000 // 10)
    return Gpu(name.value.decode("utf-8", "replace"), (major.value, minor.value), cuda)


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
